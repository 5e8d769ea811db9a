/*
 * QTest testcase for idt-ntb: BARSETUP changes the layout of the BARs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "qemu/atomic.h"
#include "qemu/module.h"
#include "hw/misc/idt_ntb/shm.h"
#include "hw/pci/pci_regs.h"
#include "idt-ntb/window.h"
#include "old_views.h"

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

static NtbServer *server;

static void decode(NtbPort *p, bool on)
{
    uint16_t command = ntb_cfg_readw(p, PCI_COMMAND) & ~PCI_COMMAND_MEMORY;

    ntb_cfg_writew(p, PCI_COMMAND, command | (on ? PCI_COMMAND_MEMORY : 0));
}

static void setup(void)
{
    server = ntb_server_start();
    ntb_views_boot(server);
    decode(self, false);
}

static void teardown(void)
{
    ntb_views_quit();
    ntb_server_stop(server);
}

/* What the header answers to all ones */
static uint64_t sizing(uint32_t setup)
{
    uint64_t mask = -1ULL << FIELD_EX32(setup, BARSETUP0, SIZE);

    if (!(setup & EN)) {
        return 0;
    }
    mask |= setup & PREF ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0;
    return setup & T64 ? mask | PCI_BASE_ADDRESS_MEM_TYPE_64 : (uint32_t)mask;
}

/* The BARs of @p, whose decoding is off, are those; they lose their address */
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

static void write_layout(View view, const Layout layout)
{
    for (unsigned bar = 0; bar < IDT_NUM_BARS; bar++) {
        view_write(view, win_reg(bar, A_BARSETUP0), layout[bar]);
    }
}

static void assert_layout(const Layout layout)
{
    g_assert_true(bars_are(self, layout));
    for (unsigned bar = 0; bar < IDT_NUM_BARS; bar++) {
        uint32_t reg = win_reg(bar, A_BARSETUP0);

        g_assert_cmphex(ntb_cfg_read(self, reg), ==, layout[bar]);
        g_assert_cmphex(ntb_gas_read(peer, ntb_gas_nt(self->port, reg)), ==,
                        layout[bar]);
    }
}

/* The BARs follow what the function writes while it decodes no memory */
static void test_decoding_off(void)
{
    setup();
    for (unsigned i = 0; i < G_N_ELEMENTS(layouts); i++) {
        write_layout(VIEW_CONFIG, layouts[i]);
        assert_layout(layouts[i]);
    }
    write_layout(VIEW_CONFIG, default_layout);
    assert_layout(default_layout);
    teardown();
}

/* While it decodes memory they stay, and follow when it ends that */
static void check_decoding_on(View view)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(layouts); i++) {
        ntb_setup_function(self);
        write_layout(view, layouts[i]);
        for (unsigned bar = 0; bar < IDT_NUM_BARS; bar++) {
            assert_all_views(win_reg(bar, A_BARSETUP0), layouts[i][bar]);
        }
        /* BAR0, too, is where it was */
        g_assert_cmphex(ntb_cfg_read(self, PCI_BASE_ADDRESS_0), ==,
                        ntb_to_pci(self->qts, self->bar0));
        decode(self, false);
        assert_layout(layouts[i]);
        write_layout(VIEW_CONFIG, default_layout);
        assert_layout(default_layout);
    }
}

static void test_decoding_on(void)
{
    setup();
    for (View view = 0; view < VIEW_MAX; view++) {
        check_decoding_on(view);
    }
    teardown();
}

/* Another port writes them: seen by the next configuration write at latest */
static void test_peer(void)
{
    setup();
    for (unsigned i = 0; i < G_N_ELEMENTS(layouts); i++) {
        write_layout(VIEW_PEER, layouts[i]);
        assert_layout(layouts[i]);
    }
    /* Seen without that, too */
    write_layout(VIEW_PEER, default_layout);
    ntb_wait(ntb_cfg_read(self, PCI_BASE_ADDRESS_4) ==
             (PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH));
    assert_layout(default_layout);
    teardown();
}

/* A BAR that does not change keeps its address, the others lose it */
static void test_address(void)
{
    setup();
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
    teardown();
}

/* The next BAR is the upper half of one of 64 bits */
static void test_upper_half(void)
{
    Layout layout;

    setup();
    memcpy(layout, default_layout, sizeof(layout));
    /* Stored, and hidden as long as it is one */
    ntb_cfg_write(self, win_reg(3, A_BARSETUP0), EN | LOG2(16));
    assert_layout(layout);
    layout[2] = EN | LUT24 | LOG2(25);
    layout[3] = EN | LOG2(16);
    ntb_cfg_write(self, win_reg(2, A_BARSETUP0), layout[2]);
    assert_layout(layout);
    /* BAR0 takes the place of BAR1 */
    layout[0] = EN | CFG | T64 | PREF | LOG2(12);
    layout[1] = 0;
    ntb_cfg_write(self, A_BARSETUP0, layout[0]);
    assert_layout(layout);
    teardown();
}

/* What can't be: told, and the BARs stay until the registers make sense */
static void test_bad(void)
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
    gsize told = 0;

    server = ntb_server_start();
    self = win_boot(server, WIN_SHARED, args, NULL);
    peer = ntb_boot(server, NULL);
    decode(self, false);
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
        /* Others have to wait with it */
        ntb_cfg_write(self, win_reg(5, A_BARLIMIT0), i);
        g_assert_true(bars_are(self, default_layout));
        /* Once is enough */
        g_assert_true(g_file_get_contents(log, &again, NULL, NULL));
        g_assert_cmpstr(text, ==, again);
        ntb_cfg_write(self, reg, default_layout[bad[i].bar]);
        assert_layout(default_layout);
    }
    teardown();
    g_unlink(log);
}

/* The table moves from BAR2 to BAR4: in either order, all at the end */
static void test_order(void)
{
    Layout layout;

    setup();
    memcpy(layout, default_layout, sizeof(layout));
    layout[2] = EN | T64 | PREF | LOG2(20);
    layout[4] = EN | T64 | PREF | LUT24 | LOG2(24);
    ntb_cfg_write(self, win_reg(4, A_BARSETUP0), layout[4]);
    g_assert_true(bars_are(self, default_layout));
    ntb_cfg_write(self, win_reg(2, A_BARSETUP0), layout[2]);
    assert_layout(layout);
    write_layout(VIEW_CONFIG, default_layout);
    assert_layout(default_layout);
    teardown();
}

/* TPART is no part of the layout: it changes at once */
static void test_partition(void)
{
    setup();
    ntb_setup_function(self);
    ntb_write(self, win_reg(1, A_BARSETUP0), 0x8000e140);
    assert_all_views(win_reg(1, A_BARSETUP0), 0x8000e140);
    decode(self, false);
    g_assert_true(bars_are(self, default_layout));
    teardown();
}

/*
 * Resets return the layout that the switch was configured with
 */

static void flr(NtbPort *p)
{
    ntb_cfg_writew(p, IDT_CAP_PCIE + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR);
}

static void test_reset(void)
{
    setup();
    for (unsigned i = 0; i < G_N_ELEMENTS(layouts); i++) {
        write_layout(VIEW_CONFIG, layouts[i]);
        flr(self);
        assert_layout(default_layout);
        write_layout(VIEW_PEER, layouts[i]);
        assert_layout(layouts[i]);
        qtest_system_reset(self->qts);
        ntb_machine_ready(self->qts);
        assert_layout(default_layout);
        /* One that waits for the end of decoding */
        ntb_setup_function(self);
        write_layout(VIEW_BAR, layouts[i]);
        flr(self);
        assert_layout(default_layout);
    }
    teardown();
}

/* The port goes down, and another one comes in its place */
static void test_link(void)
{
    setup();
    write_layout(VIEW_CONFIG, layouts[2]);
    assert_layout(layouts[2]);
    ntb_gas_write(peer, A_SWPART0CTL + IDT_PART_STRIDE * self->partition, 3);
    ntb_wait(bars_are(self, default_layout));
    ntb_gas_write(peer, A_SWPART0CTL + IDT_PART_STRIDE * self->partition, 1);
    ntb_wait(ntb_link_up(peer, self->port));
    write_layout(VIEW_CONFIG, layouts[2]);
    assert_layout(layouts[2]);
    ntb_kill(self);
    ntb_wait(!ntb_link_up(peer, 2));
    self = ntb_boot(server, ",port=2");
    decode(self, false);
    assert_layout(default_layout);
    teardown();
}

static void test_hot_reset(void)
{
    QTestState *qts;

    server = ntb_server_start();
    peer = ntb_boot(server, NULL);
    qts = ntb_boot_root_port(server);
    ntb_device_add(qts);
    self = ntb_open_plugged(qts);
    write_layout(VIEW_BAR, layouts[2]);
    ntb_secondary_bus_reset(qts);
    assert_layout(default_layout);
    write_layout(VIEW_CONFIG, layouts[1]);
    assert_layout(layouts[1]);
    ntb_secondary_bus_reset(qts);
    assert_layout(default_layout);
    /* A BAR that is there at unplug, and was not at plug */
    write_layout(VIEW_CONFIG, layouts[2]);
    decode(self, true);
    ntb_quit(self);
    ntb_device_del(qts);
    ntb_device_add(qts);
    self = ntb_open_plugged(qts);
    decode(self, false);
    assert_layout(default_layout);
    ntb_views_quit();
    qtest_quit(qts);
    ntb_server_stop(server);
}

static bool is_up_in(NtbServer *server, unsigned port)
{
    IdtNtbShm *shm = (IdtNtbShm *)server->mem;

    return qatomic_read(&shm->slot[ntb_slot(port)].p.state) == IDT_NTB_PORT_UP;
}

/* A new switch: the function keeps its layout, until a reset */
static void test_new_switch(void)
{
    server = ntb_server_start_process();
    self = win_boot(server, WIN_SHARED, NULL, NULL);
    peer = win_boot(server, WIN_SHARED, NULL, NULL);
    decode(self, false);
    write_layout(VIEW_CONFIG, layouts[2]);
    g_assert_true(bars_are(self, layouts[2]));
    ntb_server_kill(server);
    ntb_server_restart_empty(server);
    ntb_wait(is_up_in(server, self->port) && is_up_in(server, peer->port));
    assert_layout(layouts[2]);
    flr(self);
    assert_layout(default_layout);
    teardown();
}

/*
 * Windows
 */

/* They show the other guest's memory by the new layout, the old is gone */
static void test_windows(WinPath path)
{
    WinPair w;
    uint64_t old;

    win_start(&w, path, NULL);
    win_open_lut(w.a, 2, 3, w.b->partition, WIN_X);
    old = win_bar(w.a, 2) + 3 * WIN_SIZE;
    win_assert_shows(w.a, old, w.b, WIN_X);
    win_assert_path(w.a, win_path_to(w.b, path));
    /* Still so while the function decodes memory */
    ntb_write(w.a, win_reg(2, A_BARSETUP0),
              EN | T64 | PREF | LUT24 | LOG2(24));
    win_assert_shows(w.a, old, w.b, WIN_X);
    decode(w.a, false);
    g_assert_cmpuint(win_mappings(w.a), ==, 0);
    win_place(w.a, 2, win_bar_home(w.a, 2));
    decode(w.a, true);
    /* Half the size: entry 3 is where entry 1 was */
    win_assert_shows(w.a, win_bar(w.a, 2) + 3 * WIN_SIZE / 2, w.b, WIN_X);
    win_assert_path(w.a, win_path_to(w.b, path));
    win_assert_ones(w.a, win_bar(w.a, 2) + 3 * WIN_SIZE);

    /* A direct window of 32 bits, and one in the BAR that this frees */
    decode(w.a, false);
    ntb_cfg_write(w.a, win_reg(2, A_BARSETUP0), EN | LOG2(16));
    ntb_cfg_write(w.a, win_reg(3, A_BARSETUP0), EN | LOG2(12));
    g_assert_cmpuint(win_mappings(w.a), ==, 0);
    win_place(w.a, 2, win_bar_home(w.a, 2));
    win_place(w.a, 3, win_bar_home(w.a, 3));
    decode(w.a, true);
    win_open(w.a, 2, w.b->partition, WIN_X + 0x10000);
    win_open(w.a, 3, w.b->partition, WIN_X + 0x5000);
    win_assert_shows(w.a, win_bar(w.a, 2) + 0xff00, w.b, WIN_X + 0x1ff00);
    win_assert_shows(w.a, win_bar(w.a, 3), w.b, WIN_X + 0x5000);
    win_assert_path(w.a, win_path_to(w.b, path));
    win_stop(&w);
}

static void add_tests(void)
{
    if (!ntb_machine_is_q35()) {
        return;
    }
    qtest_add_func("/idt-ntb/barsetup/decoding-off", test_decoding_off);
    qtest_add_func("/idt-ntb/barsetup/decoding-on", test_decoding_on);
    qtest_add_func("/idt-ntb/barsetup/peer", test_peer);
    qtest_add_func("/idt-ntb/barsetup/address", test_address);
    qtest_add_func("/idt-ntb/barsetup/upper-half", test_upper_half);
    qtest_add_func("/idt-ntb/barsetup/bad", test_bad);
    qtest_add_func("/idt-ntb/barsetup/order", test_order);
    qtest_add_func("/idt-ntb/barsetup/partition", test_partition);
    qtest_add_func("/idt-ntb/barsetup/reset", test_reset);
    qtest_add_func("/idt-ntb/barsetup/link", test_link);
    qtest_add_func("/idt-ntb/barsetup/hot-reset", test_hot_reset);
    ntb_add_reconnect_test("/idt-ntb/barsetup/new-switch", test_new_switch);
    win_add_case("barsetup/windows", test_windows);
}

libqos_init(add_tests);
