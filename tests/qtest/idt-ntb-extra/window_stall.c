/*
 * QTest testcase for idt-ntb: memory windows onto a guest that does not answer
 *
 * Count the timeouts: there is one for all accesses to a peer that does not
 * answer, until it answers again.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/wait.h>
#include "extra.h"

/* Enough for an answer on a busy host */
#define PROPS           ",completion-timeout=2000"
#define MANY            60

/* Only traces in a log can be counted */
#ifdef CONFIG_TRACE_LOG
#define TRACE_IS_LOG    1
#else
#define TRACE_IS_LOG    0
#endif

static uint64_t base;           /* address in the guest of ports[0] */
static char *log_a, *log_b;

static void prepare(NtbFixture *f)
{
    g_autofree char *args_a = NULL, *args_b = NULL;
    NtbPort *a, *b;

    log_a = ntb_tmp_path("log");
    log_b = ntb_tmp_path("log");
    args_a = g_strdup_printf("-trace idt_ntb_request_stalled -D %s", log_a);
    args_b = g_strdup_printf("-trace idt_ntb_close_stalled -D %s", log_b);
    a = ntb_start_args(f, 0, args_a, NULL);
    b = ntb_start_args(f, 1, args_b, NULL);
    win_open(a, WIN_DIRECT64, b->partition, WIN_X);
    base = win_bar(a, WIN_DIRECT64);
}

static void finish(NtbFixture *f)
{
    g_clear_pointer(&log_a, g_free);
    g_clear_pointer(&log_b, g_free);
}

static void stop(NtbFixture *f)
{
    qtest_qmp_assert_success(f->ports[1]->qts, "{'execute': 'stop'}");
}

static void cont(NtbFixture *f)
{
    qtest_qmp_assert_success(f->ports[1]->qts, "{'execute': 'cont'}");
}

static void freeze(NtbFixture *f)
{
    ntb_freeze(f->ports[1]);
}

static void thaw(NtbFixture *f)
{
    ntb_thaw(f->ports[1]);
}

/* Ways to stop the peer, and to let it go on */
typedef struct Stop {
    const char *name;
    void (*stop)(NtbFixture *f);
    void (*cont)(NtbFixture *f);
} Stop;

static const Stop stops[] = {
    { "sigstop", freeze, thaw },
    { "qmp-stop", stop, cont },
};

/* Each timeout is traced */
static unsigned timeouts(void)
{
    return ntb_count_text(log_a, "idt_ntb_request_stalled port 0: port 2: 1") +
           ntb_count_text(log_b, "idt_ntb_close_stalled port 2: port 0");
}

/* Do @access @times: all together wait for @count timeouts */
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

/* An access to RAM that stays mapped needs no answer */
static bool needs_answer(const Stop *s, WinPath path)
{
    return path != WIN_SHARED || s->stop == stop;
}

static void assert_answers(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint64_t value = win_value();

    qtest_writeq(b->qts, WIN_X + 0x800, value);
    ntb_wait(qtest_readq(a->qts, base + 0x800) == value);
    win_assert_shows(a, base, b, WIN_X);
    win_assert_path(a, f->path);
}

/* Read and write while the peer has stopped; it comes back by itself */
static void test_stopped(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    const Stop *s = f->test->data;

    for (unsigned round = 0; round < 2; round++) {
        assert_answers(f);
        /* Nothing may be mapped */
        win_close(a, WIN_DIRECT64);
        s->stop(f);
        win_aim(a, WIN_DIRECT64, b->partition, WIN_X + 4);
        win_limit(a, WIN_DIRECT64, base + WIN_SIZE);
        ASSERT_TIMEOUTS(1, MANY, win_assert_ones(a, base + 8 * round));
        ASSERT_TIMEOUTS(0, MANY, qtest_writeq(a->qts, base + 8 * round, i));
        ASSERT_TIMEOUTS(0, MANY, win_assert_ones(a, base + 8 * round));
        s->cont(f);
        win_aim(a, WIN_DIRECT64, b->partition, WIN_X);
    }
    assert_answers(f);
}

/* Writes that are posted before a timeout are not lost */
static void test_posted(NtbFixture *f)
{
    NtbPort *b = f->ports[1];
    const Stop *s = f->test->data;
    const unsigned writes = 700, places = 50;

    for (unsigned n = 0; n < 2; n++) {
        assert_answers(f);
        s->stop(f);
        ASSERT_TIMEOUTS(0, writes,
                        qtest_writel(f->ports[0]->qts,
                                     base + i % places * 12 + 2,
                                     n * writes + i));
        s->cont(f);
        /* When the guest reads a register, all have arrived in order */
        win_sync(b);
        for (unsigned i = 0; i < places; i++) {
            g_assert_cmphex(qtest_readl(b->qts, WIN_X + i * 12 + 2), ==,
                            n * writes + writes - places + i);
        }
    }
}

/* If there is no room for all writes, the first ones arrive */
static void test_too_many(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    const Stop *s = f->test->data;
    const unsigned writes = 3000;
    unsigned came = 0;

    assert_answers(f);
    for (unsigned i = 0; i < writes; i++) {
        qtest_writel(b->qts, WIN_X + 4 * i, UINT32_MAX);
    }
    s->stop(f);
    ASSERT_TIMEOUTS(needs_answer(s, f->path), writes,
                    qtest_writel(a->qts, base + 4 * i, i));
    ASSERT_TIMEOUTS(0, MANY, qtest_readq(a->qts, base));
    s->cont(f);
    ntb_wait(qtest_readl(a->qts, base) == 0);
    win_sync(b);
    while (came < writes &&
           qtest_readl(b->qts, WIN_X + 4 * came) == came) {
        came++;
    }
    for (unsigned i = came; i < writes; i++) {
        g_assert_cmphex(qtest_readl(b->qts, WIN_X + 4 * i), ==, UINT32_MAX);
    }
    g_test_message("%u of %u came", came, writes);
    g_assert_cmpuint(came, >=, 100);
    assert_answers(f);
}

/* Requests to another peer are served */
static void test_other(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    const Stop *s = f->test->data;
    NtbPort *c = ntb_start(f, 2, NULL);

    win_open_lut(a, WIN_LUT24, 0, f->ports[1]->partition, WIN_X);
    win_open_lut(a, WIN_LUT24, 1, c->partition, WIN_X + 4);
    s->stop(f);
    ASSERT_TIMEOUTS(f->path != WIN_SHARED, MANY, {
        if (f->path != WIN_SHARED) {
            win_assert_ones(a, win_bar(a, WIN_LUT24));
        }
        ntb_wait(qtest_readq(a->qts, win_bar(a, WIN_LUT24) + WIN_SIZE +
                             0x700) == 0);
        win_assert_hits(a, win_bar(a, WIN_LUT24) + WIN_SIZE, c, WIN_X + 4,
                        8);
    });
    ntb_assert_talk(a, c);
    s->cont(f);
}

/* The peer dies before it comes back; the next one answers */
static void test_dies(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    const Stop *s = f->test->data;

    for (unsigned round = 0; round < 2; round++) {
        assert_answers(f);
        s->stop(f);
        ASSERT_TIMEOUTS(needs_answer(s, f->path), MANY,
                        qtest_readq(a->qts, base));
        ASSERT_TIMEOUTS(0, MANY, qtest_writeq(a->qts, base, 1));
        ntb_end_by_kill(f, 1);
        ntb_wait(!ntb_link_up(a, 2));
        win_assert_ones(a, base);
        ntb_start(f, 1, NULL);
        g_assert_cmphex(qtest_readq(f->ports[1]->qts, WIN_X), ==, 0);
    }
    assert_answers(f);
}

/* A reset does not wait for a stopped peer */
static void test_reset(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    const Stop *s = f->test->data;

    s->stop(f);
    ASSERT_TIMEOUTS(needs_answer(s, f->path), 10, {
        ntb_function_reset(a);
        win_setup_function(a);
        win_open(a, WIN_DIRECT64, f->ports[1]->partition, WIN_X);
        qtest_readq(a->qts, base);
    });
    s->cont(f);
    assert_answers(f);
}

/* If the holder of a mapping stops, a port that closes waits for it once */
static void test_holder_stops(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    for (unsigned round = 0; round < 2; round++) {
        assert_answers(f);
        ntb_freeze(a);
        ASSERT_TIMEOUTS(1, MANY, {
            ntb_set_master(b, false);
            ntb_set_master(b, true);
        });
        ntb_set_master(b, false);
        ntb_thaw(a);
        ntb_wait(win_mappings(a) == 0);
        win_assert_hides(a, base, b, WIN_X);
        ntb_set_master(b, true);
    }
    assert_answers(f);
}

/* A slow peer is no stopped peer */
static void test_slow(NtbFixture *f)
{
    NtbPort *b = f->ports[1];

    for (unsigned i = 0; i < 20; i++) {
        pid_t pid;

        qtest_writeq(b->qts, WIN_X, i);
        ntb_freeze(b);
        pid = ntb_fork();
        if (!pid) {
            g_usleep(20000);
            kill(qtest_pid(b->qts), SIGCONT);
            _exit(0);
        }
        g_assert_cmphex(qtest_readq(f->ports[0]->qts, base), ==, i);
        waitpid(pid, NULL, 0);
    }
}

#define STALL .props = PROPS, .prepare = prepare, .finish = finish, .q35 = true
#define MOSTLY_PLAIN                                                    \
    (WIN_ONLY(WIN_PLAIN) | WIN_SLOW(WIN_SHARED) | WIN_SLOW(WIN_FORCED))

/* Each is a test for each way to stop the peer */
static const NtbTest of_peer[] = {
    { "costs-one-timeout", test_stopped, STALL, .windows = WIN_EACH },
    { "delays-posted-writes", test_posted, STALL, .windows = MOSTLY_PLAIN },
    { "loses-the-last-writes", test_too_many, STALL, .windows = MOSTLY_PLAIN },
    { "stops-no-other-peer", test_other, STALL, .partitions = 3,
      .windows = MOSTLY_PLAIN },
    { "ends-with-the-peer", test_dies, STALL, .windows = WIN_EACH },
    { "does-not-delay-a-reset", test_reset, STALL, .windows = MOSTLY_PLAIN },
};

static void add_stops(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(of_peer); i++) {
        for (unsigned k = 0; k < G_N_ELEMENTS(stops); k++) {
            g_autofree char *path = g_strdup_printf(
                "window-stall/%s-%s", of_peer[i].path, stops[k].name);
            NtbTest test = of_peer[i];

            test.path = path;
            test.data = &stops[k];
            ntb_add_test(&test);
        }
    }
}

libqos_init(add_stops);

static const NtbTest tests[] = {
    { "window-stall/of-a-holder-costs-one-timeout", test_holder_stops, STALL,
      .windows = WIN_ONLY(WIN_SHARED) },
    { "window-stall/below-the-timeout-delays-only", test_slow,
      .prepare = prepare, .finish = finish, .windows = WIN_ONLY(WIN_PLAIN),
      .q35 = true },
};

ntb_tests(tests);
