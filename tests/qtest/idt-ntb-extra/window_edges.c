/*
 * QTest testcase for idt-ntb: where a memory window, or an entry of it, ends
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "idt-ntb/fixture.h"

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

static void test_segments(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];
    NtbPort *c = f->ports[2];

    check_segments(a, b, c);
    check_segments(c, a, b);
}

/* One is aliased, the other can't be */
static void test_segments_mixed(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];
    NtbPort *c = win_boot(f->server, WIN_PLAIN, NULL, ",partitions=3");

    check_segments(a, b, c);
    check_segments(a, c, b);
    check_segments(b, c, a);
    check_segments(c, a, b);
    ntb_quit(c);
}

/*
 * QEMU does not cut an access at the end of a BAR: what is behind it does not
 * matter, but what is in it must be as always.
 */
static void check_bar_end(NtbFixture *f, unsigned bar)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];
    uint64_t end = win_bar(a, bar) + win_bar_size(a, bar);
    uint64_t x = WIN_X + win_bar_size(a, bar);

    for (unsigned size = 2; size <= 8; size++) {
        for (unsigned in = 1; in < size; in++) {
            uint64_t mask = MAKE_64BIT_MASK(0, 8 * in);
            uint64_t before = win_value(), value = win_value();

            ntb_mem_write(b->qts, x - in, 8, before);
            g_assert_cmphex(ntb_read_sized(a, end - in, size) & mask, ==,
                            before & mask);
            ntb_write_sized(a, end - in, size, value);
            win_sync(b);
            g_assert_cmphex(ntb_mem_read(b->qts, x - in, 8), ==,
                            (before & ~mask) | (value & mask));
        }
    }
}

static void test_bar_end(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];

    win_open(a, 1, b->partition, WIN_X);
    win_open(a, 4, b->partition, WIN_X);
    check_bar_end(f, 1);
    check_bar_end(f, 4);
    /* Two of them side by side */
    win_place(a, 4, win_bar(a, 1) + WIN_SIZE);
    win_place(a, 1, win_bar(a, 4) - 512);
    win_open(a, 4, b->partition, WIN_X);
    win_open(a, 1, b->partition, WIN_X);
    check_bar_end(f, 1);
    check_bar_end(f, 4);
}

/*
 * Limit
 */

/* The window ends behind @limit | 0x3ff, wherever that is */
static void check_limit(NtbFixture *f, unsigned bar, uint64_t limit)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];
    uint64_t base = win_bar(a, bar);
    uint64_t size = win_bar_size(a, bar);
    uint64_t last = limit | 0x3ff;

    win_limit(a, bar, limit);
    if (last < base) {
        win_assert_misses(a, base, b, WIN_X, 8);
        win_assert_misses(a, base + size - 8, b, WIN_X + size - 8, 8);
    } else if (last >= base + size - 1) {
        win_assert_hits(a, base, b, WIN_X, 8);
        win_assert_hits(a, base + size - 8, b, WIN_X + size - 8, 8);
    } else {
        uint64_t x = last + 1 - base + WIN_X;

        win_assert_hits(a, base, b, WIN_X, 8);
        win_assert_hits(a, last - 7, b, x - 8, 8);
        win_assert_misses(a, last + 1, b, x, 8);
        win_assert_misses(a, base + size - 8, b, WIN_X + size - 8, 8);
        check_boundary(a, last + 1, b, x, NULL, 0);
    }
}

static void check_limits(NtbFixture *f, unsigned bar)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];
    uint64_t base = win_bar(a, bar);
    uint64_t size = win_bar_size(a, bar);
    const uint64_t limits[] = {
        0, 0x3ff, base - 1, base - 0x400, base, base + 1, base + 0x3ff,
        base + 0x400, base + 0xbff, base + 0xc00, base + 0xfff, base + 0x1000,
        base + 0x1001, base + size / 2 - 1, base + size / 2,
        base + size / 2 + 0x3ff, base + size - 0x401, base + size - 0x400,
        base + size - 1, base + size, base + 2 * size, UINT32_MAX,
    };

    win_open(a, bar, b->partition, WIN_X);
    win_assert_shows(a, base, b, WIN_X);
    for (unsigned i = 0; i < G_N_ELEMENTS(limits); i++) {
        /* Open and closed, and back */
        check_limit(f, bar, limits[i * 7 % G_N_ELEMENTS(limits)]);
    }
    win_close(a, bar);
}

static void test_limit32(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];

    check_limits(f, WIN_DIRECT32);
    /* Close to the end of what 32 bits can say */
    win_place(a, WIN_DIRECT32, 0xfeb00000);
    check_limits(f, WIN_DIRECT32);
    /* The next BAR's limit is none of its business */
    win_open(a, WIN_DIRECT32, b->partition, WIN_X);
    ntb_write(a, win_reg(2, A_BARLIMIT0), 0x12345678);
    win_assert_shows(a, win_bar(a, 1), b, WIN_X);
    win_close(a, WIN_DIRECT32);
    win_assert_hides(a, win_bar(a, 1), b, WIN_X);
}

static void test_limit64(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    uint64_t base = win_bar(a, WIN_DIRECT64);
    check_limits(f, WIN_DIRECT64);
    win_open(a, WIN_DIRECT64, f->ports[1]->partition, WIN_X);
    /* Each half counts */
    check_limit(f, WIN_DIRECT64, base - (1ULL << 32));
    check_limit(f, WIN_DIRECT64, base + (1ULL << 32));
    check_limit(f, WIN_DIRECT64, (base & 0xffffffff00000000) - 1);
    check_limit(f, WIN_DIRECT64, base | 0xffffffff);
    check_limit(f, WIN_DIRECT64, UINT64_MAX);
    /* Below 4 GiB as well */
    win_place(a, WIN_DIRECT64, 0xc0000000);
    check_limits(f, WIN_DIRECT64);
    check_limit(f, WIN_DIRECT64, 0x1c0000000);
    check_limit(f, WIN_DIRECT64, 0x100000000);
}

/*
 * LUT windows have none: what drivers write there is harmless, such as the
 * inclusive end of the segments or all ones.  And BAR0 has none.
 */
static void test_limit_lut(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];
    static const uint64_t ends[] = { 24 * WIN_SIZE, 5 * WIN_SIZE, 0x1000, 0 };
    uint64_t bar, last;

    bar = win_bar(a, 2);
    last = bar + 23 * WIN_SIZE;
    win_open_lut(a, 2, 4, b->partition, WIN_X);
    win_open_lut(a, 2, 23, b->partition, WIN_X);
    for (unsigned i = 0; i < G_N_ELEMENTS(ends); i++) {
        win_limit(a, 2, ends[i] ? bar + ends[i] - 1 : ends[i] - 1);
        win_assert_shows(a, bar + 4 * WIN_SIZE, b, WIN_X);
        win_assert_shows(a, last + WIN_SIZE - 64, b,
                         WIN_X + WIN_SIZE - 64);
    }
    win_limit(a, 2, 0x1000);
    win_assert_shows(a, bar + 4 * WIN_SIZE, b, WIN_X);
    ntb_write(a, A_BARLIMIT0, 0xfffffc00);
    win_assert_shows(a, last, b, WIN_X);
    ntb_write(a, A_BARLIMIT0, 0);
    win_assert_shows(a, last, b, WIN_X);
}

/* Every DWORD of a page, where a page can be aliased and where not */
static void test_every_dword(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];
    uint64_t base = win_bar(a, WIN_DIRECT32);
    win_open(a, WIN_DIRECT32, b->partition, WIN_X);
    for (unsigned at = 0; at <= 4096; at += 4) {
        uint64_t x = WIN_X + at;

        win_aim(a, WIN_DIRECT32, b->partition, x);
        win_assert_hits(a, base, b, x, 8);
        win_assert_hits(a, base + 4093, b, x + 4093, 7);
        win_assert_hits(a, base + WIN_SIZE - 8, b, x + WIN_SIZE - 8, 8);
        win_assert_hits(a, base + at, b, x + at, 4);
        if (at % 4096) {
            g_assert_cmpuint(win_mappings(a), ==, 0);
        } else {
            win_assert_path(a, win_path_to(b, f->path));
        }
    }
}

static const NtbTest tests[] = {
    { "window/access-over-entries-is-split", test_segments, .ports = 3,
      .windows = WIN_EACH },
    { "window/access-over-mixed-entries-is-split", test_segments_mixed,
      .ports = 2, .partitions = 3, .windows = WIN_ONLY(WIN_SHARED) },
    { "window/access-over-the-end-of-the-bar", test_bar_end, .ports = 2,
      .props = ",bar1-size=512,bar4-64bit=off", .windows = WIN_MOSTLY_SHARED },
    { "window/target-at-every-dword", test_every_dword, .ports = 2,
      .windows = WIN_ONLY(WIN_SHARED) },
    /* Where the CPU's addresses are those of the bus */
    { "window/ends-at-the-32-bit-limit", test_limit32, .ports = 2,
      .props = ",bar1-size=64k", .windows = WIN_MOSTLY_SHARED, .q35 = true },
    { "window/ends-at-the-64-bit-limit", test_limit64, .ports = 2,
      .props = ",bar4-size=64k", .windows = WIN_EACH, .q35 = true },
    { "window/lut-has-no-limit", test_limit_lut, .ports = 2,
      .windows = WIN_MOSTLY_SHARED, .q35 = true },
};

ntb_tests(tests);
