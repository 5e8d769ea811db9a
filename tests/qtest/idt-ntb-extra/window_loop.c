/*
 * QTest testcase for idt-ntb: memory windows of one QEMU onto itself, and of
 * several onto each other at the same time
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "extra.h"

/*
 * Two devices in one QEMU
 */

static void start_both(NtbFixture *f)
{
    win_boot_both(f->server, f->path, NULL, &f->ports[0], &f->ports[1]);
}

static void check_pair(NtbFixture *f, NtbPort *from, NtbPort *to)
{
    uint64_t lut = win_bar(from, WIN_LUT24) + 3 * WIN_SIZE;

    for (unsigned bar = 1; bar <= 4; bar += 3) {
        uint64_t base = win_bar(from, bar);

        win_open(from, bar, to->partition, WIN_X + 4 * bar);
        win_assert_shows(from, base, to, WIN_X + 4 * bar);
        win_aim(from, bar, to->partition, WIN_X);
        win_assert_shows(from, base, to, WIN_X);
        win_assert_shows(from, base + WIN_SIZE - 64, to,
                         WIN_X + WIN_SIZE - 64);
    }
    win_open_lut(from, WIN_LUT24, 3, to->partition, WIN_X + WIN_SIZE);
    win_assert_shows(from, lut, to, WIN_X + WIN_SIZE);
    /* Inside one QEMU an alias needs no shared RAM */
    if (f->path != WIN_PLAIN) {
        win_assert_path(from, f->path);
    }
    win_close(from, 1);
    win_close(from, 4);
    win_close_lut(from, WIN_LUT24, 3);
    win_assert_hides(from, win_bar(from, 1), to, WIN_X);
    win_assert_hides(from, lut, to, WIN_X + WIN_SIZE);
    g_assert_cmpuint(win_mappings(from), ==, 0);
}

static void test_two_in_one(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    for (unsigned i = 0; i < 3; i++) {
        check_pair(f, a, b);
        check_pair(f, b, a);
    }
}

/* Events at one of them that close the other's windows */
static void test_two_in_one_closing(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint64_t base = win_bar(a, 1);

    win_open(a, 1, b->partition, WIN_X);
    for (unsigned i = 0; i < 3; i++) {
        win_assert_shows(a, base, b, WIN_X);
        ntb_set_master(b, false);
        g_assert_cmpuint(win_mappings(a), ==, 0);
        win_assert_hides(a, base, b, WIN_X);
        ntb_set_master(b, true);
        win_assert_shows(a, base, b, WIN_X);
        win_admit(a, false);
        g_assert_cmpuint(win_mappings(a), ==, 0);
        win_assert_hides(a, base, b, WIN_X);
        win_admit(a, true);
        win_assert_shows(a, base, b, WIN_X);
        ntb_function_reset(b);
        g_assert_cmpuint(win_mappings(a), ==, 0);
        win_assert_hides(a, base, b, WIN_X);
        win_setup_function(b);
    }
}

/* The registers of one through a window of the other */
static void test_two_in_one_registers(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint64_t base = win_bar(a, 1);

    for (unsigned i = 0; i < 2; i++) {
        NtbPort *to = i ? a : b;

        ntb_write(to, A_NTSDATA, 0x5678);
        win_open(a, 1, b->partition, to->bar0);
        qtest_writel(a->qts, base + A_NTSDATA, 0x1234);
        g_assert_cmphex(qtest_readl(a->qts, base + A_NTSDATA), ==,
                        UINT32_MAX);
        g_assert_cmphex(ntb_read(to, A_NTSDATA), ==, 0x5678);
    }
}

/*
 * A port onto itself
 */

static void test_own_partition(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    check_pair(f, a, a);
    check_pair(f, b, b);
}

static void test_own_registers(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    uint64_t base = win_bar(a, 1);

    win_open(a, 1, a->partition, a->bar0);
    ntb_write(a, A_NTSDATA, 0x5678);
    qtest_writel(a->qts, base + A_NTSDATA, 0x1234);
    win_assert_ones(a, base + A_NTSDATA);
    g_assert_cmphex(ntb_read(a, A_NTSDATA), ==, 0x5678);
}

/*
 * Windows onto windows
 */

/*
 * A window onto one of the same QEMU: nothing tells an alias of its own RAM
 * from that RAM, so it may be there or not.
 */
static void assert_shows_or_hides(uint64_t base, NtbPort *p, uint64_t x)
{
    uint64_t value = win_value(), seen;

    qtest_writeq(p->qts, x, value);
    seen = qtest_readq(p->qts, base);
    g_assert_true(seen == value || seen == UINT64_MAX);
}

/* A peer's window that is open, one of another device, one's own */
static void test_window_on_window(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint64_t base, behind;

    base = win_bar(a, 1);
    behind = win_bar(b, 4);
    win_open(b, 4, a->partition, WIN_X);
    win_assert_shows(b, behind, a, WIN_X);
    win_open(a, 1, b->partition, behind);
    win_assert_hides(a, base, a, WIN_X);
    win_assert_hides(a, base + WIN_SIZE - 64, a, WIN_X + WIN_SIZE - 64);
    /* The one in between is as before */
    win_assert_shows(b, behind, a, WIN_X);
    win_open(a, 1, a->partition, base);
    win_assert_ones(a, base);
    qtest_writeq(a->qts, base, 0);
    win_open(a, 4, a->partition, WIN_X);
    win_assert_shows(a, win_bar(a, 4), a, WIN_X);
    win_open(a, 1, a->partition, win_bar(a, 4));
    assert_shows_or_hides(base, a, WIN_X);
}

/* Two that show each other: an access ends */
static void test_ring_of_windows(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    win_open(a, 1, b->partition, win_bar(b, 1));
    win_open(b, 1, a->partition, win_bar(a, 1));
    for (unsigned i = 0; i < 20; i++) {
        win_assert_ones(a, win_bar(a, 1) + 8 * i);
        win_assert_ones(b, win_bar(b, 1) + 8 * i);
        qtest_writeq(a->qts, win_bar(a, 1), i);
        qtest_writeq(b->qts, win_bar(b, 1), i);
    }
    ntb_assert_talk(a, b);
    ntb_assert_talk(b, a);
}

static void test_two_in_one_windows(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint64_t base = win_bar(a, 1);

    win_open(b, 4, a->partition, WIN_X);
    win_assert_shows(b, win_bar(b, 4), a, WIN_X);
    win_open(a, 1, b->partition, win_bar(b, 4));
    assert_shows_or_hides(base, a, WIN_X);
    win_open(a, 1, b->partition, base);
    win_assert_ones(a, base);
    win_assert_shows(b, win_bar(b, 4), a, WIN_X);
}

/*
 * At the same time.  Each QEMU has a process of ours that talks to it.
 */

#define ROUNDS (g_test_slow() ? 6000 : 1500)

/*
 * Read and write through the window of @p at @base: nobody else writes there.
 * Ends with status 0 if all was right.
 */
static pid_t start_user(NtbPort *p, uint64_t base, unsigned rounds)
{
    pid_t pid = ntb_fork();

    if (pid) {
        return pid;
    }
    for (unsigned i = 0; i < rounds; i++) {
        uint64_t addr = base + i % 1000 * 24;
        uint64_t value = win_value();

        qtest_writeq(p->qts, addr, value);
        if (qtest_readq(p->qts, addr) != value) {
            _exit(3);
        }
        if (qtest_readl(p->qts, addr + 3) != (uint32_t)(value >> 24)) {
            _exit(4);
        }
    }
    _exit(0);
}

/* Two that wait for each other */
static void test_each_other(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    pid_t users[2];

    win_open(a, 1, b->partition, WIN_X);
    win_open(b, 1, a->partition, WIN_X);
    users[0] = start_user(a, win_bar(a, 1), ROUNDS);
    users[1] = start_user(b, win_bar(b, 1), ROUNDS);
    ntb_end_child(users[0]);
    ntb_end_child(users[1]);
}

/* Three in a circle */
static void test_circle(NtbFixture *f)
{
    NtbPort **p = f->ports;
    pid_t users[3];

    for (unsigned i = 0; i < 3; i++) {
        win_open(p[i], 1, p[(i + 1) % 3]->partition, WIN_X);
        users[i] = start_user(p[i], win_bar(p[i], 1), ROUNDS / 2);
    }
    for (unsigned i = 0; i < 3; i++) {
        ntb_end_child(users[i]);
    }
}

/* Many at one: each has its own place */
static void test_all_at_one(NtbFixture *f)
{
    NtbPort **p = &f->ports[1];
    pid_t users[3];

    for (unsigned i = 0; i < 3; i++) {
        win_open(p[i], 4, f->ports[0]->partition, WIN_X + i * WIN_SIZE);
        users[i] = start_user(p[i], win_bar(p[i], 4), ROUNDS / 2);
    }
    for (unsigned i = 0; i < 3; i++) {
        ntb_end_child(users[i]);
    }
}

#define MARK 0x123456789a000000

/* They change their windows onto each other while they use them */
static void test_closing_each_other(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    pid_t pid;

    for (unsigned i = 0; i < 2; i++) {
        NtbPort *p = i ? b : a;

        win_open(p, 1, 1 - i, WIN_X);
        qtest_writeq(p->qts, WIN_X, MARK + i);
    }
    pid = ntb_fork();
    for (unsigned i = 0; i < 300; i++) {
        NtbPort *p = pid ? b : a;
        uint64_t base = win_bar(p, 1), value;

        value = qtest_readq(p->qts, base);
        /* Closed by the other, or what the other has there */
        g_assert_true(value == UINT64_MAX || value == MARK + (pid ? 0 : 1));
        ntb_set_master(p, false);
        ntb_set_master(p, true);
        win_admit(p, false);
        win_admit(p, true);
        win_limit(p, 1, 0);
        win_limit(p, 1, base + WIN_SIZE);
    }
    if (!pid) {
        _exit(0);
    }
    ntb_end_child(pid);
    win_assert_shows(a, win_bar(a, 1), b, WIN_X);
    win_assert_shows(b, win_bar(b, 1), a, WIN_X);
}

#define BOTH .prepare = start_both, .q35 = true
#define EACH .ports = 2, .windows = WIN_EACH, .q35 = true
#define SHARED .ports = 2, .windows = WIN_MOSTLY_SHARED, .q35 = true

static const NtbTest tests[] = {
    { "window-loop/devices-of-one-qemu-see-each-other", test_two_in_one,
      .prepare = start_both, .windows = WIN_EACH, .q35 = true },
    { "window-loop/device-of-the-same-qemu-closes", test_two_in_one_closing,
      .prepare = start_both, .windows = WIN_EACH, .q35 = true },
    { "window-loop/registers-of-the-same-qemu-are-refused",
      test_two_in_one_registers, .prepare = start_both,
      .windows = WIN_MOSTLY_SHARED, .q35 = true },
    { "window-loop/window-of-the-same-qemu-is-the-end",
      test_two_in_one_windows, .prepare = start_both,
      .windows = WIN_MOSTLY_SHARED, .q35 = true },
    { "window-loop/port-sees-its-own-ram", test_own_partition, EACH },
    { "window-loop/own-registers-are-refused", test_own_registers, SHARED },
    { "window-loop/window-of-a-peer-is-the-end", test_window_on_window,
      SHARED },
    { "window-loop/ring-of-windows-ends", test_ring_of_windows, SHARED },
    { "window-loop/two-ports-access-each-other", test_each_other, EACH },
    { "window-loop/three-ports-access-in-a-circle", test_circle, .ports = 3,
      .windows = WIN_EACH, .q35 = true },
    { "window-loop/three-ports-access-one", test_all_at_one, .ports = 4,
      .windows = WIN_MOSTLY_SHARED, .q35 = true },
    { "window-loop/two-ports-close-each-other", test_closing_each_other,
      SHARED },
};

ntb_tests(tests);
