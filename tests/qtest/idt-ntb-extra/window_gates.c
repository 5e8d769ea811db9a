/*
 * QTest testcase for idt-ntb: what has to hold for a memory window to be open,
 * and what happens when its registers change while it is in use
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/module.h"
#include "hw/pci/pci_regs.h"
#include "idt-ntb/window.h"

static WinPair w;
static uint64_t direct, lut;    /* addresses in @w.a's guest */

#define ENTRY 9
#define LUT_X (WIN_X + 4 * WIN_SIZE)

static void open_both(NtbPort *a, unsigned partition)
{
    win_open(a, WIN_DIRECT32, partition, WIN_X);
    win_open_lut(a, WIN_LUT24, ENTRY, partition, LUT_X);
    direct = win_bar(a, WIN_DIRECT32);
    lut = win_bar(a, WIN_LUT24) + ENTRY * WIN_SIZE;
}

static void setup(WinPath path, const char *props)
{
    win_start(&w, path, props);
    open_both(w.a, w.b->partition);
    win_assert_shows(w.a, direct, w.b, WIN_X);
    win_assert_shows(w.a, lut, w.b, LUT_X);
    win_assert_path(w.a, path);
}

static void assert_open(void)
{
    win_assert_hits(w.a, direct + 8, w.b, WIN_X + 8, 8);
    win_assert_hits(w.a, lut + 5, w.b, LUT_X + 5, 4);
    win_assert_path(w.a, w.path);
}

static void assert_shut(void)
{
    g_assert_cmpuint(win_mappings(w.a), ==, 0);
    win_assert_misses(w.a, direct + 8, w.b, WIN_X + 8, 8);
    win_assert_misses(w.a, lut + 5, w.b, LUT_X + 5, 4);
    g_assert_cmpuint(win_mappings(w.a), ==, 0);
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

static void test_protection_off(WinPath path)
{
    setup(path, NULL);
    for (unsigned i = 0; i < 5; i++) {
        win_admit(w.a, false);
        assert_shut();
        ntb_write(w.a, A_NTCTL, R_NTCTL_IDPROTDIS_MASK | R_NTCTL_CPEN_MASK);
        assert_open();
        ntb_write(w.a, A_NTCTL, 0xf & ~R_NTCTL_IDPROTDIS_MASK);
        assert_shut();
        win_admit(w.a, true);
        assert_open();
    }
    /* The target's own does not count */
    win_admit(w.a, false);
    ntb_write(w.b, A_NTCTL, R_NTCTL_IDPROTDIS_MASK);
    assert_shut();
    win_stop(&w);
}

/* Any entry will do, but all of it must be right */
static void test_mapping_table(WinPath path)
{
    uint32_t bad[4];

    setup(path, NULL);
    bad[0] = admission(w.a) & ~R_NTMTBLDATA_VALID_MASK;
    bad[1] = admission(w.b);
    bad[2] = admission(w.a) | 1 << R_NTMTBLDATA_REQID_SHIFT;
    bad[3] = admission(w.a) | 0x8000 << R_NTMTBLDATA_REQID_SHIFT;
    win_admit(w.a, false);
    for (unsigned entry = 0; entry < IDT_NUM_MTBL; entry += 7) {
        for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
            write_entry(i % 2 ? w.a : w.b, entry, bad[i]);
            assert_shut();
        }
        write_entry(entry % 2 ? w.a : w.b, entry, admission(w.a) | 0xe0000000);
        assert_open();
        write_entry(entry % 2 ? w.b : w.a, entry, 0);
        assert_shut();
    }
    /* One of two is enough */
    write_entry(w.b, 63, admission(w.a));
    write_entry(w.b, 62, admission(w.a));
    write_entry(w.b, 63, 0);
    assert_open();
    write_entry(w.b, 62, 0);
    assert_shut();
    win_stop(&w);
}

/*
 * The target
 */

static void test_bus_master(WinPath path)
{
    setup(path, NULL);
    for (unsigned i = 0; i < 5; i++) {
        ntb_cfg_writew(w.b, PCI_COMMAND, PCI_COMMAND_MEMORY);
        assert_shut();
        ntb_cfg_writew(w.b, PCI_COMMAND,
                       PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
        assert_open();
    }
    /* The own one is for the other direction */
    ntb_cfg_writew(w.a, PCI_COMMAND, PCI_COMMAND_MEMORY);
    assert_open();
    win_stop(&w);
}

#define UNCOR_STATUS    (IDT_CAP_AER + PCI_ERR_UNCOR_STATUS)

/* A write arrives, a read gets no answer */
static void assert_no_completions(uint64_t addr, uint64_t x)
{
    uint64_t value = win_value();

    g_assert_cmpuint(win_mappings(w.a), ==, 0);
    ntb_cfg_write(w.a, UNCOR_STATUS, UINT32_MAX);
    qtest_writeq(w.a->qts, addr, value);
    win_sync(w.b);
    g_assert_cmphex(qtest_readq(w.b->qts, x), ==, value);
    g_assert_cmphex(ntb_cfg_read(w.a, UNCOR_STATUS), ==, 0);
    g_assert_cmphex(qtest_readq(w.a->qts, addr), ==, UINT64_MAX);
    g_assert_cmphex(ntb_cfg_read(w.a, UNCOR_STATUS), ==,
                    PCI_ERR_UNC_COMP_TIME);
    g_assert_cmphex(qtest_readb(w.a->qts, addr + 3), ==, 0xff);
    g_assert_cmpuint(win_mappings(w.a), ==, 0);
}

/* NTCTL.CPEN is for the completions that come to its own function */
static void test_completions(WinPath path)
{
    setup(path, NULL);
    for (unsigned i = 0; i < 3; i++) {
        assert_open();
        ntb_write(w.a, A_NTCTL, 0xf & ~R_NTCTL_CPEN_MASK &
                                ~R_NTCTL_IDPROTDIS_MASK);
        assert_no_completions(direct, WIN_X);
        assert_no_completions(lut, LUT_X);
        ntb_write(w.a, A_NTCTL, R_NTCTL_CPEN_MASK);
        assert_open();
        /* By another port */
        ntb_gas_write(w.b, ntb_gas_nt(w.a->port, A_NTCTL), 0);
        ntb_settle(w.a->qts);
        assert_no_completions(direct, WIN_X);
        ntb_gas_write(w.b, ntb_gas_nt(w.a->port, A_NTCTL), R_NTCTL_CPEN_MASK);
        ntb_settle(w.a->qts);
        assert_open();
        /* The target's stops nothing */
        ntb_write(w.b, A_NTCTL, 0);
        assert_open();
        ntb_write(w.b, A_NTCTL, R_NTCTL_CPEN_MASK);
        /* A reset clears it */
        ntb_cfg_writew(w.a, IDT_CAP_PCIE + PCI_EXP_DEVCTL,
                       PCI_EXP_DEVCTL_BCR_FLR);
        win_setup_function(w.a);
        open_both(w.a, w.b->partition);
        assert_open();
        ntb_cfg_writew(w.a, IDT_CAP_PCIE + PCI_EXP_DEVCTL,
                       PCI_EXP_DEVCTL_BCR_FLR);
        g_assert_cmphex(ntb_cfg_read(w.a, A_NTCTL), ==, 0);
        win_setup_function(w.a);
        ntb_write(w.a, A_NTCTL, 0);
        open_both(w.a, w.b->partition);
        assert_no_completions(lut, LUT_X);
        ntb_write(w.a, A_NTCTL, R_NTCTL_CPEN_MASK);
    }
    win_stop(&w);
}

/* Where a window is closed, that is the error */
static void test_closed_without_completions(WinPath path)
{
    setup(path, NULL);
    ntb_write(w.a, A_NTCTL, 0);
    win_close(w.a, WIN_DIRECT32);
    ntb_cfg_write(w.a, IDT_CAP_AER + PCI_ERR_COR_STATUS, UINT32_MAX);
    win_assert_ones(w.a, direct);
    g_assert_cmphex(ntb_cfg_read(w.a, UNCOR_STATUS), ==, 0);
    g_assert_cmphex(ntb_cfg_read(w.a, IDT_CAP_AER + PCI_ERR_COR_STATUS), ==,
                    PCI_ERR_COR_ADV_NFAT);
    win_stop(&w);
}

/* Nobody there; then somebody; then nobody again, and another one */
static void test_link(WinPath path)
{
    NtbServer *server = ntb_server_start();

    w = (WinPair) { .server = server, .path = path };
    w.a = win_boot(server, path, NULL, NULL);
    open_both(w.a, 1);
    for (unsigned i = 0; i < 3; i++) {
        win_assert_ones(w.a, direct);
        win_assert_ones(w.a, lut);
        qtest_writeq(w.a->qts, direct, 0x1234);
        w.b = win_boot(server, path, NULL, NULL);
        g_assert_cmphex(qtest_readq(w.b->qts, WIN_X), ==, 0);
        assert_open();
        if (i % 2) {
            ntb_kill(w.b);
        } else {
            ntb_quit(w.b);
        }
        ntb_wait(!ntb_link_up(w.a, 2));
        ntb_wait(win_mappings(w.a) == 0);
    }
    win_assert_ones(w.a, direct);
    ntb_quit(w.a);
    ntb_server_stop(server);
}

/* Partitions that are none, and those of nobody */
static void test_partition(WinPath path)
{
    setup(path, ",partitions=3");
    for (unsigned part = 0; part < 16; part++) {
        win_aim(w.a, WIN_DIRECT32, part, WIN_X);
        win_open_lut(w.a, WIN_LUT24, ENTRY, part, LUT_X);
        if (part % 8 == w.b->partition) {
            win_assert_shows(w.a, direct, w.b, WIN_X);
        } else if (part % 8 != w.a->partition) {
            win_assert_hides(w.a, direct, w.b, WIN_X);
            win_assert_ones(w.a, direct);
        }
        if (part == w.b->partition) {
            win_assert_shows(w.a, lut, w.b, LUT_X);
        } else if (part != w.a->partition) {
            win_assert_hides(w.a, lut, w.b, LUT_X);
            win_assert_ones(w.a, lut);
        }
    }
    win_stop(&w);
}

/*
 * Registers that change while a window is in use
 */

static void test_reprogram(WinPath path)
{
    uint64_t x = WIN_X;

    setup(path, NULL);
    for (unsigned i = 0; i < 20; i++) {
        uint64_t old = x;

        /* Sometimes by a page, sometimes not by whole ones */
        x = WIN_X + (i * 5 + 3) % 11 * (i % 3 ? WIN_SIZE : 4096 + 4 * i);
        ntb_write(w.a, win_reg(WIN_DIRECT32, A_BARLTBASE0), x);
        win_assert_hits(w.a, direct, w.b, x, 8);
        win_assert_hits(w.a, direct + WIN_SIZE - 8, w.b, x + WIN_SIZE - 8, 8);
        win_open_lut(w.a, WIN_LUT24, ENTRY, w.b->partition, x + 0x4000);
        win_assert_hits(w.a, lut, w.b, x + 0x4000, 8);
        /* What was there before does not change any more */
        if (old != x) {
            qtest_writeq(w.b->qts, old, 0x5a5a5a5a5a5a5a5a);
            qtest_writeq(w.a->qts, direct, win_value());
            win_sync(w.b);
            g_assert_cmphex(qtest_readq(w.b->qts, old), ==,
                            0x5a5a5a5a5a5a5a5a);
        }
    }
    win_stop(&w);
}

/* Above 4 GiB there is RAM, too; the upper half of the base leads there */
static void test_upper_base(WinPath path)
{
    const uint64_t high = 4 * GiB + 0x3000000;
    g_autofree char *args = NULL;

    w = (WinPair) { .server = ntb_server_start(), .path = path };
    args = g_strdup_printf("-m 64M,maxmem=1G,slots=1 "
                           "-object memory-backend-%s,id=dimm,size=128M%s "
                           "-device pc-dimm,id=d0,memdev=dimm",
                           path == WIN_PLAIN ? "ram" : "memfd",
                           path == WIN_PLAIN ? "" : ",share=on");
    w.a = win_boot(w.server, path, NULL, NULL);
    w.b = win_boot(w.server, path, args, NULL);
    open_both(w.a, w.b->partition);
    win_assert_shows(w.a, direct, w.b, WIN_X);
    ntb_write(w.a, win_reg(1, A_BARUTBASE0), high >> 32);
    ntb_write(w.a, win_reg(1, A_BARLTBASE0), (uint32_t)high);
    win_assert_shows(w.a, direct, w.b, high);
    win_assert_shows(w.a, direct + WIN_SIZE - 64, w.b, high + WIN_SIZE - 64);
    win_open_lut(w.a, WIN_LUT24, ENTRY, w.b->partition, high + WIN_SIZE);
    win_assert_shows(w.a, lut, w.b, high + WIN_SIZE);
    win_assert_path(w.a, path);
    ntb_write(w.a, win_reg(1, A_BARUTBASE0), 0);
    win_assert_shows(w.a, direct, w.b, (uint32_t)high);
    win_stop(&w);
}

static void test_change_target(WinPath path)
{
    NtbPort *c;

    setup(path, ",partitions=3");
    c = win_boot(w.server, path, NULL, ",partitions=3");
    for (unsigned i = 0; i < 10; i++) {
        NtbPort *to = i % 2 ? w.b : c;
        NtbPort *other = i % 2 ? c : w.b;

        qtest_writeq(other->qts, WIN_X, i);
        qtest_writeq(other->qts, LUT_X, i);
        win_aim(w.a, WIN_DIRECT32, to->partition, WIN_X);
        win_assert_hits(w.a, direct, to, WIN_X, 8);
        win_open_lut(w.a, WIN_LUT24, ENTRY, to->partition, LUT_X);
        win_assert_hits(w.a, lut, to, LUT_X, 8);
        win_sync(other);
        g_assert_cmphex(qtest_readq(other->qts, WIN_X), ==, i);
        g_assert_cmphex(qtest_readq(other->qts, LUT_X), ==, i);
    }
    ntb_quit(c);
    win_stop(&w);
}

/* By anybody, through the global address space */
static void test_by_peer(WinPath path)
{
    uint32_t limit, base, lutudata;

    setup(path, NULL);
    limit = ntb_gas_nt(w.a->port, win_reg(1, A_BARLIMIT0));
    base = ntb_gas_nt(w.a->port, win_reg(1, A_BARLTBASE0));
    lutudata = ntb_gas_nt(w.a->port, A_LUTUDATA);
    for (unsigned i = 0; i < 5; i++) {
        ntb_gas_write(w.b, limit, 0);
        ntb_gas_write(w.b, lutudata, 0);
        ntb_wait(win_mappings(w.a) == 0);
        assert_shut();
        ntb_gas_write(w.b, limit, direct + WIN_SIZE);
        ntb_gas_write(w.b, lutudata, R_LUTUDATA_VALID_MASK | w.b->partition);
        ntb_settle(w.a->qts);
        assert_open();
        ntb_gas_write(w.b, base, WIN_X + 0x2000);
        ntb_settle(w.a->qts);
        win_assert_hits(w.a, direct, w.b, WIN_X + 0x2000, 8);
        ntb_gas_write(w.b, base, WIN_X);
        ntb_settle(w.a->qts);
    }
    win_stop(&w);
}

/* The guest moves the BAR: the limit stays where it was */
static void test_bar_moves(WinPath path)
{
    setup(path, NULL);
    for (unsigned i = 0; i < 4; i++) {
        win_place(w.a, 1, direct + 8 * WIN_SIZE);
        win_assert_hides(w.a, direct + 8 * WIN_SIZE, w.b, WIN_X);
        win_place(w.a, 1, direct - 8 * WIN_SIZE);
        win_assert_shows(w.a, direct - 8 * WIN_SIZE, w.b, WIN_X);
        win_assert_shows(w.a, direct - 7 * WIN_SIZE - 64, w.b,
                         WIN_X + WIN_SIZE - 64);
        win_place(w.a, 1, direct + WIN_SIZE);
        /* The limit was base + size: its low bits are ones */
        win_assert_shows(w.a, direct + WIN_SIZE + 0x400 - 64, w.b,
                         WIN_X + 0x400 - 64);
        win_assert_hides(w.a, direct + WIN_SIZE + 0x400, w.b, WIN_X + 0x400);
        win_place(w.a, 1, direct);
        win_place(w.a, 2, lut + 64 * WIN_SIZE - ENTRY * WIN_SIZE);
        win_assert_shows(w.a, lut + 64 * WIN_SIZE, w.b, LUT_X);
        win_place(w.a, 2, lut - ENTRY * WIN_SIZE);
        assert_open();
    }
    win_stop(&w);
}

/* The BAR does not answer for a while */
static void test_decode_off(WinPath path)
{
    setup(path, NULL);
    for (unsigned i = 0; i < 4; i++) {
        ntb_cfg_writew(w.a, PCI_COMMAND, PCI_COMMAND_MASTER);
        qtest_writeq(w.b->qts, WIN_X, 0x77);
        qtest_writeq(w.a->qts, direct, 0);
        win_sync(w.b);
        g_assert_cmphex(qtest_readq(w.b->qts, WIN_X), ==, 0x77);
        ntb_cfg_writew(w.a, PCI_COMMAND,
                       PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
        assert_open();
    }
    win_stop(&w);
}

/* All 26 windows at once, in both directions */
static void test_all_at_once(WinPath path)
{
    win_start(&w, path, NULL);
    for (unsigned i = 0; i < 2; i++) {
        NtbPort *from = i ? w.b : w.a, *to = i ? w.a : w.b;

        win_open(from, 1, to->partition, WIN_X);
        win_open(from, 4, to->partition, WIN_X + WIN_SIZE);
        for (unsigned n = 0; n < 24; n++) {
            win_open_lut(from, 2, n, to->partition,
                         WIN_X + (n + 2) * WIN_SIZE);
        }
    }
    for (unsigned i = 0; i < 4; i++) {
        NtbPort *from = i % 2 ? w.b : w.a, *to = i % 2 ? w.a : w.b;
        uint64_t base = win_bar(from, 2);

        win_assert_shows(from, win_bar(from, 1), to, WIN_X);
        win_assert_shows(from, win_bar(from, 4), to, WIN_X + WIN_SIZE);
        for (unsigned n = 0; n < 24; n++) {
            win_assert_hits(from, base + n * WIN_SIZE + 4 * n, to,
                            WIN_X + (n + 2) * WIN_SIZE + 4 * n, 8);
        }
        if (path == WIN_SHARED) {
            g_assert_cmpuint(win_mappings(from), ==, 26);
        }
    }
    win_stop(&w);
}

static void add_tests(void)
{
    if (!ntb_machine_is_q35()) {
        return;
    }
    win_add_case("window-gates/protection-off", test_protection_off);
    win_add_case("window-gates/mapping-table", test_mapping_table);
    win_add_case("window-gates/bus-master", test_bus_master);
    win_add_case("window-gates/link", test_link);
    win_add_case("window-gates/completions", test_completions);
    win_add_case_shared("window-gates/closed-without-completions",
                        test_closed_without_completions);
    win_add_case_shared("window-gates/partition", test_partition);
    win_add_case("window-gates/reprogram", test_reprogram);
    win_add_case_shared("window-gates/upper-base", test_upper_base);
    win_add_case_shared("window-gates/change-target", test_change_target);
    win_add_case_shared("window-gates/by-peer", test_by_peer);
    win_add_case_shared("window-gates/bar-moves", test_bar_moves);
    win_add_case_shared("window-gates/decode-off", test_decode_off);
    win_add_case_shared("window-gates/all-at-once", test_all_at_once);
}

libqos_init(add_tests);
