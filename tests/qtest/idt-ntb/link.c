/*
 * QTest testcase for idt-ntb: attach, detach, reset, hot-plug
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "fixture.h"

/*
 * Attach and detach
 */

static void test_attach(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b, *c;

    g_assert_cmpuint(a->port, ==, 0);
    g_assert_true(ntb_link_up(a, 0));
    g_assert_false(ntb_link_up(a, 2));
    ntb_listen_to_links(a);

    /* The lowest free port, or the one that is asked for */
    b = ntb_start(f, 1, ",port=4");
    g_assert_cmpuint(b->port, ==, 4);
    ntb_assert_link_events(a, 0, 1 << 4);
    g_assert_true(ntb_link_up(a, 4));
    c = ntb_start(f, 2, NULL);
    g_assert_cmpuint(c->port, ==, 2);
    ntb_assert_link_events(a, 0, 1 << 2);
    ntb_end(f, 2);
    ntb_assert_link_events(a, 1 << 2, 0);
    g_assert_false(ntb_link_up(a, 2));
    c = ntb_start(f, 2, NULL);
    g_assert_cmpuint(c->port, ==, 2);
    ntb_assert_link_events(a, 0, 1 << 2);

    g_assert_cmpint(ntb_qom_int(c, "port"), ==, 2);
    g_assert_cmpint(ntb_qom_int(c, "partition"), ==, 1);
    g_assert_true(ntb_qom_bool(c, "link"));
    g_assert_cmpint(ntb_qom_int(b, "port"), ==, 4);
    g_assert_cmpint(ntb_qom_int(b, "partition"), ==, 2);

    ntb_assert_talk(a, c);
    ntb_assert_talk(c, b);
    ntb_assert_talk(b, a);
}

/* The switch outlives whoever made it, and is made anew after the last */
static void test_last_one_out(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];

    ntb_gas_write(a, A_GIDBELLMSK0, 0x2a);
    ntb_write(a, A_NTSDATA, 0xa);
    ntb_write(b, A_NTSDATA, 0xb);
    ntb_end(f, 0);
    a = ntb_start(f, 0, NULL);
    g_assert_cmpuint(a->port, ==, 0);
    g_assert_cmphex(ntb_gas_read(a, A_GIDBELLMSK0), ==, 0x2a);
    g_assert_cmphex(ntb_read(a, A_NTSDATA), ==, 0);
    g_assert_cmphex(ntb_read(b, A_NTSDATA), ==, 0xb);
    ntb_assert_talk(a, b);
    ntb_end(f, 0);
    ntb_end(f, 1);

    /* Another topology is no trouble now */
    a = ntb_start(f, 0, ",partitions=2,port=2");
    g_assert_cmphex(ntb_gas_read(a, A_GIDBELLMSK0), ==, 0);
    g_assert_cmphex(ntb_read(a, A_NTSDATA), ==, 0);
    g_assert_cmphex(ntb_gas_read(a, ntb_gas_partsts(2)), ==, 0);
}

static void test_detach_cleans(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];

    ntb_dirty(b);
    ntb_listen_to_links(a);
    ntb_end(f, 1);
    ntb_assert_link_events(a, 1 << 2, 0);
    ntb_assert_clean(a, 2);
    g_assert_cmphex(ntb_mapping_entry(a, 1), ==, 0);
}

/*
 * Reset
 */

static void reset_system(NtbPort *p)
{
    qtest_system_reset(p->qts);
}

static void reset_function(NtbPort *p)
{
    g_assert_cmphex(ntb_cfg_read(p, IDT_CAP_PCIE + PCI_EXP_DEVCAP) &
                    PCI_EXP_DEVCAP_FLR, !=, 0);
    ntb_cfg_writew(p, IDT_CAP_PCIE + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR);
}

static void reset_bus(NtbPort *p)
{
    ntb_secondary_bus_reset(p->qts);
}

/* After a reset: our registers are clean, the others saw down and up */
static void check_reset(NtbPort *a, NtbPort *b, void (*reset)(NtbPort *))
{
    uint32_t theirs = R_NTMTBLDATA_VALID_MASK | a->partition <<
                      R_NTMTBLDATA_PART_SHIFT;

    ntb_dirty(b);
    ntb_write(a, A_NTMTBLADDR, a->partition);
    ntb_write(a, A_NTMTBLDATA, theirs);
    ntb_write(a, A_NTSDATA, 0x5afe);
    ntb_listen_to_links(a);
    reset(b);
    ntb_assert_link_events(a, 1 << b->port, 1 << b->port);
    g_assert_true(ntb_link_up(a, b->port));
    ntb_assert_clean(a, b->port);
    /* The own entry of the mapping table goes, others' stay */
    g_assert_cmphex(ntb_mapping_entry(a, b->partition), ==, 0);
    g_assert_cmphex(ntb_mapping_entry(a, a->partition), ==, theirs);
    g_assert_cmphex(ntb_read(a, A_NTSDATA), ==, 0x5afe);
}

static void test_reset(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->root ? ntb_plug(f, 1, NULL) : f->ports[1];

    for (unsigned i = 0; i < 5; i++) {
        check_reset(a, b, f->test->data);
        ntb_setup_function(b);
        g_assert_cmphex(ntb_read(b, A_GASAADDR), ==, 0);
        ntb_assert_talk(a, b);
        ntb_assert_talk(b, a);
    }
}

/*
 * Hot-plug
 */

static void test_hotplug(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    QTestState *qts = f->root;
    unsigned fds = 0, fds_a = 0;

    for (unsigned i = 0; i < 100; i++) {
        NtbPort *b;

        ntb_listen_to_links(a);
        b = ntb_plug(f, 1, NULL);
        ntb_assert_link_events(a, 0, 1 << 2);
        g_assert_cmpuint(b->port, ==, 2);
        if (i % 10 == 0) {
            ntb_assert_talk(a, b);
            ntb_assert_talk(b, a);
        }
        ntb_dirty(b);
        ntb_listen_to_links(a);
        ntb_unplug(f, 1);
        ntb_assert_link_events(a, 1 << 2, 0);
        ntb_assert_clean(a, 2);
        if (i == 10) {
            ntb_settle(qts);
            fds = ntb_count_fds(qts);
            fds_a = ntb_count_fds(a->qts);
        }
    }
    /* The server's notice of the end may still be on its way to @a */
    ntb_settle(qts);
    ntb_wait(ntb_count_fds(qts) <= fds + 1);
    ntb_wait(ntb_count_fds(a->qts) <= fds_a + 1);
}

static const NtbTest tests[] = {
    { "reset/system-resets-one-port", test_reset, .ports = 2,
      .q35 = true, .data = reset_system },
    { "reset/function-resets-one-port", test_reset, .ports = 2,
      .q35 = true, .data = reset_function },
    { "reset/bus-resets-one-port", test_reset, .ports = 1, .root_port = true,
      .q35 = true, .data = reset_bus },
    { "link/comes-up-when-a-port-attaches", test_attach, .ports = 1,
      .partitions = 4, .q35 = true },
    { "link/switch-ends-with-its-last-port", test_last_one_out, .ports = 2,
      .partitions = 3, .q35 = true },
    { "link/detached-port-leaves-reset-values", test_detach_cleans,
      .ports = 2, .q35 = true },
    { "hotplug/leaves-nothing-behind", test_hotplug, .ports = 1,
      .root_port = true, .q35 = true },
};

ntb_tests(tests);
