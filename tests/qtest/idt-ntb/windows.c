/*
 * QTest testcase for idt-ntb: what memory windows show, to the byte
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/module.h"
#include "hw/pci/pci_regs.h"
#include "window.h"

static WinPair w;

/*
 * All that is in them
 */

static void check_direct(NtbPort *from, NtbPort *to, unsigned bar)
{
    uint64_t base = win_bar(from, bar);
    uint64_t end = win_bar_size(from, bar) - 64;

    win_assert_hides(from, base, to, WIN_X);
    win_open(from, bar, to->partition, WIN_X);
    for (unsigned size = 1; size <= 8; size++) {
        for (unsigned at = 0; at <= 8; at++) {
            win_assert_hits(from, base + at, to, WIN_X + at, size);
        }
    }
    win_assert_shows(from, base + end / 2 + 1, to, WIN_X + end / 2 + 1);
    win_assert_shows(from, base + end, to, WIN_X + end);
    win_assert_path(from, win_path_to(to, w.path));
    win_close(from, bar);
    win_assert_hides(from, base, to, WIN_X);
    win_assert_hides(from, base + end, to, WIN_X);
    g_assert_cmpuint(win_mappings(from), ==, 0);
}

static void test_direct(WinPath path)
{
    win_start(&w, path, NULL);
    check_direct(w.a, w.b, WIN_DIRECT32);
    check_direct(w.b, w.a, WIN_DIRECT64);
    win_stop(&w);
}

static void test_direct_others(WinPath path)
{
    win_start(&w, path, ",bar2-64bit=off,bar2-mode=direct,bar2-size=64k,"
              "bar3-mode=direct,bar3-size=8k,bar4-64bit=off,bar5-mode=direct,"
              "bar5-size=16M");
    for (unsigned bar = 1; bar < IDT_NUM_BARS; bar++) {
        check_direct(w.a, w.b, bar);
    }
    win_stop(&w);
    win_start(&w, path, ",bar2-mode=direct,bar2-size=16M");
    check_direct(w.b, w.a, 2);
    win_stop(&w);
}

/* Where entry @n leads to: not in order */
static uint64_t entry_x(unsigned n, uint64_t size)
{
    return WIN_X + n * 7 % 24 * size;
}

static void check_entry(NtbPort *from, uint64_t addr, NtbPort *to, unsigned n,
                        uint64_t size)
{
    win_assert_hits(from, addr + n * size, to, entry_x(n, size), 8);
    win_assert_hits(from, addr + n * size + size - 7, to,
                    entry_x(n, size) + size - 7, 7);
}

/* Each usable entry shows its own, the others nothing */
static void check_lut(NtbPort *from, NtbPort *to, unsigned bar,
                      unsigned usable)
{
    uint64_t base = win_bar(from, bar);
    unsigned entries = usable * 4 / 3;
    uint64_t size = win_bar_size(from, bar) / entries;

    for (unsigned n = 0; n < 32; n++) {
        win_open_lut(from, bar, n, to->partition, entry_x(n, size));
    }
    for (unsigned n = 0; n < usable; n++) {
        check_entry(from, base, to, n, size);
    }
    win_assert_shows(from, base + size * 5 + 65, to, entry_x(5, size) + 65);
    win_assert_path(from, win_path_to(to, w.path));
    for (unsigned n = usable; n < entries; n++) {
        win_assert_hides(from, base + n * size, to, entry_x(n, size));
        win_assert_misses(from, base + n * size + size - 8, to,
                          entry_x(n, size) + size - 8, 8);
    }
    for (unsigned n = 0; n < usable; n++) {
        win_close_lut(from, bar, n);
        win_assert_misses(from, base + n * size, to, entry_x(n, size), 8);
        if (n + 1 < usable) {
            check_entry(from, base, to, n + 1, size);
        }
    }
    g_assert_cmpuint(win_mappings(from), ==, 0);
}

static void test_lut24(WinPath path)
{
    win_start(&w, path, NULL);
    check_lut(w.a, w.b, 2, 24);
    win_stop(&w);
    win_start(&w, path, ",bar2-mode=off,bar4-64bit=off,bar4-mode=lut24,"
              "bar4-size=2M");
    check_lut(w.a, w.b, 4, 24);
    win_stop(&w);
}

static void test_lut12(WinPath path)
{
    win_start(&w, path, ",bar2-mode=lut12,bar4-mode=lut12,bar2-64bit=off,"
              "bar4-size=128k");
    check_lut(w.a, w.b, 2, 12);
    check_lut(w.b, w.a, 4, 12);
    win_stop(&w);
}

/* Windows smaller than a page, segments of 16 bytes */
static void test_small(WinPath path)
{
    uint64_t base;

    win_start(&w, path, ",bar1-size=512,bar2-size=512,bar4-size=2k");
    for (unsigned i = 0; i < 2; i++) {
        unsigned bar = i ? WIN_DIRECT64 : WIN_DIRECT32;
        uint64_t size = win_bar_size(w.a, bar);

        /* Not at the start of a page */
        win_place(w.a, bar, win_bar_home(w.a, bar) + size);
        base = win_bar(w.a, bar);
        win_open(w.a, bar, w.b->partition, WIN_X + size);
        win_assert_shows(w.a, base, w.b, WIN_X + size);
        win_assert_shows(w.a, base + size - 64, w.b, WIN_X + size * 2 - 64);
        win_close(w.a, bar);
        win_assert_hides(w.a, base, w.b, WIN_X + size);
    }
    base = win_bar(w.a, WIN_LUT24);
    for (unsigned n = 0; n < 24; n++) {
        win_open_lut(w.a, WIN_LUT24, n, w.b->partition, entry_x(n, 20));
    }
    for (unsigned n = 0; n < 24; n++) {
        for (unsigned size = 1; size <= 8; size++) {
            win_assert_hits(w.a, base + n * 16, w.b, entry_x(n, 20), size);
            win_assert_hits(w.a, base + n * 16 + 16 - size, w.b,
                            entry_x(n, 20) + 16 - size, size);
        }
    }
    win_stop(&w);
}

/* More bytes than one access has */
static void test_blocks(WinPath path)
{
    static const unsigned sizes[] = { 9, 64, 4095, 4096, 10001, 65536 };
    g_autofree uint8_t *data = g_malloc(WIN_SIZE);
    g_autofree uint8_t *is = g_malloc(WIN_SIZE);
    uint64_t base;

    win_start(&w, path, NULL);
    base = win_bar(w.a, WIN_DIRECT64);
    win_open(w.a, WIN_DIRECT64, w.b->partition, WIN_X);
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        unsigned at = 4096 - sizes[i] % 13;

        for (unsigned k = 0; k < sizes[i] + 8; k += 8) {
            stq_le_p(data + k, win_value());
        }
        qtest_bufwrite(w.a->qts, base + at, data, sizes[i]);
        win_sync(w.b);
        qtest_bufread(w.b->qts, WIN_X + at, is, sizes[i]);
        g_assert_cmpmem(is, sizes[i], data, sizes[i]);
        qtest_bufread(w.a->qts, base + at, is, sizes[i]);
        g_assert_cmpmem(is, sizes[i], data, sizes[i]);
    }
    win_stop(&w);
}

/*
 * Boundaries
 */

/*
 * All accesses over the boundary at @addr, before which is the end of what is
 * at @x_low, and behind it @x_high; 0: nothing there.
 */
static void check_boundary(NtbPort *from, uint64_t addr, NtbPort *low,
                           uint64_t x_low, NtbPort *high, uint64_t x_high)
{
    for (unsigned size = 2; size <= 8; size++) {
        for (unsigned before = 1; before < size; before++) {
            uint8_t left[8], right[8], should[8];
            uint64_t value = win_value();

            memset(should, 0xff, sizeof(should));
            if (low) {
                stq_le_p(left, win_value());
                qtest_memwrite(low->qts, x_low - 8, left, 8);
                memcpy(should, left + 8 - before, before);
            }
            if (high) {
                stq_le_p(right, win_value());
                qtest_memwrite(high->qts, x_high, right, 8);
                memcpy(should + before, right, size - before);
            }
            memset(should + size, 0, 8 - size);
            g_assert_cmphex(ntb_read_sized(from, addr - before, size), ==,
                            ldq_le_p(should));
            ntb_write_sized(from, addr - before, size, value);
            stq_le_p(should, value);
            if (low) {
                memcpy(left + 8 - before, should, before);
                win_sync(low);
                g_assert_cmphex(ntb_mem_read(low->qts, x_low - 8, 8), ==,
                                ldq_le_p(left));
            }
            if (high) {
                memcpy(right, should + before, size - before);
                win_sync(high);
                g_assert_cmphex(ntb_mem_read(high->qts, x_high, 8), ==,
                                ldq_le_p(right));
            }
        }
    }
}

static void check_segments(NtbPort *a, NtbPort *b, NtbPort *c)
{
    uint64_t base = win_bar(a, WIN_LUT24);
    uint64_t x = WIN_X;

    win_open_lut(a, WIN_LUT24, 0, b->partition, x);
    win_open_lut(a, WIN_LUT24, 1, b->partition, x + 8 * WIN_SIZE);
    win_open_lut(a, WIN_LUT24, 2, c->partition, x + 3 * WIN_SIZE);
    win_open_lut(a, WIN_LUT24, 3, c->partition, x + 4 * WIN_SIZE + 0x344);
    win_open_lut(a, WIN_LUT24, 5, b->partition, x + 0x1000);
    win_open_lut(a, WIN_LUT24, 23, c->partition, x);
    check_boundary(a, base + WIN_SIZE, b, x + WIN_SIZE, b, x + 8 * WIN_SIZE);
    check_boundary(a, base + 2 * WIN_SIZE, b, x + 9 * WIN_SIZE, c,
                   x + 3 * WIN_SIZE);
    check_boundary(a, base + 3 * WIN_SIZE, c, x + 4 * WIN_SIZE, c,
                   x + 4 * WIN_SIZE + 0x344);
    check_boundary(a, base + 4 * WIN_SIZE, c, x + 5 * WIN_SIZE + 0x344, NULL,
                   0);
    check_boundary(a, base + 5 * WIN_SIZE, NULL, 0, b, x + 0x1000);
    check_boundary(a, base + 24 * WIN_SIZE, c, x + WIN_SIZE, NULL, 0);
    check_boundary(a, base + 26 * WIN_SIZE, NULL, 0, NULL, 0);
}

static void test_segments(WinPath path)
{
    NtbPort *c;

    win_start(&w, path, ",partitions=3");
    c = win_boot(w.server, path, NULL, ",partitions=3");
    check_segments(w.a, w.b, c);
    check_segments(c, w.a, w.b);
    ntb_quit(c);
    win_stop(&w);
}

/* One is aliased, the other can't be */
static void test_segments_mixed(void)
{
    NtbPort *c;

    win_start(&w, WIN_SHARED, ",partitions=3");
    c = win_boot(w.server, WIN_PLAIN, NULL, ",partitions=3");
    check_segments(w.a, w.b, c);
    check_segments(w.a, c, w.b);
    check_segments(w.b, c, w.a);
    check_segments(c, w.a, w.b);
    ntb_quit(c);
    win_stop(&w);
}

/*
 * QEMU does not cut an access at the end of a BAR: what is behind it does not
 * matter, but what is in it must be as always.
 */
static void check_bar_end(unsigned bar)
{
    uint64_t end = win_bar(w.a, bar) + win_bar_size(w.a, bar);
    uint64_t x = WIN_X + win_bar_size(w.a, bar);

    for (unsigned size = 2; size <= 8; size++) {
        for (unsigned in = 1; in < size; in++) {
            uint64_t mask = MAKE_64BIT_MASK(0, 8 * in);
            uint64_t before = win_value(), value = win_value();

            ntb_mem_write(w.b->qts, x - in, 8, before);
            g_assert_cmphex(ntb_read_sized(w.a, end - in, size) & mask, ==,
                            before & mask);
            ntb_write_sized(w.a, end - in, size, value);
            win_sync(w.b);
            g_assert_cmphex(ntb_mem_read(w.b->qts, x - in, 8), ==,
                            (before & ~mask) | (value & mask));
        }
    }
}

static void test_bar_end(WinPath path)
{
    win_start(&w, path, ",bar1-size=512,bar4-64bit=off");
    win_open(w.a, 1, w.b->partition, WIN_X);
    win_open(w.a, 4, w.b->partition, WIN_X);
    check_bar_end(1);
    check_bar_end(4);
    /* Two of them side by side */
    win_place(w.a, 4, win_bar(w.a, 1) + WIN_SIZE);
    win_place(w.a, 1, win_bar(w.a, 4) - 512);
    win_open(w.a, 4, w.b->partition, WIN_X);
    win_open(w.a, 1, w.b->partition, WIN_X);
    check_bar_end(1);
    check_bar_end(4);
    win_stop(&w);
}

/*
 * Limit
 */

/* The window ends behind @limit | 0x3ff, wherever that is */
static void check_limit(unsigned bar, uint64_t limit)
{
    uint64_t base = win_bar(w.a, bar);
    uint64_t size = win_bar_size(w.a, bar);
    uint64_t last = limit | 0x3ff;

    win_limit(w.a, bar, limit);
    if (last < base) {
        win_assert_misses(w.a, base, w.b, WIN_X, 8);
        win_assert_misses(w.a, base + size - 8, w.b, WIN_X + size - 8, 8);
    } else if (last >= base + size - 1) {
        win_assert_hits(w.a, base, w.b, WIN_X, 8);
        win_assert_hits(w.a, base + size - 8, w.b, WIN_X + size - 8, 8);
    } else {
        uint64_t x = last + 1 - base + WIN_X;

        win_assert_hits(w.a, base, w.b, WIN_X, 8);
        win_assert_hits(w.a, last - 7, w.b, x - 8, 8);
        win_assert_misses(w.a, last + 1, w.b, x, 8);
        win_assert_misses(w.a, base + size - 8, w.b, WIN_X + size - 8, 8);
        check_boundary(w.a, last + 1, w.b, x, NULL, 0);
    }
}

static void check_limits(unsigned bar)
{
    uint64_t base = win_bar(w.a, bar);
    uint64_t size = win_bar_size(w.a, bar);
    const uint64_t limits[] = {
        0, 0x3ff, base - 1, base - 0x400, base, base + 1, base + 0x3ff,
        base + 0x400, base + 0xbff, base + 0xc00, base + 0xfff, base + 0x1000,
        base + 0x1001, base + size / 2 - 1, base + size / 2,
        base + size / 2 + 0x3ff, base + size - 0x401, base + size - 0x400,
        base + size - 1, base + size, base + 2 * size, UINT32_MAX,
    };

    win_open(w.a, bar, w.b->partition, WIN_X);
    win_assert_shows(w.a, base, w.b, WIN_X);
    for (unsigned i = 0; i < G_N_ELEMENTS(limits); i++) {
        /* Open and closed, and back */
        check_limit(bar, limits[i * 7 % G_N_ELEMENTS(limits)]);
    }
    win_close(w.a, bar);
}

static void test_limit32(WinPath path)
{
    win_start(&w, path, ",bar1-size=64k");
    check_limits(WIN_DIRECT32);
    /* Close to the end of what 32 bits can say */
    win_place(w.a, WIN_DIRECT32, 0xfeb00000);
    check_limits(WIN_DIRECT32);
    /* The next BAR's limit is none of its business */
    win_open(w.a, WIN_DIRECT32, w.b->partition, WIN_X);
    ntb_write(w.a, win_reg(2, A_BARLIMIT0), 0x12345678);
    win_assert_shows(w.a, win_bar(w.a, 1), w.b, WIN_X);
    win_close(w.a, WIN_DIRECT32);
    win_assert_hides(w.a, win_bar(w.a, 1), w.b, WIN_X);
    win_stop(&w);
}

static void test_limit64(WinPath path)
{
    uint64_t base;

    win_start(&w, path, ",bar4-size=64k");
    base = win_bar(w.a, WIN_DIRECT64);
    check_limits(WIN_DIRECT64);
    win_open(w.a, WIN_DIRECT64, w.b->partition, WIN_X);
    /* Each half counts */
    check_limit(WIN_DIRECT64, base - (1ULL << 32));
    check_limit(WIN_DIRECT64, base + (1ULL << 32));
    check_limit(WIN_DIRECT64, (base & 0xffffffff00000000) - 1);
    check_limit(WIN_DIRECT64, base | 0xffffffff);
    check_limit(WIN_DIRECT64, UINT64_MAX);
    /* Below 4 GiB as well */
    win_place(w.a, WIN_DIRECT64, 0xc0000000);
    check_limits(WIN_DIRECT64);
    check_limit(WIN_DIRECT64, 0x1c0000000);
    check_limit(WIN_DIRECT64, 0x100000000);
    win_stop(&w);
}

/*
 * LUT windows have none: what drivers write there is harmless, such as the
 * inclusive end of the segments or all ones.  And BAR0 has none.
 */
static void test_limit_lut(WinPath path)
{
    static const uint64_t ends[] = { 24 * WIN_SIZE, 5 * WIN_SIZE, 0x1000, 0 };
    uint64_t bar, last;

    win_start(&w, path, NULL);
    bar = win_bar(w.a, 2);
    last = bar + 23 * WIN_SIZE;
    win_open_lut(w.a, 2, 4, w.b->partition, WIN_X);
    win_open_lut(w.a, 2, 23, w.b->partition, WIN_X);
    for (unsigned i = 0; i < G_N_ELEMENTS(ends); i++) {
        win_limit(w.a, 2, ends[i] ? bar + ends[i] - 1 : ends[i] - 1);
        win_assert_shows(w.a, bar + 4 * WIN_SIZE, w.b, WIN_X);
        win_assert_shows(w.a, last + WIN_SIZE - 64, w.b,
                         WIN_X + WIN_SIZE - 64);
    }
    win_limit(w.a, 2, 0x1000);
    win_assert_shows(w.a, bar + 4 * WIN_SIZE, w.b, WIN_X);
    ntb_write(w.a, A_BARLIMIT0, 0xfffffc00);
    win_assert_shows(w.a, last, w.b, WIN_X);
    ntb_write(w.a, A_BARLIMIT0, 0);
    win_assert_shows(w.a, last, w.b, WIN_X);
    win_stop(&w);
}

/* Every DWORD of a page, where a page can be aliased and where not */
static void test_every_dword(WinPath path)
{
    uint64_t base;

    win_start(&w, path, NULL);
    base = win_bar(w.a, WIN_DIRECT32);
    win_open(w.a, WIN_DIRECT32, w.b->partition, WIN_X);
    for (unsigned at = 0; at <= 4096; at += 4) {
        uint64_t x = WIN_X + at;

        win_aim(w.a, WIN_DIRECT32, w.b->partition, x);
        win_assert_hits(w.a, base, w.b, x, 8);
        win_assert_hits(w.a, base + 4093, w.b, x + 4093, 7);
        win_assert_hits(w.a, base + WIN_SIZE - 8, w.b, x + WIN_SIZE - 8, 8);
        win_assert_hits(w.a, base + at, w.b, x + at, 4);
        if (at % 4096) {
            g_assert_cmpuint(win_mappings(w.a), ==, 0);
        } else {
            win_assert_path(w.a, win_path_to(w.b, path));
        }
    }
    win_stop(&w);
}

static void add_tests(void)
{
    for (WinPath path = 0; path < WIN_NUM_PATHS; path++) {
        win_add_case_at("window/direct", test_direct, path);
    }
    win_add_case_shared("window/direct-others", test_direct_others);
    win_add_case("window/lut24", test_lut24);
    win_add_case_shared("window/lut12", test_lut12);
    win_add_case_shared("window/small", test_small);
    win_add_case("window/blocks", test_blocks);
    win_add_case("window/segments", test_segments);
    qtest_add_func("/idt-ntb/window/segments-mixed", test_segments_mixed);
    win_add_case_shared("window/bar-end", test_bar_end);
    win_add_case_at("window/every-dword", test_every_dword, WIN_SHARED);
    if (ntb_machine_is_q35()) {
        /* Where the CPU's addresses are those of the bus */
        win_add_case_shared("window/limit32", test_limit32);
        win_add_case("window/limit64", test_limit64);
        win_add_case_shared("window/limit-lut", test_limit_lut);
    }
}

libqos_init(add_tests);
