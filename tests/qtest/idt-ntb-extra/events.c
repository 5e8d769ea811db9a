/*
 * QTest testcase for idt-ntb: switch events reach their origin too
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/module.h"
#include "hw/pci/pci_regs.h"
#include "idt-ntb/harness.h"

static NtbServer *server;
static NtbPort *a, *b;

static void setup(void)
{
    server = ntb_server_start();
    a = ntb_boot(server, NULL);
    b = ntb_boot(server, NULL);
    ntb_listen_to_links(a);
    ntb_listen_to_links(b);
}

static void teardown(void)
{
    ntb_quit(b);
    ntb_quit(a);
    ntb_server_stop(server);
}

static void reset_function(NtbPort *p)
{
    ntb_cfg_writew(p, IDT_CAP_PCIE + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR);
    ntb_setup_function(p);
}

static void set_partition(NtbPort *by, unsigned partition, uint32_t state)
{
    uint32_t sts = ntb_gas_partsts(partition);

    ntb_gas_write(by, sts - 4, state);
    ntb_wait(ntb_gas_read(by, sts) & R_SWPART0STS_SCC_MASK);
    ntb_gas_write(by, sts, R_SWPART0STS_SCI_MASK | R_SWPART0STS_SCC_MASK);
}

/* A port whose link came up finds that in its own NTINTSTS, masked */
static void test_own_link_up(void)
{
    setup();
    reset_function(b);
    ntb_msi_enable(b, true);
    g_assert_cmphex(ntb_read(b, A_NTINTMSK), ==, 0xbb);
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, R_NTINTSTS_SEVENT_MASK);
    ntb_assert_no_msi(b);
    ntb_write(b, A_NTINTMSK, ~R_NTINTSTS_SEVENT_MASK);
    ntb_assert_msi(b);
    ntb_write(b, A_NTINTSTS, R_NTINTSTS_SEVENT_MASK);
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, 0);
    ntb_assert_link_events(a, 1 << b->port, 1 << b->port);
    teardown();
}

/* Each of the three masks keeps it from its origin, as from the others */
static void test_own_link_up_masked(void)
{
    const struct {
        uint32_t addr, mask;
    } masks[] = {
        { A_SEMSK, R_SESTS_LINKUP_MASK },
        { A_SELINKUPMSK, 1 << 2 },
        { A_SEPMSK, 1 << 1 },
    };

    setup();
    g_assert_cmpuint(b->port, ==, 2);
    g_assert_cmpuint(b->partition, ==, 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(masks); i++) {
        ntb_gas_write(a, masks[i].addr, masks[i].mask);
        reset_function(b);
        g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, 0);
        ntb_gas_write(a, masks[i].addr, 0);
    }
    reset_function(b);
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, R_NTINTSTS_SEVENT_MASK);
    teardown();
}

/* What a function latched before its reset is gone with it */
static void test_own_link_down(void)
{
    setup();
    set_partition(a, b->partition, IDT_PART_STATE_DISABLED);
    ntb_setup_function(b);
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, 0);
    ntb_assert_link_events(a, 1 << b->port, 0);

    /* It had no link: nothing resets it when it gets one */
    ntb_msi_enable(b, true);
    ntb_write(b, A_NTINTMSK, 0);
    ntb_assert_no_msi(b);
    set_partition(a, b->partition, IDT_PART_STATE_ACTIVE);
    ntb_assert_msi(b);
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, R_NTINTSTS_SEVENT_MASK);
    ntb_assert_link_events(a, 0, 1 << b->port);
    teardown();
}

/* ... its FRST and HRST too, which the others get */
static void test_own_reset(void)
{
    static const struct {
        uint32_t event, sts;
    } kinds[] = {
        { R_SESTS_HRST_MASK, A_SEHRSTSTS },
        { R_SESTS_FRST_MASK, A_SEFRSTSTS },
    };
    QTestState *qts;

    server = ntb_server_start();
    a = ntb_boot(server, NULL);
    qts = ntb_boot_root_port(server);
    ntb_device_add(qts);
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        b = ntb_open_plugged(qts);
        ntb_listen_to_links(a);
        ntb_gas_write(a, A_SEMSK, ~kinds[i].event);
        if (kinds[i].event == R_SESTS_HRST_MASK) {
            ntb_secondary_bus_reset(qts);
        } else {
            qtest_system_reset(qts);
        }
        ntb_assert_msi(a);
        g_assert_cmphex(ntb_gas_read(a, kinds[i].sts), ==, 1 << b->partition);
        g_assert_cmphex(ntb_read(a, A_NTINTSTS), ==, R_NTINTSTS_SEVENT_MASK);
        g_assert_cmphex(ntb_gas_read(a, ntb_gas_nt(b->port, A_NTINTSTS)), ==,
                        0);
        ntb_gas_write(a, kinds[i].sts, UINT32_MAX);
        ntb_quit(b);
    }
    qtest_quit(qts);
    ntb_quit(a);
    ntb_server_stop(server);
}

static void add_tests(void)
{
    if (!ntb_machine_is_q35()) {
        return;
    }
    qtest_add_func("/idt-ntb/events/own-link-up", test_own_link_up);
    qtest_add_func("/idt-ntb/events/own-link-up-masked",
                   test_own_link_up_masked);
    qtest_add_func("/idt-ntb/events/own-link-down", test_own_link_down);
    qtest_add_func("/idt-ntb/events/own-reset", test_own_reset);
}

libqos_init(add_tests);
