/*
 * QTest testcase for idt-ntb: what memory windows show, to the byte
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "hw/pci/pci_regs.h"
#include "fixture.h"

/*
 * All that is in them
 */

static void check_direct(NtbFixture *f, NtbPort *from, NtbPort *to,
                         unsigned bar)
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
    win_assert_path(from, win_path_to(to, f->path));
    win_close(from, bar);
    win_assert_hides(from, base, to, WIN_X);
    win_assert_hides(from, base + end, to, WIN_X);
    g_assert_cmpuint(win_mappings(from), ==, 0);
}

static void test_direct(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];

    check_direct(f, a, b, WIN_DIRECT32);
    check_direct(f, b, a, WIN_DIRECT64);
}

static void test_direct_others(NtbFixture *f)
{
    for (unsigned bar = 1; bar < IDT_NUM_BARS; bar++) {
        check_direct(f, f->ports[0], f->ports[1], bar);
    }
}

static void test_direct_64bit(NtbFixture *f)
{
    check_direct(f, f->ports[1], f->ports[0], 2);
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
static void check_lut(NtbFixture *f, NtbPort *from, NtbPort *to, unsigned bar,
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
    win_assert_path(from, win_path_to(to, f->path));
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

static void test_lut24(NtbFixture *f)
{
    check_lut(f, f->ports[0], f->ports[1], 2, 24);
}

static void test_lut24_bar4(NtbFixture *f)
{
    check_lut(f, f->ports[0], f->ports[1], 4, 24);
}

static void test_lut12(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];

    check_lut(f, a, b, 2, 12);
    check_lut(f, b, a, 4, 12);
}

/* Windows smaller than a page, segments of 16 bytes */
static void test_small(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];
    uint64_t base;

    for (unsigned i = 0; i < 2; i++) {
        unsigned bar = i ? WIN_DIRECT64 : WIN_DIRECT32;
        uint64_t size = win_bar_size(a, bar);

        /* Not at the start of a page */
        win_place(a, bar, win_bar_home(a, bar) + size);
        base = win_bar(a, bar);
        win_open(a, bar, b->partition, WIN_X + size);
        win_assert_shows(a, base, b, WIN_X + size);
        win_assert_shows(a, base + size - 64, b, WIN_X + size * 2 - 64);
        win_close(a, bar);
        win_assert_hides(a, base, b, WIN_X + size);
    }
    base = win_bar(a, WIN_LUT24);
    for (unsigned n = 0; n < 24; n++) {
        win_open_lut(a, WIN_LUT24, n, b->partition, entry_x(n, 20));
    }
    for (unsigned n = 0; n < 24; n++) {
        for (unsigned size = 1; size <= 8; size++) {
            win_assert_hits(a, base + n * 16, b, entry_x(n, 20), size);
            win_assert_hits(a, base + n * 16 + 16 - size, b,
                            entry_x(n, 20) + 16 - size, size);
        }
    }
}

/* More bytes than one access has */
static void test_blocks(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];
    static const unsigned sizes[] = { 9, 64, 4095, 4096, 10001, 65536 };
    g_autofree uint8_t *data = g_malloc(WIN_SIZE);
    g_autofree uint8_t *is = g_malloc(WIN_SIZE);
    uint64_t base = win_bar(a, WIN_DIRECT64);
    win_open(a, WIN_DIRECT64, b->partition, WIN_X);
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        unsigned at = 4096 - sizes[i] % 13;

        for (unsigned k = 0; k < sizes[i] + 8; k += 8) {
            stq_le_p(data + k, win_value());
        }
        qtest_bufwrite(a->qts, base + at, data, sizes[i]);
        win_sync(b);
        qtest_bufread(b->qts, WIN_X + at, is, sizes[i]);
        g_assert_cmpmem(is, sizes[i], data, sizes[i]);
        qtest_bufread(a->qts, base + at, is, sizes[i]);
        g_assert_cmpmem(is, sizes[i], data, sizes[i]);
    }
}

static const NtbTest tests[] = {
    { "window/direct-shows-the-target", test_direct, .ports = 2,
      .windows = WIN_EACH | WIN_ONLY(WIN_FORCED) },
    { "window/direct-in-any-bar", test_direct_others, .ports = 2,
      .props = ",bar2-64bit=off,bar2-mode=direct,bar2-size=64k,"
               "bar3-mode=direct,bar3-size=8k,bar4-64bit=off,bar5-mode=direct,"
               "bar5-size=16M", .windows = WIN_MOSTLY_SHARED },
    { "window/direct-in-a-64-bit-bar2", test_direct_64bit, .ports = 2,
      .props = ",bar2-mode=direct,bar2-size=16M",
      .windows = WIN_MOSTLY_SHARED },
    { "window/lut24-entries-have-their-targets", test_lut24, .ports = 2,
      .windows = WIN_EACH },
    { "window/lut24-in-bar4", test_lut24_bar4, .ports = 2,
      .props = ",bar2-mode=off,bar4-64bit=off,bar4-mode=lut24,"
               "bar4-size=2M", .windows = WIN_EACH },
    { "window/lut12-entries-have-their-targets", test_lut12, .ports = 2,
      .props = ",bar2-mode=lut12,bar4-mode=lut12,bar2-64bit=off,"
               "bar4-size=128k", .windows = WIN_MOSTLY_SHARED },
    { "window/smaller-than-a-page", test_small, .ports = 2,
      .props = ",bar1-size=512,bar2-size=512,bar4-size=2k",
      .windows = WIN_MOSTLY_SHARED },
    { "window/blocks-of-any-size", test_blocks, .ports = 2,
      .windows = WIN_EACH },
};

ntb_tests(tests);
