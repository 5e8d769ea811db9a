/*
 * QTest testcase for idt-ntb: memory windows onto a guest that does not answer
 *
 * What counts is how many times a timeout is waited for: once for all accesses
 * to a peer that does not answer, until it does again.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/wait.h>
#include "qemu/module.h"
#include "hw/pci/pci_regs.h"
#include "idt-ntb/window.h"

/* Enough for an answer on a busy host */
#define PROPS           ",completion-timeout=2000"
#define MANY            60

/* Other kinds of traces are not looked at */
#ifdef CONFIG_TRACE_LOG
#define TRACE_IS_LOG    1
#else
#define TRACE_IS_LOG    0
#endif

static WinPair w;
static uint64_t base;           /* address in @w.a's guest */
static char *log_a, *log_b;

static void setup(WinPath path, const char *props)
{
    g_autofree char *args_a = NULL, *args_b = NULL;

    g_free(log_a);
    g_free(log_b);
    log_a = ntb_tmp_path("log");
    log_b = ntb_tmp_path("log");
    args_a = g_strdup_printf("-trace idt_ntb_request_stalled -D %s", log_a);
    args_b = g_strdup_printf("-trace idt_ntb_close_stalled -D %s", log_b);
    w = (WinPair) { .server = ntb_server_start(), .path = path };
    w.a = win_boot(w.server, path, args_a, props);
    w.b = win_boot(w.server, path, args_b, props);
    win_open(w.a, WIN_DIRECT64, w.b->partition, WIN_X);
    base = win_bar(w.a, WIN_DIRECT64);
}

static void stop(void)
{
    qtest_qmp_assert_success(w.b->qts, "{'execute': 'stop'}");
}

static void cont(void)
{
    qtest_qmp_assert_success(w.b->qts, "{'execute': 'cont'}");
}

static void freeze(void)
{
    ntb_freeze(w.b);
}

static void thaw(void)
{
    ntb_thaw(w.b);
}

/* How one stops the peer, and lets it go on */
typedef struct Stop {
    const char *name;
    void (*stop)(void);
    void (*cont)(void);
} Stop;

static const Stop stops[] = {
    { "sigstop", freeze, thaw },
    { "qmp-stop", stop, cont },
};

/* How many timeouts there were: each is traced */
static unsigned timeouts(void)
{
    return ntb_count_text(log_a, "idt_ntb_request_stalled port 0: port 2: 1") +
           ntb_count_text(log_b, "idt_ntb_close_stalled port 2: port 0");
}

/* @times accesses that all together wait for @count timeouts */
#define ASSERT_TIMEOUTS(count, times, access)                           \
    do {                                                                \
        unsigned before_ = timeouts();                                  \
        for (unsigned i = 0; i < (times); i++) {                        \
            access;                                                     \
        }                                                               \
        if (TRACE_IS_LOG) {                                             \
            g_assert_cmpuint(timeouts() - before_, ==, count);          \
        }                                                               \
    } while (0)

/* What stays mapped while the peer has stopped needs none */
static bool needs_answer(const Stop *s, WinPath path)
{
    return path != WIN_SHARED || s->stop == stop;
}

static void assert_answers(void)
{
    uint64_t value = win_value();

    qtest_writeq(w.b->qts, WIN_X + 0x800, value);
    ntb_wait(qtest_readq(w.a->qts, base + 0x800) == value);
    win_assert_shows(w.a, base, w.b, WIN_X);
    win_assert_path(w.a, w.path);
}

/* Reads and writes at one that has stopped; it comes back by itself */
static void test_stopped(const Stop *s, WinPath path)
{
    setup(path, PROPS);
    for (unsigned round = 0; round < 2; round++) {
        assert_answers();
        /* What is mapped needs no answer */
        win_close(w.a, WIN_DIRECT64);
        s->stop();
        win_aim(w.a, WIN_DIRECT64, w.b->partition, WIN_X + 4);
        win_limit(w.a, WIN_DIRECT64, base + WIN_SIZE);
        ASSERT_TIMEOUTS(1, MANY, win_assert_ones(w.a, base + 8 * round));
        ASSERT_TIMEOUTS(0, MANY, qtest_writeq(w.a->qts, base + 8 * round, i));
        ASSERT_TIMEOUTS(0, MANY, win_assert_ones(w.a, base + 8 * round));
        s->cont();
        win_aim(w.a, WIN_DIRECT64, w.b->partition, WIN_X);
    }
    assert_answers();
    win_stop(&w);
}

/* Posted before anybody knew that it would not be answered */
static void test_posted(const Stop *s, WinPath path)
{
    const unsigned writes = 700, places = 50;

    setup(path, PROPS);
    for (unsigned n = 0; n < 2; n++) {
        assert_answers();
        s->stop();
        ASSERT_TIMEOUTS(0, writes,
                        qtest_writel(w.a->qts, base + i % places * 12 + 2,
                                     n * writes + i));
        s->cont();
        /* All there, the last ones last, when the guest looks */
        win_sync(w.b);
        for (unsigned i = 0; i < places; i++) {
            g_assert_cmphex(qtest_readl(w.b->qts, WIN_X + i * 12 + 2), ==,
                            n * writes + writes - places + i);
        }
    }
    win_stop(&w);
}

/* More than there is room for: the first ones arrive, the others do not */
static void test_too_many(const Stop *s, WinPath path)
{
    const unsigned writes = 3000;
    unsigned came = 0;

    setup(path, PROPS);
    assert_answers();
    for (unsigned i = 0; i < writes; i++) {
        qtest_writel(w.b->qts, WIN_X + 4 * i, UINT32_MAX);
    }
    s->stop();
    ASSERT_TIMEOUTS(needs_answer(s, path), writes,
                    qtest_writel(w.a->qts, base + 4 * i, i));
    ASSERT_TIMEOUTS(0, MANY, qtest_readq(w.a->qts, base));
    s->cont();
    ntb_wait(qtest_readl(w.a->qts, base) == 0);
    win_sync(w.b);
    while (came < writes &&
           qtest_readl(w.b->qts, WIN_X + 4 * came) == came) {
        came++;
    }
    for (unsigned i = came; i < writes; i++) {
        g_assert_cmphex(qtest_readl(w.b->qts, WIN_X + 4 * i), ==, UINT32_MAX);
    }
    g_test_message("%u of %u came", came, writes);
    g_assert_cmpuint(came, >=, 100);
    assert_answers();
    win_stop(&w);
}

/* Another one is served as ever */
static void test_other(const Stop *s, WinPath path)
{
    NtbPort *c;

    setup(path, ",partitions=3" PROPS);
    c = win_boot(w.server, path, NULL, ",partitions=3" PROPS);
    win_open_lut(w.a, WIN_LUT24, 0, w.b->partition, WIN_X);
    win_open_lut(w.a, WIN_LUT24, 1, c->partition, WIN_X + 4);
    s->stop();
    ASSERT_TIMEOUTS(path != WIN_SHARED, MANY, {
        if (path != WIN_SHARED) {
            win_assert_ones(w.a, win_bar(w.a, WIN_LUT24));
        }
        ntb_wait(qtest_readq(w.a->qts, win_bar(w.a, WIN_LUT24) + WIN_SIZE +
                             0x700) == 0);
        win_assert_hits(w.a, win_bar(w.a, WIN_LUT24) + WIN_SIZE, c, WIN_X + 4,
                        8);
    });
    ntb_assert_talk(w.a, c);
    s->cont();
    ntb_quit(c);
    win_stop(&w);
}

/* ... and it dies before it comes back; the next one answers */
static void test_dies(const Stop *s, WinPath path)
{
    setup(path, PROPS);
    for (unsigned round = 0; round < 2; round++) {
        assert_answers();
        s->stop();
        ASSERT_TIMEOUTS(needs_answer(s, path), MANY,
                        qtest_readq(w.a->qts, base));
        ASSERT_TIMEOUTS(0, MANY, qtest_writeq(w.a->qts, base, 1));
        ntb_kill(w.b);
        ntb_wait(!ntb_link_up(w.a, 2));
        win_assert_ones(w.a, base);
        w.b = win_boot(w.server, path, NULL, PROPS);
        g_assert_cmphex(qtest_readq(w.b->qts, WIN_X), ==, 0);
    }
    assert_answers();
    win_stop(&w);
}

/* Resets while the peer has stopped: those wait for nobody */
static void test_reset(const Stop *s, WinPath path)
{
    setup(path, PROPS);
    s->stop();
    ASSERT_TIMEOUTS(needs_answer(s, path), 10, {
        ntb_cfg_writew(w.a, IDT_CAP_PCIE + PCI_EXP_DEVCTL,
                       PCI_EXP_DEVCTL_BCR_FLR);
        win_setup_function(w.a);
        win_open(w.a, WIN_DIRECT64, w.b->partition, WIN_X);
        qtest_readq(w.a->qts, base);
    });
    s->cont();
    assert_answers();
    win_stop(&w);
}

typedef struct StopCase {
    const Stop *stop;
    WinPath path;
    void (*func)(const Stop *s, WinPath path);
} StopCase;

static void run_case(const void *opaque)
{
    const StopCase *c = opaque;

    c->func(c->stop, c->path);
}

/* @all: for all paths, else in slow mode only */
static void add_case(const char *what, void (*func)(const Stop *, WinPath),
                     bool all)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(stops); i++) {
        for (WinPath path = 0; path < WIN_NUM_PATHS; path++) {
            g_autofree char *name = g_strdup_printf(
                "/idt-ntb/window-stall/%s-%s-%s", what, stops[i].name,
                win_path_names[path]);
            StopCase *c = g_new(StopCase, 1);

            *c = (StopCase) { .stop = &stops[i], .path = path, .func = func };
            if (g_test_slow() || path == WIN_PLAIN ||
                (all && path == WIN_SHARED)) {
                qtest_add_data_func_full(name, c, run_case, g_free);
            }
        }
    }
}

/*
 * The one who has others' RAM mapped stops, and who closes waits for it: once
 */
static void test_holder_stops(void)
{
    setup(WIN_SHARED, PROPS);
    for (unsigned round = 0; round < 2; round++) {
        assert_answers();
        ntb_freeze(w.a);
        ASSERT_TIMEOUTS(1, MANY, {
            ntb_cfg_writew(w.b, PCI_COMMAND, PCI_COMMAND_MEMORY);
            ntb_cfg_writew(w.b, PCI_COMMAND,
                           PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
        });
        ntb_cfg_writew(w.b, PCI_COMMAND, PCI_COMMAND_MEMORY);
        ntb_thaw(w.a);
        ntb_wait(win_mappings(w.a) == 0);
        win_assert_hides(w.a, base, w.b, WIN_X);
        ntb_cfg_writew(w.b, PCI_COMMAND,
                       PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    }
    assert_answers();
    win_stop(&w);
}

/* One that is slow is not one that has stopped */
static void test_slow(void)
{
    setup(WIN_PLAIN, NULL);
    for (unsigned i = 0; i < 20; i++) {
        pid_t pid;

        qtest_writeq(w.b->qts, WIN_X, i);
        ntb_freeze(w.b);
        pid = ntb_fork();
        if (!pid) {
            g_usleep(20000);
            kill(qtest_pid(w.b->qts), SIGCONT);
            _exit(0);
        }
        g_assert_cmphex(qtest_readq(w.a->qts, base), ==, i);
        waitpid(pid, NULL, 0);
    }
    win_stop(&w);
}

static void add_tests(void)
{
    if (!ntb_machine_is_q35()) {
        return;
    }
    add_case("stopped", test_stopped, true);
    add_case("posted", test_posted, false);
    add_case("too-many", test_too_many, false);
    add_case("other", test_other, false);
    add_case("dies", test_dies, true);
    add_case("reset", test_reset, false);
    qtest_add_func("/idt-ntb/window-stall/holder-stops", test_holder_stops);
    qtest_add_func("/idt-ntb/window-stall/slow", test_slow);
}

libqos_init(add_tests);
