/*
 * QTest testcase for idt-ntb: the order in which writes through memory windows
 * are seen
 *
 * One side is a child of the test that talks to its QEMU all the time; the test
 * looks from the other side.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include <sys/wait.h>
#include "qemu/atomic.h"
#include "qemu/module.h"
#include "hw/pci/pci_regs.h"
#include "idt-ntb/window.h"

static WinPair w;

static unsigned rounds(void)
{
    return g_test_slow() ? 4000 : 300;
}

static void end_child(pid_t pid)
{
    int status;

    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
}

/*
 * Signals after data.  Both sides: data into the other's RAM, then the signal;
 * who sees the signal looks at its RAM, and does the same.
 */

#define WORDS 9

typedef struct Side {
    NtbPort *p;
    uint64_t out;               /* address of the window */
    bool first;
} Side;

typedef struct Signal {
    const char *name;
    void (*send)(const Side *s, uint32_t value);
    void (*take)(const Side *s, uint32_t value);
} Signal;

static void send_doorbell(const Side *s, uint32_t value)
{
    ntb_write(s->p, A_OUTDBELLSET, 1u << s->first);
}

static void take_doorbell(const Side *s, uint32_t value)
{
    ntb_wait(ntb_read(s->p, A_INDBELLSTS) & 1u << !s->first);
    ntb_write(s->p, A_INDBELLSTS, UINT32_MAX);
}

/* Nobody reads a register before the data: it is there with the interrupt */
static void take_interrupt(const Side *s, uint32_t value)
{
    ntb_wait(ntb_msi_seen(s->p));
}

static void send_message(const Side *s, uint32_t value)
{
    ntb_write(s->p, A_OUTMSG0, value);
}

static void take_message(const Side *s, uint32_t value)
{
    ntb_wait(ntb_read(s->p, A_MSGSTS) & 1 << 16);
    g_assert_cmphex(ntb_read(s->p, A_INMSG0), ==, value);
    ntb_write(s->p, A_MSGSTS, 1 << 16);
}

static void clear_interrupt(const Side *s)
{
    ntb_msi_clear(s->p);
    ntb_write(s->p, A_INDBELLSTS, UINT32_MAX);
}

static void send_data(const Side *s, uint32_t value)
{
    for (unsigned i = 0; i < WORDS; i++) {
        qtest_writel(s->p->qts, s->out + i * 0x104, value + i);
    }
}

static void check_data(const Side *s, uint32_t value)
{
    /* The one that was written last first */
    for (unsigned i = WORDS; i--;) {
        g_assert_cmphex(qtest_readl(s->p->qts, WIN_X + i * 0x104), ==,
                        value + i);
    }
}

static void play(const Side *s, const Signal *signal)
{
    bool interrupt = signal->take == take_interrupt;

    for (uint32_t i = 1; i < rounds(); i++) {
        for (unsigned turn = 0; turn < 2; turn++) {
            uint32_t value = i << 8 | turn << 4;

            if (s->first == !turn) {
                send_data(s, value);
                signal->send(s, value);
                continue;
            }
            signal->take(s, value);
            check_data(s, value);
            if (interrupt) {
                clear_interrupt(s);
            }
        }
    }
}

static const Signal signals[] = {
    { "doorbell", send_doorbell, take_doorbell },
    { "interrupt", send_doorbell, take_interrupt },
    { "message", send_message, take_message },
};

static void setup_side(NtbPort *p, NtbPort *other, unsigned offset,
                       const Signal *signal)
{
    bool interrupt = signal->take == take_interrupt;

    win_open(p, WIN_DIRECT32, other->partition, WIN_X - offset);
    ntb_route_message(p, 0, other->partition, 0);
    for (unsigned n = 0; n < 2; n++) {
        /* Bit 1 is the first side's, for the other one */
        ntb_gas_write(p, A_GIDBELLMSK0 + 4 * n,
                      0xff & ~(1u << (n ? w.b : w.a)->partition));
    }
    if (interrupt) {
        ntb_write(p, A_INDBELLMSK, 0);
        ntb_write(p, A_NTINTMSK, 0);
    }
}

/* @offset: 0 where pages can be mapped, else they can't */
static void check_signal(WinPath path, const Signal *signal, unsigned offset)
{
    Side a, b;
    pid_t pid;

    win_start(&w, path, NULL);
    setup_side(w.a, w.b, offset, signal);
    setup_side(w.b, w.a, offset, signal);
    a = (Side) { w.a, win_bar(w.a, WIN_DIRECT32) + offset, true };
    b = (Side) { w.b, win_bar(w.b, WIN_DIRECT32) + offset, false };
    pid = ntb_fork();
    if (!pid) {
        play(&a, signal);
        _exit(0);
    }
    play(&b, signal);
    end_child(pid);
    win_stop(&w);
}

typedef struct SignalCase {
    const Signal *signal;
    WinPath path;
    unsigned offset;
} SignalCase;

static void run_signal(const void *opaque)
{
    const SignalCase *c = opaque;

    check_signal(c->path, c->signal, c->offset);
}

static void add_signal(const Signal *signal, WinPath path, unsigned offset)
{
    g_autofree char *name = g_strdup_printf("/idt-ntb/window-order/%s-%s%s",
                                            signal->name, win_path_names[path],
                                            offset ? "-misaligned" : "");
    SignalCase *c = g_new(SignalCase, 1);

    *c = (SignalCase) { .signal = signal, .path = path, .offset = offset };
    qtest_add_data_func_full(name, c, run_signal, g_free);
}

/*
 * Both paths
 */

/*
 * @w.a has two windows onto the same place: pages of one can be mapped, those
 * of the other can't.  A child writes a number through the one at @first, then
 * the same through that at @second; who sees the second must see the first.
 * Neither QEMU knows that we look.
 */
static void check_mixed(uint64_t first, uint64_t second, bool remap)
{
    uint64_t base = win_bar(w.a, WIN_DIRECT32), seen = 0;
    uint64_t last = 10 * rounds();
    uint8_t *ram = win_map_ram(w.b);
    uint64_t *data = (uint64_t *)(ram + WIN_X);
    uint64_t *flag = (uint64_t *)(ram + WIN_X + 64);
    pid_t pid;

    *data = *flag = 0;
    pid = ntb_fork();
    if (!pid) {
        for (uint64_t i = 1; i <= last; i++) {
            if (remap && i % 3 == 0) {
                /* ... into a mapping that is not there yet */
                win_limit(w.a, WIN_DIRECT32, 0);
                win_limit(w.a, WIN_DIRECT32, base + WIN_SIZE);
            }
            qtest_writeq(w.a->qts, first, i);
            qtest_writeq(w.a->qts, second + 64, i);
        }
        _exit(0);
    }
    while (seen < last) {
        uint64_t before;

        seen = qatomic_load_acquire(flag);
        before = qatomic_read(data);
        g_assert_cmphex(before, >=, seen);
    }
    end_child(pid);
    munmap(ram, WIN_RAM_SIZE);
}

static void test_mixed(void)
{
    uint64_t direct, request;

    win_start(&w, WIN_SHARED, NULL);
    direct = win_bar(w.a, WIN_DIRECT32);
    request = win_bar(w.a, WIN_DIRECT64) + 4;
    win_open(w.a, WIN_DIRECT32, w.b->partition, WIN_X);
    win_open(w.a, WIN_DIRECT64, w.b->partition, WIN_X - 4);
    check_mixed(request, direct, false);
    check_mixed(direct, request, false);
    check_mixed(request, direct, true);
    win_stop(&w);
}

/* The last of two writes to the same place wins, whichever way each takes */
static void test_last_wins(void)
{
    uint64_t addr[2];

    win_start(&w, WIN_SHARED, NULL);
    addr[0] = win_bar(w.a, WIN_DIRECT32);
    addr[1] = win_bar(w.a, WIN_DIRECT64) + 4;
    win_open(w.a, WIN_DIRECT32, w.b->partition, WIN_X);
    win_open(w.a, WIN_DIRECT64, w.b->partition, WIN_X - 4);
    for (unsigned i = 0; i < rounds(); i++) {
        unsigned last = i % 3 ? i & 1 : i >> 1 & 1;

        qtest_writel(w.a->qts, addr[!last] + 32, i);
        qtest_writel(w.a->qts, addr[last] + 32, ~i);
        /* A load after a store finds it, also the other way */
        g_assert_cmphex(qtest_readl(w.a->qts, addr[i >> 2 & 1] + 32), ==, ~i);
        if (i % 16 == 0) {
            g_assert_cmphex(qtest_readl(w.b->qts, WIN_X + 32), ==, ~i);
        }
        if (i % 64 == 0) {
            /* Now and then nothing is mapped */
            win_close(w.a, WIN_DIRECT32);
            win_limit(w.a, WIN_DIRECT32, addr[0] + WIN_SIZE);
        }
    }
    win_stop(&w);
}

/* A register of the switch after data: what a peer's guest does after it */
static void test_posted_then_register(WinPath path)
{
    win_start(&w, path, NULL);
    win_open(w.a, WIN_DIRECT32, w.b->partition, WIN_X);
    for (unsigned i = 0; i < rounds(); i++) {
        uint64_t addr = win_bar_home(w.a, WIN_DIRECT32) + i % 100 * 8;

        qtest_writeq(w.a->qts, addr, i);
        ntb_write(w.a, A_NTSDATA, i);
        /* ... seen by the other as soon as it looks for it */
        g_assert_cmphex(ntb_gas_read(w.b, ntb_gas_nt(w.a->port, A_NTSDATA)),
                        ==, i);
        g_assert_cmphex(qtest_readq(w.b->qts, WIN_X + i % 100 * 8), ==, i);
    }
    win_stop(&w);
}

/*
 * Data and a doorbell for a VM that is stopped: neither is there before it goes
 * on, and then the data is, at once.
 */
static void test_stopped(WinPath path)
{
    win_start(&w, path, NULL);
    ntb_write(w.b, A_INDBELLMSK, 0);
    ntb_write(w.b, A_NTINTMSK, 0);
    win_open(w.a, 1, w.b->partition, WIN_X);
    for (uint32_t i = 1; i < 20; i++) {
        win_assert_hits(w.a, win_bar(w.a, 1), w.b, WIN_X, 8);
        qtest_qmp_assert_success(w.b->qts, "{'execute': 'stop'}");
        qtest_writel(w.a->qts, win_bar(w.a, 1), i);
        ntb_write(w.a, A_OUTDBELLSET, 1);
        ntb_settle(w.b->qts);
        g_assert_false(ntb_msi_seen(w.b));
        qtest_qmp_assert_success(w.b->qts, "{'execute': 'cont'}");
        g_assert_cmphex(qtest_readl(w.b->qts, WIN_X), ==, i);
        ntb_wait(ntb_msi_seen(w.b));
        ntb_msi_clear(w.b);
        ntb_write(w.b, A_INDBELLSTS, UINT32_MAX);
    }
    win_stop(&w);
}

static void add_tests(void)
{
    if (!ntb_machine_is_q35()) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(signals); i++) {
        add_signal(&signals[i], WIN_SHARED, 0);
        add_signal(&signals[i], WIN_SHARED, 4);
        add_signal(&signals[i], WIN_PLAIN, 0);
    }
    qtest_add_func("/idt-ntb/window-order/mixed", test_mixed);
    qtest_add_func("/idt-ntb/window-order/last-wins", test_last_wins);
    win_add_case("window-order/register", test_posted_then_register);
    win_add_case("window-order/stopped", test_stopped);
}

libqos_init(add_tests);
