/*
 * QTest testcase for idt-ntb: memory windows of one QEMU onto itself, and of
 * several onto each other at the same time
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/wait.h>
#include "qemu/module.h"
#include "hw/pci/pci_regs.h"
#include "idt-ntb/window.h"

static WinPair w;

/*
 * Two devices in one QEMU
 */

static void setup_both(WinPath path)
{
    w = (WinPair) { .server = ntb_server_start(), .path = path };
    win_boot_both(w.server, path, NULL, &w.a, &w.b);
}

static void teardown_both(void)
{
    g_free(w.b);
    ntb_quit(w.a);
    ntb_server_stop(w.server);
}

static void check_pair(NtbPort *from, NtbPort *to)
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
    if (w.path != WIN_PLAIN) {
        win_assert_path(from, w.path);
    }
    win_close(from, 1);
    win_close(from, 4);
    win_close_lut(from, WIN_LUT24, 3);
    win_assert_hides(from, win_bar(from, 1), to, WIN_X);
    win_assert_hides(from, lut, to, WIN_X + WIN_SIZE);
    g_assert_cmpuint(win_mappings(from), ==, 0);
}

static void test_two_in_one(WinPath path)
{
    setup_both(path);
    for (unsigned i = 0; i < 3; i++) {
        check_pair(w.a, w.b);
        check_pair(w.b, w.a);
    }
    teardown_both();
}

/* Events at one of them that close the other's windows */
static void test_two_in_one_closing(WinPath path)
{
    uint64_t base;

    setup_both(path);
    base = win_bar(w.a, 1);
    win_open(w.a, 1, w.b->partition, WIN_X);
    for (unsigned i = 0; i < 3; i++) {
        win_assert_shows(w.a, base, w.b, WIN_X);
        ntb_cfg_writew(w.b, PCI_COMMAND, PCI_COMMAND_MEMORY);
        g_assert_cmpuint(win_mappings(w.a), ==, 0);
        win_assert_hides(w.a, base, w.b, WIN_X);
        ntb_cfg_writew(w.b, PCI_COMMAND,
                       PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
        win_assert_shows(w.a, base, w.b, WIN_X);
        win_admit(w.a, false);
        g_assert_cmpuint(win_mappings(w.a), ==, 0);
        win_assert_hides(w.a, base, w.b, WIN_X);
        win_admit(w.a, true);
        win_assert_shows(w.a, base, w.b, WIN_X);
        ntb_cfg_writew(w.b, IDT_CAP_PCIE + PCI_EXP_DEVCTL,
                       PCI_EXP_DEVCTL_BCR_FLR);
        g_assert_cmpuint(win_mappings(w.a), ==, 0);
        win_assert_hides(w.a, base, w.b, WIN_X);
        win_setup_function(w.b);
    }
    teardown_both();
}

/* The registers of one through a window of the other */
static void test_two_in_one_registers(WinPath path)
{
    uint64_t base;

    setup_both(path);
    base = win_bar(w.a, 1);
    for (unsigned i = 0; i < 2; i++) {
        NtbPort *to = i ? w.a : w.b;

        ntb_write(to, A_NTSDATA, 0x5678);
        win_open(w.a, 1, w.b->partition, to->bar0);
        qtest_writel(w.a->qts, base + A_NTSDATA, 0x1234);
        g_assert_cmphex(qtest_readl(w.a->qts, base + A_NTSDATA), ==,
                        UINT32_MAX);
        g_assert_cmphex(ntb_read(to, A_NTSDATA), ==, 0x5678);
    }
    teardown_both();
}

/*
 * A port onto itself
 */

static void test_own_partition(WinPath path)
{
    win_start(&w, path, NULL);
    check_pair(w.a, w.a);
    check_pair(w.b, w.b);
    win_stop(&w);
}

static void test_own_registers(WinPath path)
{
    uint64_t base;

    win_start(&w, path, NULL);
    base = win_bar(w.a, 1);
    win_open(w.a, 1, w.a->partition, w.a->bar0);
    ntb_write(w.a, A_NTSDATA, 0x5678);
    qtest_writel(w.a->qts, base + A_NTSDATA, 0x1234);
    win_assert_ones(w.a, base + A_NTSDATA);
    g_assert_cmphex(ntb_read(w.a, A_NTSDATA), ==, 0x5678);
    win_stop(&w);
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
static void test_window_on_window(WinPath path)
{
    uint64_t base, behind;

    win_start(&w, path, NULL);
    base = win_bar(w.a, 1);
    behind = win_bar(w.b, 4);
    win_open(w.b, 4, w.a->partition, WIN_X);
    win_assert_shows(w.b, behind, w.a, WIN_X);
    win_open(w.a, 1, w.b->partition, behind);
    win_assert_hides(w.a, base, w.a, WIN_X);
    win_assert_hides(w.a, base + WIN_SIZE - 64, w.a, WIN_X + WIN_SIZE - 64);
    /* The one in between is as before */
    win_assert_shows(w.b, behind, w.a, WIN_X);
    win_open(w.a, 1, w.a->partition, base);
    win_assert_ones(w.a, base);
    qtest_writeq(w.a->qts, base, 0);
    win_open(w.a, 4, w.a->partition, WIN_X);
    win_assert_shows(w.a, win_bar(w.a, 4), w.a, WIN_X);
    win_open(w.a, 1, w.a->partition, win_bar(w.a, 4));
    assert_shows_or_hides(base, w.a, WIN_X);
    win_stop(&w);
}

/* Two that show each other: an access ends */
static void test_ring_of_windows(WinPath path)
{
    win_start(&w, path, NULL);
    win_open(w.a, 1, w.b->partition, win_bar(w.b, 1));
    win_open(w.b, 1, w.a->partition, win_bar(w.a, 1));
    for (unsigned i = 0; i < 20; i++) {
        win_assert_ones(w.a, win_bar(w.a, 1) + 8 * i);
        win_assert_ones(w.b, win_bar(w.b, 1) + 8 * i);
        qtest_writeq(w.a->qts, win_bar(w.a, 1), i);
        qtest_writeq(w.b->qts, win_bar(w.b, 1), i);
    }
    ntb_assert_talk(w.a, w.b);
    ntb_assert_talk(w.b, w.a);
    win_stop(&w);
}

static void test_two_in_one_windows(WinPath path)
{
    uint64_t base;

    setup_both(path);
    base = win_bar(w.a, 1);
    win_open(w.b, 4, w.a->partition, WIN_X);
    win_assert_shows(w.b, win_bar(w.b, 4), w.a, WIN_X);
    win_open(w.a, 1, w.b->partition, win_bar(w.b, 4));
    assert_shows_or_hides(base, w.a, WIN_X);
    win_open(w.a, 1, w.b->partition, base);
    win_assert_ones(w.a, base);
    win_assert_shows(w.b, win_bar(w.b, 4), w.a, WIN_X);
    teardown_both();
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

static void end_user(pid_t pid)
{
    int status;

    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
}

/* Two that wait for each other */
static void test_each_other(WinPath path)
{
    pid_t users[2];

    win_start(&w, path, NULL);
    win_open(w.a, 1, w.b->partition, WIN_X);
    win_open(w.b, 1, w.a->partition, WIN_X);
    users[0] = start_user(w.a, win_bar(w.a, 1), ROUNDS);
    users[1] = start_user(w.b, win_bar(w.b, 1), ROUNDS);
    end_user(users[0]);
    end_user(users[1]);
    win_stop(&w);
}

/* Three in a circle */
static void test_circle(WinPath path)
{
    NtbPort *p[3];
    pid_t users[3];

    win_start(&w, path, ",partitions=3");
    p[0] = w.a;
    p[1] = w.b;
    p[2] = win_boot(w.server, path, NULL, ",partitions=3");
    for (unsigned i = 0; i < 3; i++) {
        win_open(p[i], 1, p[(i + 1) % 3]->partition, WIN_X);
        users[i] = start_user(p[i], win_bar(p[i], 1), ROUNDS / 2);
    }
    for (unsigned i = 0; i < 3; i++) {
        end_user(users[i]);
    }
    ntb_quit(p[2]);
    win_stop(&w);
}

/* Many at one: each has its own place */
static void test_all_at_one(WinPath path)
{
    NtbPort *p[3];
    pid_t users[3];

    win_start(&w, path, ",partitions=4");
    p[0] = w.b;
    p[1] = win_boot(w.server, path, NULL, ",partitions=4");
    p[2] = win_boot(w.server, path, NULL, ",partitions=4");
    for (unsigned i = 0; i < 3; i++) {
        win_open(p[i], 4, w.a->partition, WIN_X + i * WIN_SIZE);
        users[i] = start_user(p[i], win_bar(p[i], 4), ROUNDS / 2);
    }
    for (unsigned i = 0; i < 3; i++) {
        end_user(users[i]);
    }
    ntb_quit(p[1]);
    ntb_quit(p[2]);
    win_stop(&w);
}

#define MARK 0x123456789a000000

/* They change their windows onto each other while they use them */
static void test_closing_each_other(WinPath path)
{
    pid_t pid;

    win_start(&w, path, NULL);
    for (unsigned i = 0; i < 2; i++) {
        NtbPort *p = i ? w.b : w.a;

        win_open(p, 1, 1 - i, WIN_X);
        qtest_writeq(p->qts, WIN_X, MARK + i);
    }
    pid = ntb_fork();
    for (unsigned i = 0; i < 300; i++) {
        NtbPort *p = pid ? w.b : w.a;
        uint64_t base = win_bar(p, 1), value;

        value = qtest_readq(p->qts, base);
        /* Closed by the other, or what the other has there */
        g_assert_true(value == UINT64_MAX || value == MARK + (pid ? 0 : 1));
        ntb_cfg_writew(p, PCI_COMMAND, PCI_COMMAND_MEMORY);
        ntb_cfg_writew(p, PCI_COMMAND,
                       PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
        win_admit(p, false);
        win_admit(p, true);
        win_limit(p, 1, 0);
        win_limit(p, 1, base + WIN_SIZE);
    }
    if (!pid) {
        _exit(0);
    }
    end_user(pid);
    win_assert_shows(w.a, win_bar(w.a, 1), w.b, WIN_X);
    win_assert_shows(w.b, win_bar(w.b, 1), w.a, WIN_X);
    win_stop(&w);
}

static void add_tests(void)
{
    if (!ntb_machine_is_q35()) {
        return;
    }
    win_add_case("window-loop/two-in-one", test_two_in_one);
    win_add_case("window-loop/two-in-one-closing", test_two_in_one_closing);
    win_add_case_shared("window-loop/two-in-one-registers",
                        test_two_in_one_registers);
    win_add_case_shared("window-loop/two-in-one-windows",
                        test_two_in_one_windows);
    win_add_case("window-loop/own-partition", test_own_partition);
    win_add_case_shared("window-loop/own-registers", test_own_registers);
    win_add_case_shared("window-loop/window-on-window", test_window_on_window);
    win_add_case_shared("window-loop/ring-of-windows", test_ring_of_windows);
    win_add_case("window-loop/each-other", test_each_other);
    win_add_case("window-loop/circle", test_circle);
    win_add_case_shared("window-loop/all-at-one", test_all_at_one);
    win_add_case_shared("window-loop/closing-each-other",
                        test_closing_each_other);
}

libqos_init(add_tests);
