/*
 * QTest testcase for idt-ntb: memory windows as a vCPU sees them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "hw/pci/pci_regs.h"
#include "vcpu.h"
#include "tests.h"

static WinPair w;
static uint64_t base;           /* BAR1 in @w.a's guest */

static void setup(WinPath path)
{
    w = (WinPair) { .server = ntb_server_start(), .path = path };
    w.a = win_boot(w.server, path, vcpu_args(), VCPU_PROPS);
    w.b = win_boot(w.server, path, NULL, VCPU_PROPS);
    base = win_bar(w.a, 1);
    win_open(w.a, 1, w.b->partition, WIN_X);
}

static void assert_hits(uint64_t addr, uint64_t x, unsigned size)
{
    uint64_t mask = MAKE_64BIT_MASK(0, 8 * size);
    uint64_t before = win_value(), value = win_value();

    qtest_writeq(w.b->qts, x, before);
    g_assert_cmphex(vcpu_read(w.a, addr, size), ==, before & mask);
    vcpu_write(w.a, addr, size, value);
    win_sync(w.b);
    g_assert_cmphex(qtest_readq(w.b->qts, x), ==,
                    (before & ~mask) | (value & mask));
    g_assert_cmphex(vcpu_read(w.a, addr, size), ==, value & mask);
}

static void assert_misses(uint64_t addr, uint64_t x, unsigned size)
{
    uint64_t before = win_value();

    qtest_writeq(w.b->qts, x, before);
    g_assert_cmphex(vcpu_read(w.a, addr, size), ==,
                    MAKE_64BIT_MASK(0, 8 * size));
    vcpu_write(w.a, addr, size, win_value());
    win_sync(w.b);
    g_assert_cmphex(qtest_readq(w.b->qts, x), ==, before);
}

/* Every size and alignment, over the ends of pages */
static void test_accesses(WinPath path)
{
    if (!vcpu_possible()) {
        return;
    }
    setup(path);
    for (unsigned size = 1; size <= 8; size *= 2) {
        for (unsigned at = 0; at < 16; at++) {
            assert_hits(base + at, WIN_X + at, size);
            assert_hits(base + 4088 + at, WIN_X + 4088 + at, size);
        }
        assert_hits(base + WIN_SIZE - size, WIN_X + WIN_SIZE - size, size);
    }
    win_assert_path(w.a, path);
    win_stop(&w);
}

/* Pages that can be mapped and such that can't, one after the other */
static void test_every_dword(WinPath path)
{
    unsigned step = g_test_slow() ? 4 : 36;

    if (!vcpu_possible()) {
        return;
    }
    setup(path);
    for (unsigned at = 0; at <= 4096; at += step) {
        uint64_t x = WIN_X + at;

        win_aim(w.a, 1, w.b->partition, x);
        assert_hits(base, x, 8);
        assert_hits(base + 4093, x + 4093, 8);
        assert_hits(base + at, x + at, 4);
        if (at % 72 == 0) {
            win_aim(w.a, 1, w.b->partition, WIN_X);
            assert_hits(base, WIN_X, 8);
            assert_hits(base + 4094, WIN_X + 4094, 4);
            win_assert_path(w.a, path);
        }
    }
    win_stop(&w);
}

static void test_segments(WinPath path)
{
    uint64_t lut;

    if (!vcpu_possible()) {
        return;
    }
    setup(path);
    lut = win_bar(w.a, WIN_LUT24);
    for (unsigned n = 0; n < 24; n++) {
        win_open_lut(w.a, WIN_LUT24, n, w.b->partition,
                     WIN_X + (23 - n) * WIN_SIZE);
    }
    for (unsigned n = 0; n < 23; n++) {
        uint64_t low = WIN_X + (24 - n) * WIN_SIZE;
        uint64_t high = WIN_X + (22 - n) * WIN_SIZE;

        qtest_writel(w.b->qts, low - 4, 0x11110000 + n);
        qtest_writel(w.b->qts, high, 0x22220000 + n);
        g_assert_cmphex(vcpu_read(w.a, lut + (n + 1) * WIN_SIZE - 4, 8), ==,
                        (0x22220000ULL + n) << 32 | (0x11110000 + n));
        vcpu_write(w.a, lut + (n + 1) * WIN_SIZE - 2, 4, 0xaabbccdd);
        win_sync(w.b);
        g_assert_cmphex(qtest_readw(w.b->qts, low - 2), ==, 0xccdd);
        g_assert_cmphex(qtest_readw(w.b->qts, high), ==, 0xaabb);
    }
    /* Over the end of the last one */
    assert_misses(lut + 24 * WIN_SIZE, WIN_X, 8);
    g_assert_cmphex(vcpu_read(w.a, lut + 24 * WIN_SIZE - 4, 8) >> 32, ==,
                    UINT32_MAX);
    win_stop(&w);
}

/* Blocks, both ways, and their order */
static void test_copy(WinPath path)
{
    g_autofree uint8_t *data = g_malloc(WIN_SIZE);
    g_autofree uint8_t *is = g_malloc(WIN_SIZE);

    if (!vcpu_possible()) {
        return;
    }
    setup(path);
    for (unsigned size = 1; size <= 20000; size = size * 3 + 1) {
        for (unsigned i = 0; i < size + 8; i += 8) {
            stq_le_p(data + i, win_value());
        }
        qtest_memwrite(w.a->qts, WIN_X, data, size);
        vcpu_copy(w.a, base + 4090, WIN_X, size);
        win_sync(w.b);
        qtest_memread(w.b->qts, WIN_X + 4090, is, size);
        g_assert_cmpmem(is, size, data, size);
        vcpu_copy(w.a, WIN_X + WIN_SIZE, base + 4090, size);
        qtest_memread(w.a->qts, WIN_X + WIN_SIZE, is, size);
        g_assert_cmpmem(is, size, data, size);
    }
    win_stop(&w);
}

/* What the vCPU has used is closed and moved under it */
static void test_changes(WinPath path)
{
    if (!vcpu_possible()) {
        return;
    }
    setup(path);
    for (unsigned i = 0; i < 40; i++) {
        uint64_t x = WIN_X + i * 7 % 5 * 0x2000 + (i % 4 ? 0 : 4);

        win_aim(w.a, 1, w.b->partition, x);
        assert_hits(base, x, 4);
        assert_hits(base + 0x1fff, x + 0x1fff, 2);
        win_limit(w.a, 1, base + 0xfff);
        assert_hits(base + 0xff8, x + 0xff8, 8);
        assert_misses(base + 0x1000, x + 0x1000, 4);
        win_limit(w.a, 1, 0);
        assert_misses(base, x, 4);
        win_limit(w.a, 1, base + WIN_SIZE);
        assert_hits(base + 0x1000, x + 0x1000, 4);
        ntb_cfg_writew(w.b, PCI_COMMAND, PCI_COMMAND_MEMORY);
        assert_misses(base + 0x1000, x + 0x1000, 4);
        ntb_cfg_writew(w.b, PCI_COMMAND,
                       PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    }
    win_stop(&w);
}

/* The registers of the peer, and those of its own, from a vCPU */
static void test_registers(WinPath path)
{
    if (!vcpu_possible()) {
        return;
    }
    setup(path);
    win_aim(w.a, 1, w.b->partition, w.b->bar0);
    for (unsigned i = 0; i < 100; i++) {
        vcpu_write(w.a, base + A_NTSDATA, 4, i);
        g_assert_cmphex(ntb_read(w.b, A_NTSDATA), ==, i);
        g_assert_cmphex(vcpu_read(w.a, base + A_NTSDATA, 4), ==, i);
    }
    win_aim(w.a, 1, w.a->partition, w.a->bar0);
    for (unsigned i = 0; i < 100; i++) {
        vcpu_write(w.a, base + A_NTSDATA, 4, i);
        g_assert_cmphex(ntb_read(w.a, A_NTSDATA), ==, i);
        g_assert_cmphex(vcpu_read(w.a, base + A_NTSDATA, 4), ==, i);
    }
    win_stop(&w);
}

/* Both are vCPUs, and each waits for the other's QEMU */
static void test_each_other(void)
{
    NtbPort *c;

    if (!vcpu_possible()) {
        return;
    }
    setup(WIN_FORCED);
    ntb_quit(w.b);
    ntb_wait(!ntb_link_up(w.a, 2));
    c = win_boot(w.server, WIN_FORCED, vcpu_args(), VCPU_PROPS);
    win_open(c, 1, w.a->partition, WIN_X);
    vcpu_start(w.a, base);
    vcpu_start(c, win_bar(c, 1));
    for (unsigned i = 0; i < 500; i++) {
        uint32_t a = qtest_readl(w.a->qts, WIN_X);
        uint32_t b = qtest_readl(c->qts, WIN_X);

        /* Both go on, and neither stands in the other's way */
        ntb_wait(qtest_readl(w.a->qts, WIN_X) != a);
        ntb_wait(qtest_readl(c->qts, WIN_X) != b);
        g_assert_cmphex(qtest_readl(w.a->qts, base), >=, b);
        ntb_write(c, A_NTSDATA, i);
    }
    vcpu_stop(w.a);
    vcpu_stop(c);
    win_sync(w.a);
    win_sync(c);
    g_assert_cmphex(qtest_readl(c->qts, WIN_X), ==, vcpu_count(w.a));
    g_assert_cmphex(qtest_readl(w.a->qts, WIN_X), ==, vcpu_count(c));
    w.b = c;
    win_stop(&w);
}

typedef struct Await {
    uint32_t reg, bits;
    uint32_t send, value;
    uint32_t clear;
} Await;

/*
 * Data, then a doorbell or a message: the vCPU that waits for it in a register
 * has the data, whatever its QEMU's main loop has come to do.
 */
static void test_await(WinPath path)
{
    static const Await awaits[] = {
        { A_INDBELLSTS, 1 << 5, A_OUTDBELLSET, 1 << 5, A_INDBELLSTS },
        { A_MSGSTS, 1 << 16, A_OUTMSG0, 0x77, A_MSGSTS },
        { A_NTINTSTS, R_NTINTSTS_DBELL_MASK, A_OUTDBELLSET, 1 << 5,
          A_INDBELLSTS },
    };
    unsigned rounds = g_test_slow() ? 1500 : 150;
    NtbPort *from;

    if (!vcpu_possible()) {
        return;
    }
    setup(path);
    from = w.b;
    win_open(from, 1, w.a->partition, WIN_X);
    ntb_route_message(from, 0, w.a->partition, 0);
    ntb_write(w.a, A_INDBELLMSK, 0);
    for (unsigned i = 0; i < rounds * G_N_ELEMENTS(awaits); i++) {
        const Await *a = &awaits[i % G_N_ELEMENTS(awaits)];

        vcpu_await(w.a, w.a->bar0 + a->reg, a->bits, WIN_X + 0x80);
        for (unsigned k = 0; k < 5; k++) {
            qtest_writel(from->qts, win_bar_home(from, 1) + 0x20 * k, i);
        }
        ntb_write(from, a->send, a->value);
        g_assert_cmphex(vcpu_awaited(w.a), ==, i);
        ntb_write(w.a, a->clear, UINT32_MAX);
    }
    win_stop(&w);
}

void ntb_add_window_vcpu_tests(void)
{
    win_add_case("window-vcpu/await", test_await);
    win_add_case("window-vcpu/accesses", test_accesses);
    win_add_case_shared("window-vcpu/every-dword", test_every_dword);
    win_add_case("window-vcpu/segments", test_segments);
    win_add_case_shared("window-vcpu/copy", test_copy);
    win_add_case_shared("window-vcpu/changes", test_changes);
    win_add_case_shared("window-vcpu/registers", test_registers);
    qtest_add_func("/idt-ntb/window-vcpu/each-other", test_each_other);
}
