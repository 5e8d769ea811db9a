/*
 * QTest testcase for idt-ntb: the order in which writes through memory windows
 * are seen
 *
 * A child of the test plays one side and talks to its QEMU all the time; the
 * test is the other side.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include "qemu/atomic.h"
#include "extra.h"

static unsigned rounds(void)
{
    return g_test_slow() ? 4000 : 300;
}

/*
 * Signals after data.  Each side writes data into the other's RAM, then sends
 * the signal; the other side checks its RAM, and does the same.
 */

#define WORDS 9

typedef struct Side {
    NtbPort *p;
    uint64_t out;               /* address of the window */
    bool first;
} Side;

typedef struct Signal {
    void (*send)(const Side *s, uint32_t value);
    void (*take)(const Side *s, uint32_t value);
    unsigned offset;            /* if not 0, no page can be mapped */
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

/* Read no register before the data: it is there with the interrupt */
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
    /* Check the last write first */
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

static void setup_side(NtbFixture *f, NtbPort *p, NtbPort *other,
                       const Signal *signal)
{
    win_open(p, WIN_DIRECT32, other->partition, WIN_X - signal->offset);
    ntb_route_message(p, 0, other->partition, 0);
    for (unsigned n = 0; n < 2; n++) {
        /* Bit 1 goes from the first side to the second */
        ntb_gas_write(p, A_GIDBELLMSK0 + 4 * n,
                      0xff & ~(1u << f->ports[n]->partition));
    }
    if (signal->take == take_interrupt) {
        ntb_write(p, A_INDBELLMSK, 0);
        ntb_write(p, A_NTINTMSK, 0);
    }
}

static void test_signal(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    const Signal *signal = f->test->data;
    Side first = { a, win_bar(a, WIN_DIRECT32) + signal->offset, true };
    Side second = { b, win_bar(b, WIN_DIRECT32) + signal->offset, false };
    pid_t pid;

    setup_side(f, a, b, signal);
    setup_side(f, b, a, signal);
    pid = ntb_fork();
    if (!pid) {
        play(&first, signal);
        _exit(0);
    }
    play(&second, signal);
    ntb_end_child(pid);
}

/*
 * Both paths.  ports[0] has two windows onto the same place: pages of one can
 * be mapped, those of the other can't.
 */

static void open_direct_and_request(NtbFixture *f)
{
    NtbPort *a = f->ports[0];

    win_open(a, WIN_DIRECT32, f->ports[1]->partition, WIN_X);
    win_open(a, WIN_DIRECT64, f->ports[1]->partition, WIN_X - 4);
}

/*
 * A child writes a number through the window at @first, then through that at
 * @second.  When the second write is in RAM, the first must be there.  Neither
 * QEMU knows that we look.
 */
static void check_mixed(NtbFixture *f, uint64_t first, uint64_t second,
                        bool remap)
{
    NtbPort *a = f->ports[0];
    uint64_t base = win_bar(a, WIN_DIRECT32), seen = 0;
    uint64_t last = 10 * rounds();
    uint8_t *ram = win_map_ram(f->ports[1]);
    uint64_t *data = (uint64_t *)(ram + WIN_X);
    uint64_t *flag = (uint64_t *)(ram + WIN_X + 64);
    pid_t pid;

    *data = *flag = 0;
    pid = ntb_fork();
    if (!pid) {
        for (uint64_t i = 1; i <= last; i++) {
            if (remap && i % 3 == 0) {
                /* Make the next write map the RAM first */
                win_limit(a, WIN_DIRECT32, 0);
                win_limit(a, WIN_DIRECT32, base + WIN_SIZE);
            }
            qtest_writeq(a->qts, first, i);
            qtest_writeq(a->qts, second + 64, i);
        }
        _exit(0);
    }
    while (seen < last) {
        uint64_t before;

        seen = qatomic_load_acquire(flag);
        before = qatomic_read(data);
        g_assert_cmphex(before, >=, seen);
    }
    ntb_end_child(pid);
    munmap(ram, WIN_RAM_SIZE);
}

static void test_mixed(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    uint64_t direct = win_bar(a, WIN_DIRECT32);
    uint64_t request = win_bar(a, WIN_DIRECT64) + 4;

    check_mixed(f, request, direct, false);
    check_mixed(f, direct, request, false);
    check_mixed(f, request, direct, true);
}

/* The last of two writes to the same place wins, whatever path each takes */
static void test_last_wins(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint64_t addr[2] = {
        win_bar(a, WIN_DIRECT32), win_bar(a, WIN_DIRECT64) + 4
    };

    for (unsigned i = 0; i < rounds(); i++) {
        unsigned last = i % 3 ? i & 1 : i >> 1 & 1;

        qtest_writel(a->qts, addr[!last] + 32, i);
        qtest_writel(a->qts, addr[last] + 32, ~i);
        /* A load finds the store before it, on each path */
        g_assert_cmphex(qtest_readl(a->qts, addr[i >> 2 & 1] + 32), ==, ~i);
        if (i % 16 == 0) {
            g_assert_cmphex(qtest_readl(b->qts, WIN_X + 32), ==, ~i);
        }
        if (i % 64 == 0) {
            /* Unmap now and then */
            win_close(a, WIN_DIRECT32);
            win_limit(a, WIN_DIRECT32, addr[0] + WIN_SIZE);
        }
    }
}

/* The peer finds the data once it sees a register that was written later */
static void test_posted_then_register(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    win_open(a, WIN_DIRECT32, b->partition, WIN_X);
    for (unsigned i = 0; i < rounds(); i++) {
        uint64_t addr = win_bar_home(a, WIN_DIRECT32) + i % 100 * 8;

        qtest_writeq(a->qts, addr, i);
        ntb_write(a, A_NTSDATA, i);
        g_assert_cmphex(ntb_gas_read(b, ntb_gas_nt(a->port, A_NTSDATA)),
                        ==, i);
        g_assert_cmphex(qtest_readq(b->qts, WIN_X + i % 100 * 8), ==, i);
    }
}

/* A stopped VM gets no doorbell; when it goes on, the data is there at once */
static void test_stopped(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    ntb_write(b, A_INDBELLMSK, 0);
    ntb_write(b, A_NTINTMSK, 0);
    win_open(a, 1, b->partition, WIN_X);
    for (uint32_t i = 1; i < 20; i++) {
        win_assert_hits(a, win_bar(a, 1), b, WIN_X, 8);
        qtest_qmp_assert_success(b->qts, "{'execute': 'stop'}");
        qtest_writel(a->qts, win_bar(a, 1), i);
        ntb_write(a, A_OUTDBELLSET, 1);
        ntb_settle(b->qts);
        g_assert_false(ntb_msi_seen(b));
        qtest_qmp_assert_success(b->qts, "{'execute': 'cont'}");
        g_assert_cmphex(qtest_readl(b->qts, WIN_X), ==, i);
        ntb_wait(ntb_msi_seen(b));
        ntb_msi_clear(b);
        ntb_write(b, A_INDBELLSTS, UINT32_MAX);
    }
}

static const Signal doorbell = { send_doorbell, take_doorbell };
static const Signal doorbell_unmapped = { send_doorbell, take_doorbell, 4 };
static const Signal interrupt = { send_doorbell, take_interrupt };
static const Signal interrupt_unmapped = { send_doorbell, take_interrupt, 4 };
static const Signal message = { send_message, take_message };
static const Signal message_unmapped = { send_message, take_message, 4 };

#define SIGNAL .ports = 2, .q35 = true, \
    .windows = WIN_ONLY(WIN_SHARED) | WIN_ONLY(WIN_PLAIN)
#define UNMAPPED .ports = 2, .q35 = true, .windows = WIN_ONLY(WIN_SHARED)
#define BOTH UNMAPPED, .prepare = open_direct_and_request
#define EACH .ports = 2, .q35 = true, .windows = WIN_EACH

static const NtbTest tests[] = {
    { "window-order/data-before-doorbell", test_signal, SIGNAL,
      .data = &doorbell },
    { "window-order/unmapped-data-before-doorbell", test_signal, UNMAPPED,
      .data = &doorbell_unmapped },
    { "window-order/data-before-interrupt", test_signal, SIGNAL,
      .data = &interrupt },
    { "window-order/unmapped-data-before-interrupt", test_signal, UNMAPPED,
      .data = &interrupt_unmapped },
    { "window-order/data-before-message", test_signal, SIGNAL,
      .data = &message },
    { "window-order/unmapped-data-before-message", test_signal, UNMAPPED,
      .data = &message_unmapped },
    { "window-order/data-before-register", test_posted_then_register, EACH },
    { "window-order/data-before-doorbell-of-a-stopped-vm", test_stopped,
      EACH },
    { "window-order/holds-over-both-paths", test_mixed, BOTH },
    { "window-order/last-write-wins", test_last_wins, BOTH },
};

ntb_tests(tests);
