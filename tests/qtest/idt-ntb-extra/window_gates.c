/*
 * QTest testcase for idt-ntb: what has to hold for a memory window to be open,
 * and what happens when its registers change while it is in use
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "extra.h"

static uint64_t direct, lut;    /* addresses in the guest of ports[0] */

#define ENTRY 9
#define LUT_X (WIN_X + 4 * WIN_SIZE)

static void open_both(NtbPort *a, unsigned partition)
{
    win_open(a, WIN_DIRECT32, partition, WIN_X);
    win_open_lut(a, WIN_LUT24, ENTRY, partition, LUT_X);
    direct = win_bar(a, WIN_DIRECT32);
    lut = win_bar(a, WIN_LUT24) + ENTRY * WIN_SIZE;
}

static void prepare(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    open_both(a, b->partition);
    win_assert_shows(a, direct, b, WIN_X);
    win_assert_shows(a, lut, b, LUT_X);
    win_assert_path(a, f->path);
}

static void assert_open(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    win_assert_hits(a, direct + 8, b, WIN_X + 8, 8);
    win_assert_hits(a, lut + 5, b, LUT_X + 5, 4);
    win_assert_path(a, f->path);
}

static void assert_shut(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    g_assert_cmpuint(win_mappings(a), ==, 0);
    win_assert_misses(a, direct + 8, b, WIN_X + 8, 8);
    win_assert_misses(a, lut + 5, b, LUT_X + 5, 4);
    g_assert_cmpuint(win_mappings(a), ==, 0);
}

/*
 * Admission
 */

static void write_entry(NtbPort *p, unsigned entry, uint32_t value)
{
    ntb_write(p, A_NTMTBLADDR, entry);
    ntb_write(p, A_NTMTBLDATA, value);
}

static uint32_t admission(NtbPort *p)
{
    return R_NTMTBLDATA_VALID_MASK | p->partition << R_NTMTBLDATA_PART_SHIFT;
}

static void test_protection_off(NtbFixture *f)
{
    NtbPort *a = f->ports[0];

    for (unsigned i = 0; i < 5; i++) {
        win_admit(a, false);
        assert_shut(f);
        ntb_write(a, A_NTCTL, R_NTCTL_IDPROTDIS_MASK | R_NTCTL_CPEN_MASK);
        assert_open(f);
        ntb_write(a, A_NTCTL, 0xf & ~R_NTCTL_IDPROTDIS_MASK);
        assert_shut(f);
        win_admit(a, true);
        assert_open(f);
    }
    /* The target's own does not count */
    win_admit(a, false);
    ntb_write(f->ports[1], A_NTCTL, R_NTCTL_IDPROTDIS_MASK);
    assert_shut(f);
}

/* Any entry will do, but all of it must be right */
static void test_mapping_table(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint32_t bad[4];

    bad[0] = admission(a) & ~R_NTMTBLDATA_VALID_MASK;
    bad[1] = admission(b);
    bad[2] = admission(a) | 1 << R_NTMTBLDATA_REQID_SHIFT;
    bad[3] = admission(a) | 0x8000 << R_NTMTBLDATA_REQID_SHIFT;
    win_admit(a, false);
    for (unsigned entry = 0; entry < IDT_NUM_MTBL; entry += 7) {
        for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
            write_entry(i % 2 ? a : b, entry, bad[i]);
            assert_shut(f);
        }
        write_entry(entry % 2 ? a : b, entry, admission(a) | 0xe0000000);
        assert_open(f);
        write_entry(entry % 2 ? b : a, entry, 0);
        assert_shut(f);
    }
    /* One of two is enough */
    write_entry(b, 63, admission(a));
    write_entry(b, 62, admission(a));
    write_entry(b, 63, 0);
    assert_open(f);
    write_entry(b, 62, 0);
    assert_shut(f);
}

/*
 * The target
 */

static void test_bus_master(NtbFixture *f)
{
    NtbPort *b = f->ports[1];

    for (unsigned i = 0; i < 5; i++) {
        ntb_set_master(b, false);
        assert_shut(f);
        ntb_set_master(b, true);
        assert_open(f);
    }
    /* The own one is for the other direction */
    ntb_set_master(f->ports[0], false);
    assert_open(f);
}

#define UNCOR_STATUS    (IDT_CAP_AER + PCI_ERR_UNCOR_STATUS)

/* A write arrives, a read gets no answer */
static void assert_no_completions(NtbFixture *f, uint64_t addr, uint64_t x)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint64_t value = win_value();

    g_assert_cmpuint(win_mappings(a), ==, 0);
    ntb_cfg_write(a, UNCOR_STATUS, UINT32_MAX);
    qtest_writeq(a->qts, addr, value);
    win_sync(b);
    g_assert_cmphex(qtest_readq(b->qts, x), ==, value);
    g_assert_cmphex(ntb_cfg_read(a, UNCOR_STATUS), ==, 0);
    g_assert_cmphex(qtest_readq(a->qts, addr), ==, UINT64_MAX);
    g_assert_cmphex(ntb_cfg_read(a, UNCOR_STATUS), ==,
                    PCI_ERR_UNC_COMP_TIME);
    g_assert_cmphex(qtest_readb(a->qts, addr + 3), ==, 0xff);
    g_assert_cmpuint(win_mappings(a), ==, 0);
}

/* NTCTL.CPEN is for the completions that come to its own function */
static void test_completions(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    for (unsigned i = 0; i < 3; i++) {
        assert_open(f);
        ntb_write(a, A_NTCTL, 0xf & ~R_NTCTL_CPEN_MASK &
                                ~R_NTCTL_IDPROTDIS_MASK);
        assert_no_completions(f, direct, WIN_X);
        assert_no_completions(f, lut, LUT_X);
        ntb_write(a, A_NTCTL, R_NTCTL_CPEN_MASK);
        assert_open(f);
        /* By another port */
        ntb_gas_write(b, ntb_gas_nt(a->port, A_NTCTL), 0);
        ntb_settle(a->qts);
        assert_no_completions(f, direct, WIN_X);
        ntb_gas_write(b, ntb_gas_nt(a->port, A_NTCTL), R_NTCTL_CPEN_MASK);
        ntb_settle(a->qts);
        assert_open(f);
        /* The target's stops nothing */
        ntb_write(b, A_NTCTL, 0);
        assert_open(f);
        ntb_write(b, A_NTCTL, R_NTCTL_CPEN_MASK);
        /* A reset clears it */
        ntb_function_reset(a);
        win_setup_function(a);
        open_both(a, b->partition);
        assert_open(f);
        ntb_function_reset(a);
        g_assert_cmphex(ntb_cfg_read(a, A_NTCTL), ==, 0);
        win_setup_function(a);
        ntb_write(a, A_NTCTL, 0);
        open_both(a, b->partition);
        assert_no_completions(f, lut, LUT_X);
        ntb_write(a, A_NTCTL, R_NTCTL_CPEN_MASK);
    }
}

/* Where a window is closed, that is the error */
static void test_closed_without_completions(NtbFixture *f)
{
    NtbPort *a = f->ports[0];

    ntb_write(a, A_NTCTL, 0);
    win_close(a, WIN_DIRECT32);
    ntb_cfg_write(a, IDT_CAP_AER + PCI_ERR_COR_STATUS, UINT32_MAX);
    win_assert_ones(a, direct);
    g_assert_cmphex(ntb_cfg_read(a, UNCOR_STATUS), ==, 0);
    g_assert_cmphex(ntb_cfg_read(a, IDT_CAP_AER + PCI_ERR_COR_STATUS), ==,
                    PCI_ERR_COR_ADV_NFAT);
}

/* Nobody there; then somebody; then nobody again, and another one */
static void test_link(NtbFixture *f)
{
    NtbPort *a = f->ports[0];

    open_both(a, 1);
    for (unsigned i = 0; i < 3; i++) {
        win_assert_ones(a, direct);
        win_assert_ones(a, lut);
        qtest_writeq(a->qts, direct, 0x1234);
        NtbPort *b = ntb_start(f, 1, NULL);
        g_assert_cmphex(qtest_readq(b->qts, WIN_X), ==, 0);
        assert_open(f);
        if (i % 2) {
            ntb_end_by_kill(f, 1);
        } else {
            ntb_end(f, 1);
        }
        ntb_wait(!ntb_link_up(a, 2));
        ntb_wait(win_mappings(a) == 0);
    }
    win_assert_ones(a, direct);
}

/* Partitions that are none, and those of nobody */
static void test_partition(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    for (unsigned part = 0; part < 16; part++) {
        win_aim(a, WIN_DIRECT32, part, WIN_X);
        win_open_lut(a, WIN_LUT24, ENTRY, part, LUT_X);
        if (part % 8 == b->partition) {
            win_assert_shows(a, direct, b, WIN_X);
        } else if (part % 8 != a->partition) {
            win_assert_hides(a, direct, b, WIN_X);
            win_assert_ones(a, direct);
        }
        if (part == b->partition) {
            win_assert_shows(a, lut, b, LUT_X);
        } else if (part != a->partition) {
            win_assert_hides(a, lut, b, LUT_X);
            win_assert_ones(a, lut);
        }
    }
}

/*
 * Registers that change while a window is in use
 */

static void test_reprogram(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint64_t x = WIN_X;

    for (unsigned i = 0; i < 20; i++) {
        uint64_t old = x;

        /* Sometimes by a page, sometimes not by whole ones */
        x = WIN_X + (i * 5 + 3) % 11 * (i % 3 ? WIN_SIZE : 4096 + 4 * i);
        ntb_write(a, win_reg(WIN_DIRECT32, A_BARLTBASE0), x);
        win_assert_hits(a, direct, b, x, 8);
        win_assert_hits(a, direct + WIN_SIZE - 8, b, x + WIN_SIZE - 8, 8);
        win_open_lut(a, WIN_LUT24, ENTRY, b->partition, x + 0x4000);
        win_assert_hits(a, lut, b, x + 0x4000, 8);
        /* The earlier content does not change any more */
        if (old != x) {
            qtest_writeq(b->qts, old, 0x5a5a5a5a5a5a5a5a);
            qtest_writeq(a->qts, direct, win_value());
            win_sync(b);
            g_assert_cmphex(qtest_readq(b->qts, old), ==,
                            0x5a5a5a5a5a5a5a5a);
        }
    }
}

/* Above 4 GiB there is RAM, too; the upper half of the base leads there */
static void test_upper_base(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    const uint64_t high = 4 * GiB + 0x3000000;
    g_autofree char *args = g_strdup_printf(
        "-m 64M,maxmem=1G,slots=1 -device pc-dimm,id=d0,memdev=dimm "
        "-object memory-backend-%s,id=dimm,size=128M",
        f->path == WIN_PLAIN ? "ram" : "memfd,share=on");
    NtbPort *b = ntb_start_args(f, 1, args, NULL);

    open_both(a, b->partition);
    win_assert_shows(a, direct, b, WIN_X);
    ntb_write(a, win_reg(1, A_BARUTBASE0), high >> 32);
    ntb_write(a, win_reg(1, A_BARLTBASE0), (uint32_t)high);
    win_assert_shows(a, direct, b, high);
    win_assert_shows(a, direct + WIN_SIZE - 64, b, high + WIN_SIZE - 64);
    win_open_lut(a, WIN_LUT24, ENTRY, b->partition, high + WIN_SIZE);
    win_assert_shows(a, lut, b, high + WIN_SIZE);
    win_assert_path(a, f->path);
    ntb_write(a, win_reg(1, A_BARUTBASE0), 0);
    win_assert_shows(a, direct, b, (uint32_t)high);
}

static void test_change_target(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    NtbPort *c = f->ports[2];

    for (unsigned i = 0; i < 10; i++) {
        NtbPort *to = i % 2 ? b : c;
        NtbPort *other = i % 2 ? c : b;

        qtest_writeq(other->qts, WIN_X, i);
        qtest_writeq(other->qts, LUT_X, i);
        win_aim(a, WIN_DIRECT32, to->partition, WIN_X);
        win_assert_hits(a, direct, to, WIN_X, 8);
        win_open_lut(a, WIN_LUT24, ENTRY, to->partition, LUT_X);
        win_assert_hits(a, lut, to, LUT_X, 8);
        win_sync(other);
        g_assert_cmphex(qtest_readq(other->qts, WIN_X), ==, i);
        g_assert_cmphex(qtest_readq(other->qts, LUT_X), ==, i);
    }
}

/* By anybody, through the global address space */
static void test_by_peer(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint32_t limit, base, lutudata;

    limit = ntb_gas_nt(a->port, win_reg(1, A_BARLIMIT0));
    base = ntb_gas_nt(a->port, win_reg(1, A_BARLTBASE0));
    lutudata = ntb_gas_nt(a->port, A_LUTUDATA);
    for (unsigned i = 0; i < 5; i++) {
        ntb_gas_write(b, limit, 0);
        ntb_gas_write(b, lutudata, 0);
        ntb_wait(win_mappings(a) == 0);
        assert_shut(f);
        ntb_gas_write(b, limit, direct + WIN_SIZE);
        ntb_gas_write(b, lutudata, R_LUTUDATA_VALID_MASK | b->partition);
        ntb_settle(a->qts);
        assert_open(f);
        ntb_gas_write(b, base, WIN_X + 0x2000);
        ntb_settle(a->qts);
        win_assert_hits(a, direct, b, WIN_X + 0x2000, 8);
        ntb_gas_write(b, base, WIN_X);
        ntb_settle(a->qts);
    }
}

/* The guest moves the BAR: the limit stays where it was */
static void test_bar_moves(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    for (unsigned i = 0; i < 4; i++) {
        win_place(a, 1, direct + 8 * WIN_SIZE);
        win_assert_hides(a, direct + 8 * WIN_SIZE, b, WIN_X);
        win_place(a, 1, direct - 8 * WIN_SIZE);
        win_assert_shows(a, direct - 8 * WIN_SIZE, b, WIN_X);
        win_assert_shows(a, direct - 7 * WIN_SIZE - 64, b,
                         WIN_X + WIN_SIZE - 64);
        win_place(a, 1, direct + WIN_SIZE);
        /* The limit was base + size: its low bits are ones */
        win_assert_shows(a, direct + WIN_SIZE + 0x400 - 64, b,
                         WIN_X + 0x400 - 64);
        win_assert_hides(a, direct + WIN_SIZE + 0x400, b, WIN_X + 0x400);
        win_place(a, 1, direct);
        win_place(a, 2, lut + 64 * WIN_SIZE - ENTRY * WIN_SIZE);
        win_assert_shows(a, lut + 64 * WIN_SIZE, b, LUT_X);
        win_place(a, 2, lut - ENTRY * WIN_SIZE);
        assert_open(f);
    }
}

/* The BAR does not answer for a while */
static void test_decode_off(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    for (unsigned i = 0; i < 4; i++) {
        ntb_cfg_writew(a, PCI_COMMAND, PCI_COMMAND_MASTER);
        qtest_writeq(b->qts, WIN_X, 0x77);
        qtest_writeq(a->qts, direct, 0);
        win_sync(b);
        g_assert_cmphex(qtest_readq(b->qts, WIN_X), ==, 0x77);
        ntb_set_master(a, true);
        assert_open(f);
    }
}

/* All 26 windows at once, in both directions */
static void test_all_at_once(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    for (unsigned i = 0; i < 2; i++) {
        NtbPort *from = i ? b : a, *to = i ? a : b;

        win_open(from, 1, to->partition, WIN_X);
        win_open(from, 4, to->partition, WIN_X + WIN_SIZE);
        for (unsigned n = 0; n < 24; n++) {
            win_open_lut(from, 2, n, to->partition,
                         WIN_X + (n + 2) * WIN_SIZE);
        }
    }
    for (unsigned i = 0; i < 4; i++) {
        NtbPort *from = i % 2 ? b : a, *to = i % 2 ? a : b;
        uint64_t base = win_bar(from, 2);

        win_assert_shows(from, win_bar(from, 1), to, WIN_X);
        win_assert_shows(from, win_bar(from, 4), to, WIN_X + WIN_SIZE);
        for (unsigned n = 0; n < 24; n++) {
            win_assert_hits(from, base + n * WIN_SIZE + 4 * n, to,
                            WIN_X + (n + 2) * WIN_SIZE + 4 * n, 8);
        }
        if (f->path == WIN_SHARED) {
            g_assert_cmpuint(win_mappings(from), ==, 26);
        }
    }
}

#define EACH .ports = 2, .prepare = prepare, .windows = WIN_EACH, .q35 = true
#define SHARED \
    .ports = 2, .prepare = prepare, .windows = WIN_MOSTLY_SHARED, .q35 = true

static const NtbTest tests[] = {
    { "window-gates/disabled-protection-admits", test_protection_off, EACH },
    { "window-gates/any-valid-entry-admits", test_mapping_table, EACH },
    { "window-gates/bus-master-off-closes", test_bus_master, EACH },
    { "window-gates/absent-target-reads-ones", test_link,
      .ports = 1, .windows = WIN_EACH, .q35 = true },
    { "window-gates/completions-off-loses-reads-only", test_completions,
      EACH },
    { "window-gates/closed-is-the-first-error",
      test_closed_without_completions, SHARED },
    { "window-gates/only-the-target-partition-opens", test_partition,
      .ports = 2, .partitions = 3, .prepare = prepare,
      .windows = WIN_MOSTLY_SHARED, .q35 = true },
    { "window-gates/new-base-counts-at-once", test_reprogram, EACH },
    { "window-gates/upper-base-reaches-above-4g", test_upper_base,
      .ports = 1, .windows = WIN_MOSTLY_SHARED, .q35 = true },
    { "window-gates/new-target-counts-at-once", test_change_target,
      .ports = 3, .prepare = prepare, .windows = WIN_MOSTLY_SHARED,
      .q35 = true },
    { "window-gates/peers-may-program-them", test_by_peer, SHARED },
    { "window-gates/limit-stays-when-the-bar-moves", test_bar_moves, SHARED },
    { "window-gates/bar-that-does-not-decode-is-closed", test_decode_off,
      SHARED },
    { "window-gates/all-26-are-open-at-once", test_all_at_once, .ports = 2,
      .windows = WIN_MOSTLY_SHARED, .q35 = true },
};

ntb_tests(tests);
