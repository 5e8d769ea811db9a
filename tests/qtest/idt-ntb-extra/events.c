/*
 * QTest testcase for idt-ntb: switch events reach their origin too
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "idt-ntb/fixture.h"
#include "control.h"

static void prepare(NtbFixture *f)
{
    ntb_listen_to_links(f->ports[0]);
    ntb_listen_to_links(f->ports[1]);
}

static void reset_function(NtbPort *p)
{
    ntb_cfg_writew(p, IDT_CAP_PCIE + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR);
    ntb_setup_function(p);
}

/* A link that came up raises SEVENT at its own port too */
static void test_own_link_up(NtbFixture *f)
{
    NtbPort *b = f->ports[1];

    reset_function(b);
    ntb_msi_enable(b, true);
    g_assert_cmphex(ntb_read(b, A_NTINTMSK), ==, 0xbb);
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, R_NTINTSTS_SEVENT_MASK);
    ntb_assert_no_msi(b);
    ntb_write(b, A_NTINTMSK, ~R_NTINTSTS_SEVENT_MASK);
    ntb_assert_msi(b);
    ntb_write(b, A_NTINTSTS, R_NTINTSTS_SEVENT_MASK);
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, 0);
    ntb_assert_link_events(f->ports[0], 1 << b->port, 1 << b->port);
}

static void test_own_link_up_masked(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    const struct {
        uint32_t addr, mask;
    } masks[] = {
        { A_SEMSK, R_SESTS_LINKUP_MASK },
        { A_SELINKUPMSK, 1 << 2 },
        { A_SEPMSK, 1 << 1 },
    };

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
}

static void test_own_link_down(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    set_partition(a, b->partition, IDT_PART_STATE_DISABLED);
    ntb_setup_function(b);
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, 0);
    ntb_assert_link_events(a, 1 << b->port, 0);

    /* A link that comes up is no reset */
    ntb_msi_enable(b, true);
    ntb_write(b, A_NTINTMSK, 0);
    ntb_assert_no_msi(b);
    set_partition(a, b->partition, IDT_PART_STATE_ACTIVE);
    ntb_assert_msi(b);
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, R_NTINTSTS_SEVENT_MASK);
    ntb_assert_link_events(a, 0, 1 << b->port);
}

/* The other ports get FRST and HRST */
static void test_own_reset(NtbFixture *f)
{
    static const struct {
        uint32_t event, sts;
    } kinds[] = {
        { R_SESTS_HRST_MASK, A_SEHRSTSTS },
        { R_SESTS_FRST_MASK, A_SEFRSTSTS },
    };
    NtbPort *a = f->ports[0], *b = ntb_plug(f, 1, NULL);

    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        ntb_setup_function(b);
        ntb_listen_to_links(a);
        ntb_gas_write(a, A_SEMSK, ~kinds[i].event);
        if (kinds[i].event == R_SESTS_HRST_MASK) {
            ntb_secondary_bus_reset(f->root);
        } else {
            qtest_system_reset(f->root);
        }
        ntb_assert_msi(a);
        g_assert_cmphex(ntb_gas_read(a, kinds[i].sts), ==, 1 << b->partition);
        g_assert_cmphex(ntb_read(a, A_NTINTSTS), ==, R_NTINTSTS_SEVENT_MASK);
        g_assert_cmphex(ntb_gas_read(a, ntb_gas_nt(b->port, A_NTINTSTS)), ==,
                        0);
        ntb_gas_write(a, kinds[i].sts, UINT32_MAX);
    }
}

static const NtbTest tests[] = {
    { "own-event/link-up-is-masked-after-reset", test_own_link_up,
      .ports = 2, .prepare = prepare, .q35 = true },
    { "own-event/link-up-passes-masks", test_own_link_up_masked, .ports = 2,
      .prepare = prepare, .q35 = true },
    { "own-event/link-down-is-cleared-by-reset", test_own_link_down, .ports = 2,
      .prepare = prepare, .q35 = true },
    { "own-event/reset-does-not-reach-its-port", test_own_reset, .ports = 1,
      .root_port = true, .q35 = true },
};

ntb_tests(tests);
