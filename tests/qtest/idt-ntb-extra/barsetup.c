/*
 * QTest testcase for idt-ntb: BARSETUP changes the layout of the BARs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "hw/pci/pci_regs.h"
#include "extra.h"
#include "views.h"
#include "control.h"

#define EN      R_BARSETUP0_EN_MASK
#define T64     (2 << R_BARSETUP0_TYPE_SHIFT)
#define PREF    R_BARSETUP0_PREF_MASK
#define CFG     R_BARSETUP0_MODE_MASK
#define LUT12   (1 << R_BARSETUP0_ATRAN_SHIFT)
#define LUT24   (2 << R_BARSETUP0_ATRAN_SHIFT)
#define LOG2(n) ((n) << R_BARSETUP0_SIZE_SHIFT)

typedef uint32_t Layout[IDT_NUM_BARS];

static const Layout default_layout = {
    0x800004c0, 0x80000140, 0x8000119c, 0, 0x8000014c, 0
};

/* Real ones, and some that differ in every BAR */
static const Layout layouts[] = {
    /* A lookup table of 2^24, where the default has one of 2^25 */
    { EN | CFG | LOG2(12), EN | LOG2(20), EN | T64 | PREF | LUT24 | LOG2(24), 0,
      EN | T64 | PREF | LOG2(20), 0 },
    /* BAR0 of 64 bits, as the pre-upstream driver sets it: no BAR1 */
    { EN | CFG | T64 | PREF | LOG2(12), 0, EN | T64 | PREF | LUT12 | LOG2(16),
      0, EN | T64 | PREF | LUT24 | LOG2(20), 0 },
    /* 32 bits each */
    { EN | CFG | LOG2(12), EN | LOG2(24), EN | LUT12 | LOG2(16),
      EN | PREF | LOG2(12), EN | LOG2(9), EN | LOG2(13) },
    /* BAR0 alone */
    { EN | CFG | LOG2(12), 0, 0, 0, 0, 0 },
};

static void decode(NtbPort *p, bool on)
{
    uint16_t command = ntb_cfg_readw(p, PCI_COMMAND) & ~PCI_COMMAND_MEMORY;

    ntb_cfg_writew(p, PCI_COMMAND, command | (on ? PCI_COMMAND_MEMORY : 0));
}

/* The tests change the layout of ports[1] */
static void prepare(NtbFixture *f)
{
    decode(f->ports[1], false);
}

/* The value of a BAR after a write of all ones */
static uint64_t sizing(uint32_t setup)
{
    uint64_t mask = -1ULL << FIELD_EX32(setup, BARSETUP0, SIZE);

    if (!(setup & EN)) {
        return 0;
    }
    mask |= setup & PREF ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0;
    return setup & T64 ? mask | PCI_BASE_ADDRESS_MEM_TYPE_64 : (uint32_t)mask;
}

/* @p, which decodes no memory, has these BARs; they lose their addresses */
static bool bars_are(NtbPort *p, const Layout layout)
{
    uint64_t mask = 0;
    bool are = true;

    for (unsigned bar = 0; bar < IDT_NUM_BARS; bar++) {
        uint32_t reg = PCI_BASE_ADDRESS_0 + 4 * bar;

        mask = mask >> 32 ?: sizing(layout[bar]);
        ntb_cfg_write(p, reg, UINT32_MAX);
        are &= ntb_cfg_read(p, reg) == (uint32_t)mask;
        ntb_cfg_write(p, reg, 0);
    }
    return are;
}

static void write_layout(NtbFixture *f, View view, const Layout layout)
{
    for (unsigned bar = 0; bar < IDT_NUM_BARS; bar++) {
        view_write(f, view, win_reg(bar, A_BARSETUP0), layout[bar]);
    }
}

static void assert_layout(NtbFixture *f, const Layout layout)
{
    NtbPort *self = f->ports[1];

    g_assert_true(bars_are(self, layout));
    for (unsigned bar = 0; bar < IDT_NUM_BARS; bar++) {
        uint32_t reg = win_reg(bar, A_BARSETUP0);

        g_assert_cmphex(ntb_cfg_read(self, reg), ==, layout[bar]);
        g_assert_cmphex(ntb_gas_read(f->ports[0], ntb_gas_nt(self->port, reg)),
                        ==, layout[bar]);
    }
}

static void test_decoding_off(NtbFixture *f)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(layouts); i++) {
        write_layout(f, VIEW_CONFIG, layouts[i]);
        assert_layout(f, layouts[i]);
    }
    write_layout(f, VIEW_CONFIG, default_layout);
    assert_layout(f, default_layout);
}

/* The BARs stay while the function decodes memory */
static void check_decoding_on(NtbFixture *f, View view)
{
    NtbPort *self = f->ports[1];

    for (unsigned i = 0; i < G_N_ELEMENTS(layouts); i++) {
        ntb_setup_function(self);
        write_layout(f, view, layouts[i]);
        for (unsigned bar = 0; bar < IDT_NUM_BARS; bar++) {
            assert_all_views(f, win_reg(bar, A_BARSETUP0), layouts[i][bar]);
        }
        /* BAR0, too, is where it was */
        g_assert_cmphex(ntb_cfg_read(self, PCI_BASE_ADDRESS_0), ==,
                        ntb_to_pci(self->qts, self->bar0));
        decode(self, false);
        assert_layout(f, layouts[i]);
        write_layout(f, VIEW_CONFIG, default_layout);
        assert_layout(f, default_layout);
    }
}

static void test_decoding_on(NtbFixture *f)
{
    for (View view = 0; view < VIEW_MAX; view++) {
        check_decoding_on(f, view);
    }
}

/* The next configuration write applies what another port wrote */
static void test_peer(NtbFixture *f)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(layouts); i++) {
        write_layout(f, VIEW_PEER, layouts[i]);
        assert_layout(f, layouts[i]);
    }
    /* It also applies without one */
    write_layout(f, VIEW_PEER, default_layout);
    ntb_wait(ntb_cfg_read(f->ports[1], PCI_BASE_ADDRESS_4) ==
             (PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH));
    assert_layout(f, default_layout);
}

/* BARs that change lose their address */
static void test_address(NtbFixture *f)
{
    NtbPort *self = f->ports[1];

    ntb_cfg_write(self, PCI_BASE_ADDRESS_1, 0x12300000);
    ntb_cfg_write(self, PCI_BASE_ADDRESS_4, 0x45600000);
    ntb_cfg_write(self, PCI_BASE_ADDRESS_5, 0x7);
    ntb_cfg_write(self, win_reg(1, A_BARSETUP0), EN | LOG2(16));
    g_assert_cmphex(ntb_cfg_read(self, PCI_BASE_ADDRESS_0), ==,
                    ntb_to_pci(self->qts, self->bar0));
    g_assert_cmphex(ntb_cfg_read(self, PCI_BASE_ADDRESS_1), ==, 0);
    g_assert_cmphex(ntb_cfg_read(self, PCI_BASE_ADDRESS_4), ==, 0x4560000c);
    g_assert_cmphex(ntb_cfg_read(self, PCI_BASE_ADDRESS_5), ==, 0x7);
    ntb_cfg_write(self, win_reg(4, A_BARSETUP0), EN | LOG2(20));
    g_assert_cmphex(ntb_cfg_read(self, PCI_BASE_ADDRESS_4), ==, 0);
    g_assert_cmphex(ntb_cfg_read(self, PCI_BASE_ADDRESS_5), ==, 0);
}

/* The next BAR is the upper half of one of 64 bits */
static void test_upper_half(NtbFixture *f)
{
    NtbPort *self = f->ports[1];
    Layout layout;

    memcpy(layout, default_layout, sizeof(layout));
    /* Stored, but hidden by BAR2 */
    ntb_cfg_write(self, win_reg(3, A_BARSETUP0), EN | LOG2(16));
    assert_layout(f, layout);
    layout[2] = EN | LUT24 | LOG2(25);
    layout[3] = EN | LOG2(16);
    ntb_cfg_write(self, win_reg(2, A_BARSETUP0), layout[2]);
    assert_layout(f, layout);
    /* BAR0 takes the place of BAR1 */
    layout[0] = EN | CFG | T64 | PREF | LOG2(12);
    layout[1] = 0;
    ntb_cfg_write(self, A_BARSETUP0, layout[0]);
    assert_layout(f, layout);
}

/* QEMU logs a bad layout once; the BARs stay until it is corrected */
static void test_bad(NtbFixture *f)
{
    static const struct {
        unsigned bar;
        uint32_t value;
    } bad[] = {
        { 1, EN | LOG2(20) | R_BARSETUP0_MEMSI_MASK },
        { 1, EN | LOG2(20) | CFG },
        { 1, EN | LOG2(8) },
        { 1, EN | LOG2(32) },
        { 1, EN | LOG2(20) | LUT12 },
        { 1, EN | LOG2(20) | T64 },
        { 1, EN | LOG2(20) | 1 << R_BARSETUP0_TYPE_SHIFT },
        { 2, EN | T64 | LOG2(63) },
        { 2, EN | T64 | LOG2(25) | LUT12 | LUT24 },
        { 4, EN | T64 | LOG2(25) | LUT24 },     /* BAR2 has one, too */
        { 0, EN | LOG2(12) },
        { 0, EN | CFG | LOG2(13) },
        { 1, UINT32_MAX },
    };
    g_autofree char *log = ntb_tmp_path("log");
    g_autofree char *args = g_strdup_printf("-d guest_errors -D %s", log);
    NtbPort *self = win_boot(f->server, WIN_SHARED, args, NULL);
    gsize told = 0;

    f->ports[1] = self;
    prepare(f);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        uint32_t reg = win_reg(bad[i].bar, A_BARSETUP0);
        g_autofree char *name = g_strdup_printf("BARSETUP%u", bad[i].bar);
        g_autofree char *text = NULL;
        g_autofree char *again = NULL;
        gsize size;

        ntb_cfg_write(self, reg, bad[i].value);
        g_assert_true(bars_are(self, default_layout));
        g_assert_cmphex(ntb_cfg_read(self, reg), ==, bad[i].value & 0x8000ffff);
        g_assert_true(g_file_get_contents(log, &text, &size, NULL));
        g_assert_nonnull(strstr(text + told, name));
        told = size;
        /* Other writes do not apply either */
        ntb_cfg_write(self, win_reg(5, A_BARLIMIT0), i);
        g_assert_true(bars_are(self, default_layout));
        g_assert_true(g_file_get_contents(log, &again, NULL, NULL));
        g_assert_cmpstr(text, ==, again);
        ntb_cfg_write(self, reg, default_layout[bad[i].bar]);
        assert_layout(f, default_layout);
    }
    g_unlink(log);
}

/* The lookup table moves from BAR2 to BAR4, with a bad layout between */
static void test_order(NtbFixture *f)
{
    NtbPort *self = f->ports[1];
    Layout layout;

    memcpy(layout, default_layout, sizeof(layout));
    layout[2] = EN | T64 | PREF | LOG2(20);
    layout[4] = EN | T64 | PREF | LUT24 | LOG2(24);
    ntb_cfg_write(self, win_reg(4, A_BARSETUP0), layout[4]);
    g_assert_true(bars_are(self, default_layout));
    ntb_cfg_write(self, win_reg(2, A_BARSETUP0), layout[2]);
    assert_layout(f, layout);
    write_layout(f, VIEW_CONFIG, default_layout);
    assert_layout(f, default_layout);
}

static void test_partition(NtbFixture *f)
{
    NtbPort *self = f->ports[1];

    ntb_setup_function(self);
    ntb_write(self, win_reg(1, A_BARSETUP0), 0x8000e140);
    assert_all_views(f, win_reg(1, A_BARSETUP0), 0x8000e140);
    decode(self, false);
    g_assert_true(bars_are(self, default_layout));
}

/*
 * Resets return to the layout of the reset image
 */

static void flr(NtbPort *p)
{
    ntb_cfg_writew(p, IDT_CAP_PCIE + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR);
}

static void test_reset(NtbFixture *f)
{
    NtbPort *self = f->ports[1];

    for (unsigned i = 0; i < G_N_ELEMENTS(layouts); i++) {
        write_layout(f, VIEW_CONFIG, layouts[i]);
        flr(self);
        assert_layout(f, default_layout);
        write_layout(f, VIEW_PEER, layouts[i]);
        assert_layout(f, layouts[i]);
        qtest_system_reset(self->qts);
        ntb_machine_ready(self->qts);
        assert_layout(f, default_layout);
        /* With a layout that waits for the end of decoding */
        ntb_setup_function(self);
        write_layout(f, VIEW_BAR, layouts[i]);
        flr(self);
        assert_layout(f, default_layout);
    }
}

static void test_link(NtbFixture *f)
{
    NtbPort *self = f->ports[1], *peer = f->ports[0];

    write_layout(f, VIEW_CONFIG, layouts[2]);
    assert_layout(f, layouts[2]);
    set_partition(peer, self->partition, IDT_PART_STATE_RESET);
    ntb_wait(bars_are(self, default_layout));
    set_partition(peer, self->partition, IDT_PART_STATE_ACTIVE);
    ntb_wait(ntb_link_up(peer, self->port));
    write_layout(f, VIEW_CONFIG, layouts[2]);
    assert_layout(f, layouts[2]);
    ntb_end_by_kill(f, 1);
    ntb_wait(!ntb_link_up(peer, 2));
    decode(ntb_start(f, 1, NULL), false);
    assert_layout(f, default_layout);
}

static void test_hot_reset(NtbFixture *f)
{
    NtbPort *self = ntb_plug(f, 1, NULL);

    write_layout(f, VIEW_BAR, layouts[2]);
    ntb_secondary_bus_reset(f->root);
    assert_layout(f, default_layout);
    write_layout(f, VIEW_CONFIG, layouts[1]);
    assert_layout(f, layouts[1]);
    ntb_secondary_bus_reset(f->root);
    assert_layout(f, default_layout);
    /* Unplug with another BAR than at plug */
    write_layout(f, VIEW_CONFIG, layouts[2]);
    decode(self, true);
    ntb_unplug(f, 1);
    decode(ntb_plug(f, 1, NULL), false);
    assert_layout(f, default_layout);
}

static void test_new_switch(NtbFixture *f)
{
    NtbPort *self = f->ports[1];

    write_layout(f, VIEW_CONFIG, layouts[2]);
    g_assert_true(bars_are(self, layouts[2]));
    ntb_server_kill(f->server);
    ntb_server_restart_empty(f->server);
    ntb_wait(ntb_is_up_in(f->server, 0) && ntb_is_up_in(f->server, 2));
    assert_layout(f, layouts[2]);
    flr(self);
    assert_layout(f, default_layout);
}

/*
 * Windows
 */

static void test_windows(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint64_t old = win_bar(a, 2) + 3 * WIN_SIZE;

    win_open_lut(a, 2, 3, b->partition, WIN_X);
    win_assert_shows(a, old, b, WIN_X);
    win_assert_path(a, win_path_to(b, f->path));
    /* The windows stay while the function decodes memory */
    ntb_write(a, win_reg(2, A_BARSETUP0), EN | T64 | PREF | LUT24 | LOG2(24));
    win_assert_shows(a, old, b, WIN_X);
    decode(a, false);
    g_assert_cmpuint(win_mappings(a), ==, 0);
    win_place(a, 2, win_bar_home(a, 2));
    decode(a, true);
    /* Half the size: entry 3 is where entry 1 was */
    win_assert_shows(a, win_bar(a, 2) + 3 * WIN_SIZE / 2, b, WIN_X);
    win_assert_path(a, win_path_to(b, f->path));
    win_assert_ones(a, win_bar(a, 2) + 3 * WIN_SIZE);

    /* A direct window of 32 bits, and one in the BAR that this frees */
    decode(a, false);
    ntb_cfg_write(a, win_reg(2, A_BARSETUP0), EN | LOG2(16));
    ntb_cfg_write(a, win_reg(3, A_BARSETUP0), EN | LOG2(12));
    g_assert_cmpuint(win_mappings(a), ==, 0);
    win_place(a, 2, win_bar_home(a, 2));
    win_place(a, 3, win_bar_home(a, 3));
    decode(a, true);
    win_open(a, 2, b->partition, WIN_X + 0x10000);
    win_open(a, 3, b->partition, WIN_X + 0x5000);
    win_assert_shows(a, win_bar(a, 2) + 0xff00, b, WIN_X + 0x1ff00);
    win_assert_shows(a, win_bar(a, 3), b, WIN_X + 0x5000);
    win_assert_path(a, win_path_to(b, f->path));
}

static const NtbTest tests[] = {
    { "barsetup/applies-while-decoding-is-off", test_decoding_off, .ports = 2,
      .prepare = prepare, .q35 = true },
    { "barsetup/waits-for-the-end-of-decoding", test_decoding_on, .ports = 2,
      .prepare = prepare, .q35 = true },
    { "barsetup/applies-when-a-peer-writes-it", test_peer, .ports = 2,
      .prepare = prepare, .q35 = true },
    { "barsetup/unchanged-bar-keeps-its-address", test_address, .ports = 2,
      .prepare = prepare, .q35 = true },
    { "barsetup/64-bit-bar-takes-the-next-one", test_upper_half, .ports = 2,
      .prepare = prepare, .q35 = true },
    { "barsetup/bad-layout-does-not-apply", test_bad, .ports = 1, .q35 = true },
    { "barsetup/order-of-writes-does-not-matter", test_order, .ports = 2,
      .prepare = prepare, .q35 = true },
    { "barsetup/target-partition-changes-at-once", test_partition, .ports = 2,
      .prepare = prepare, .q35 = true },
    { "barsetup/resets-restore-it", test_reset, .ports = 2,
      .prepare = prepare, .q35 = true },
    { "barsetup/link-down-restores-it", test_link, .ports = 2,
      .prepare = prepare, .q35 = true },
    { "barsetup/hot-reset-restores-it", test_hot_reset, .ports = 1,
      .root_port = true, .q35 = true },
    { "barsetup/new-switch-keeps-it", test_new_switch,
      .server = ntb_server_start_process, .ports = 2, .prepare = prepare,
      .windows = WIN_ONLY(WIN_SHARED), .q35 = true, .needs = ntb_reconnects },
    { "barsetup/windows-follow-the-layout", test_windows, .ports = 2,
      .windows = WIN_EACH, .q35 = true },
};

ntb_tests(tests);
