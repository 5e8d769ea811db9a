/*
 * QTest testcase for idt-ntb: faults on demand
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "qobject/qdict.h"
#include "qobject/qnum.h"
#include "extra.h"

#define LNKSTA          (IDT_CAP_PCIE + PCI_EXP_LNKSTA)
#define LNKCTL          (IDT_CAP_PCIE + PCI_EXP_LNKCTL)
#define LNKSTA_LINK     (PCI_EXP_LNKSTA_CLS | PCI_EXP_LNKSTA_NLW)
#define UNCOR_STATUS    (IDT_CAP_AER + PCI_ERR_UNCOR_STATUS)

static uint64_t counter(NtbPort *p, const char *name)
{
    QDict *answer = qtest_qmp(p->qts, "{'execute': 'qom-get', 'arguments': {"
                              "'path': '/machine/peripheral/ntb0',"
                              "'property': 'counters'}}");
    uint64_t value = qdict_get_int(qdict_get_qdict(answer, "return"), name);

    qobject_unref(answer);
    return value;
}

/* Rings doorbells 0 to 15.  Returns: those that have come. */
static uint32_t ring_all(NtbPort *from, NtbPort *to)
{
    uint32_t came;

    ntb_write(to, A_INDBELLSTS, UINT32_MAX);
    for (unsigned n = 0; n < 16; n++) {
        ntb_write(from, A_OUTDBELLSET, 1u << n);
    }
    came = ntb_read(to, A_INDBELLSTS);
    ntb_write(to, A_INDBELLSTS, UINT32_MAX);
    return came;
}

/* Returns: whether a message of @from is in @to, which then has read it. */
static bool take_message(NtbPort *to, uint32_t data)
{
    bool came = ntb_read(to, A_MSGSTS) & 1 << R_MSGSTS_INMSGSTS_SHIFT;

    if (came) {
        g_assert_cmphex(ntb_read(to, A_INMSG0), ==, data);
        ntb_write(to, A_MSGSTS, UINT32_MAX);
    }
    return came;
}

/*
 * The cable
 */

static void test_cable(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];

    ntb_route_message(b, 0, a->partition, 0);
    ntb_write(b, A_NTSDATA, 0x5afe);
    for (unsigned i = 0; i < 3; i++) {
        ntb_listen_to_links(a);
        ntb_listen_to_links(b);
        ntb_set_property(b, "link", "false");
        g_assert_false(ntb_qom_bool(b, "link"));
        g_assert_false(ntb_link_up(a, b->port));
        g_assert_false(ntb_link_up(b, b->port));
        /* Its own guest is told too */
        ntb_assert_msi(b);
        ntb_assert_link_events(a, 1 << b->port, 0);
        /* Nothing gets in or out */
        g_assert_cmphex(ring_all(a, b), ==, 0);
        g_assert_cmphex(ring_all(b, a), ==, 0);
        ntb_write(b, A_OUTMSG0, 0xcab1e);
        g_assert_cmphex(ntb_read(b, A_MSGSTS), ==, 1);
        ntb_write(b, A_MSGSTS, UINT32_MAX);
        g_assert_false(take_message(a, 0));
        /* Once more is nothing new */
        ntb_listen_to_links(a);
        ntb_set_property(b, "link", "false");
        ntb_assert_no_msi(a);

        ntb_listen_to_links(b);
        ntb_set_property(b, "link", "true");
        g_assert_true(ntb_qom_bool(b, "link"));
        ntb_assert_msi(b);
        ntb_assert_link_events(a, 0, 1 << b->port);
        g_assert_cmphex(ntb_read(b, A_NTSDATA), ==, 0x5afe);
        ntb_assert_talk(a, b);
        ntb_assert_talk(b, a);
    }
    g_assert_cmpuint(counter(b, "doorbells-lost"), ==, 3 * 16);
}

/* A reset does not plug the cable; the reset of an attached port ends */
static void test_cable_reset(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = ntb_start(f, 1, ",link=off");

    g_assert_false(ntb_link_up(a, b->port));
    ntb_function_reset(b);
    ntb_setup_function(b);
    g_assert_false(ntb_link_up(a, b->port));
    g_assert_false(ntb_qom_bool(b, "link"));
    ntb_listen_to_links(a);
    ntb_set_property(b, "link", "true");
    ntb_assert_link_events(a, 0, 1 << b->port);
    ntb_assert_talk(a, b);
    /* A port that ends without its cable is gone like any other */
    ntb_set_property(b, "link", "false");
    ntb_end(f, 1);
    b = ntb_start(f, 1, NULL);
    g_assert_true(ntb_link_up(a, b->port));
    ntb_assert_talk(b, a);
}

static void test_cable_windows(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];
    uint64_t of_a = win_bar(a, WIN_DIRECT64);
    uint64_t of_b = win_bar(b, WIN_DIRECT64);

    win_open(a, WIN_DIRECT64, b->partition, WIN_X);
    win_open(b, WIN_DIRECT64, a->partition, WIN_X);
    for (unsigned i = 0; i < 2; i++) {
        win_assert_shows(a, of_a, b, WIN_X);
        win_assert_shows(b, of_b, a, WIN_X);
        ntb_set_property(b, "link", "false");
        win_assert_hides(a, of_a, b, WIN_X);
        win_assert_hides(b, of_b, a, WIN_X);
        g_assert_cmpuint(win_mappings(a) + win_mappings(b), ==, 0);
        ntb_set_property(b, "link", "true");
    }
    win_assert_shows(a, of_a, b, WIN_X);
    win_assert_shows(b, of_b, a, WIN_X);
}

/*
 * Width and speed
 */

static void assert_link(NtbPort *p, NtbPort *peer, uint32_t width,
                        uint32_t speed)
{
    uint32_t want = width << 4 | speed;

    g_assert_cmphex(ntb_cfg_readw(p, LNKSTA) & LNKSTA_LINK, ==, want);
    g_assert_cmphex(ntb_gas_read(peer, ntb_gas_nt(p->port, LNKCTL)) >> 16 &
                    LNKSTA_LINK, ==, want);
    /* Its bridge function shows the same link */
    g_assert_cmphex(ntb_gas_read(peer, p->port * IDT_GAS_PORT_STRIDE +
                                 LNKCTL) >> 16 & LNKSTA_LINK, ==, want);
}

static void test_degraded(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];

    assert_link(b, a, 4, 2);
    ntb_set_property(b, "link-width", "'1'");
    assert_link(b, a, 1, 2);
    ntb_set_property(b, "link-speed", "'2_5'");
    assert_link(b, a, 1, 1);
    assert_link(a, b, 4, 2);
    g_assert_true(ntb_link_up(a, b->port));
    ntb_function_reset(b);
    ntb_setup_function(b);
    assert_link(b, a, 1, 1);
    ntb_assert_talk(a, b);
    ntb_set_property(b, "link-width", "'4'");
    ntb_set_property(b, "link-speed", "'5'");
    assert_link(b, a, 4, 2);
    b = (ntb_end(f, 1), ntb_start(f, 1, ",link-width=2,link-speed=2_5"));
    assert_link(b, a, 2, 1);
}

/*
 * A partition in reset
 */

static void test_partition_reset(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];

    ntb_dirty(b);
    ntb_listen_to_links(a);
    ntb_gas_write(a, A_SEFRSTSTS, UINT32_MAX);
    ntb_set_property(b, "partition-reset", "true");
    g_assert_true(ntb_qom_bool(b, "partition-reset"));
    g_assert_cmphex(ntb_gas_read(a, A_SEFRSTSTS), ==, 1 << b->partition);
    ntb_assert_link_events(a, 1 << b->port, 0);
    ntb_assert_clean(a, b->port);
    /* Its guest does not reach it, not even after a reset of the machine */
    g_assert_cmphex(ntb_cfg_read(b, 0), ==, UINT32_MAX);
    qtest_system_reset(b->qts);
    g_assert_cmphex(ntb_cfg_read(b, 0), ==, UINT32_MAX);
    g_assert_false(ntb_link_up(a, b->port));
    ntb_set_property(b, "partition-reset", "false");
    ntb_assert_link_events(a, 0, 1 << b->port);
    ntb_setup_function(b);
    ntb_assert_talk(a, b);
    ntb_assert_talk(b, a);
    /* It ends with its port */
    ntb_set_property(b, "partition-reset", "true");
    ntb_end(f, 1);
    b = ntb_start(f, 1, NULL);
    ntb_assert_talk(a, b);
}

/*
 * Signals
 */

static void test_lost_doorbells(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];
    NtbPort *c = f->ports[2];

    g_assert_cmphex(ring_all(a, b), ==, 0xffff);
    ntb_set_property(a, "fault-doorbells", "4");
    ntb_set_property(a, "fault-port", "2");
    g_assert_cmphex(ring_all(a, b), ==, 0x7777);
    g_assert_cmphex(ring_all(a, c), ==, 0xffff);
    g_assert_cmphex(ring_all(b, c), ==, 0xffff);
    /* To both that rang for @c too */
    g_assert_cmpuint(counter(a, "doorbells-lost"), ==, 8);
    ntb_set_property(a, "fault-doorbells", "1");
    g_assert_cmphex(ring_all(a, b), ==, 0);
    ntb_set_property(a, "fault-doorbells", "0");
    g_assert_cmphex(ring_all(a, b), ==, 0xffff);
    g_assert_cmpuint(counter(a, "doorbells-lost"), ==, 24);
    g_assert_cmpuint(counter(b, "doorbells-lost"), ==, 0);
}

static void test_seed(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];
    uint32_t first, second;

    ntb_set_property(a, "fault-doorbells", "2");
    ntb_set_property(a, "fault-seed", "18");
    first = ring_all(a, b);
    second = ring_all(a, b);
    g_assert_cmphex(first, !=, 0xaaaa);
    g_assert_cmphex(first, !=, second);
    /* Again from the start */
    ntb_set_property(a, "fault-seed", "0");
    g_assert_cmphex(ring_all(a, b), ==, 0x5555);
    ntb_set_property(a, "fault-seed", "18");
    g_assert_cmphex(ring_all(a, b), ==, first);
    g_assert_cmphex(ring_all(a, b), ==, second);
}

static void test_lost_messages(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];

    ntb_route_message(a, 0, b->partition, 0);
    ntb_set_property(a, "fault-messages", "3");
    for (unsigned n = 1; n <= 9; n++) {
        ntb_write(a, A_OUTMSG0, n);
        /* The sender does not learn it */
        g_assert_cmphex(ntb_read(a, A_MSGSTS), ==, 0);
        g_assert_cmpuint(take_message(b, n), ==, n % 3 != 0);
    }
    g_assert_cmpuint(counter(a, "messages-lost"), ==, 3);
    g_assert_cmpuint(counter(a, "messages-sent"), ==, 9);
}

/* In order, and after the fault was cleared */
static void test_late(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];

    ntb_route_message(a, 0, b->partition, 0);
    ntb_unmask_all(b);
    ntb_set_property(a, "fault-late", "20");
    ntb_set_property(a, "fault-doorbells", "1");
    ntb_set_property(a, "fault-messages", "1");
    ntb_write(a, A_OUTDBELLSET, 1);
    ntb_write(a, A_OUTMSG0, 0xfeed);
    ntb_write(a, A_OUTMSG0, 0xbeef);        /* finds the register full */
    qtest_clock_step(a->qts, 19 * 1000 * 1000);
    ntb_assert_no_msi(b);
    /* This one does not overtake */
    ntb_set_property(a, "fault-late", "1");
    ntb_write(a, A_OUTDBELLSET, 2);
    ntb_set_property(a, "fault-doorbells", "0");
    ntb_set_property(a, "fault-messages", "0");
    qtest_clock_step(a->qts, 500 * 1000);
    g_assert_cmphex(ntb_read(b, A_INDBELLSTS), ==, 0);
    qtest_clock_step(a->qts, 500 * 1000);
    ntb_assert_msi(b);
    ntb_wait(ntb_read(b, A_INDBELLSTS) == 3);
    g_assert_true(take_message(b, 0xfeed));
    g_assert_cmpuint(counter(a, "signals-late"), ==, 4);
    g_assert_cmpuint(counter(a, "messages-lost"), ==, 1);
    g_assert_cmpuint(counter(a, "doorbells-lost"), ==, 0);
}

/* The receiver is gone when it comes; the sender is */
static void test_late_ends(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];

    ntb_set_property(a, "fault-late", "20");
    ntb_set_property(a, "fault-doorbells", "1");
    ntb_write(a, A_OUTDBELLSET, 1);
    ntb_end(f, 1);
    qtest_clock_step(a->qts, 20 * 1000 * 1000);
    g_assert_cmpuint(counter(a, "doorbells-lost"), ==, 1);
    b = ntb_start(f, 1, NULL);
    g_assert_cmphex(ntb_read(b, A_INDBELLSTS), ==, 0);
    ntb_write(a, A_OUTDBELLSET, 2);
    ntb_end(f, 0);
    a = ntb_start(f, 0, NULL);
    g_assert_cmphex(ntb_read(b, A_INDBELLSTS), ==, 0);
    ntb_assert_talk(a, b);
}

/* The port has gone to another switch */
static void test_late_at_new_switch(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];

    ntb_set_property(a, "fault-late", "60000");
    ntb_set_property(a, "fault-doorbells", "1");
    ntb_write(a, A_OUTDBELLSET, 1 << 5);
    ntb_server_kill(f->server);
    ntb_server_restart_empty(f->server);
    ntb_wait(ntb_is_up_in(f->server, a->port) &&
             ntb_is_up_in(f->server, b->port));
    qtest_clock_step(a->qts, 60ULL * 1000 * 1000 * 1000);
    g_assert_cmphex(ntb_read(b, A_INDBELLSTS), ==, 0);
    ntb_set_property(a, "fault-doorbells", "0");
    ntb_assert_talk(a, b);
}

/*
 * Reads
 */

static void test_completions(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];
    uint64_t base = win_bar(a, WIN_DIRECT64);

    win_open(a, WIN_DIRECT64, b->partition, WIN_X);
    win_assert_shows(a, base, b, WIN_X);
    ntb_set_property(a, "fault-completions", "3");
    g_assert_cmpuint(win_mappings(a), ==, 0);
    qtest_writel(a->qts, base, 0x1234);
    ntb_cfg_write(a, UNCOR_STATUS, UINT32_MAX);
    for (unsigned n = 1; n <= 9; n++) {
        g_assert_cmphex(qtest_readl(a->qts, base), ==,
                        n % 3 ? 0x1234 : UINT32_MAX);
        g_assert_cmphex(ntb_cfg_read(a, UNCOR_STATUS), ==,
                        n % 3 ? 0 : PCI_ERR_UNC_COMP_TIME);
        ntb_cfg_write(a, UNCOR_STATUS, UINT32_MAX);
    }
    g_assert_cmpuint(counter(a, "completions-lost"), ==, 3);
    ntb_set_property(a, "fault-completions", "0");
    win_assert_shows(a, base, b, WIN_X);
    win_assert_path(a, win_path_to(b, f->path));
}

/*
 * Misuse
 */

static void test_refused(NtbFixture *f)
{
    static const struct {
        const char *name, *value, *words;
    } bad[] = {
        { "fault-doorbells", "-1", "0 to 4294967295" },
        { "fault-doorbells", "4294967296", "0 to 4294967295" },
        { "fault-messages", "'often'", "fault-messages" },
        { "fault-late", "60001", "0 to 60000" },
        { "fault-port", "-2", "-1 to 23" },
        { "fault-port", "24", "-1 to 23" },
        { "fault-port", "1", "fault-port=1 of 89HPES24NT6AG2" },
        { "fault-port", "8", "fault-port=8 needs partitions=5" },
        { "fault-port", "0", "fault-port=0 is the port of the device" },
        { "link-width", "'8'", "4 lanes" },
        { "link-width", "'3'", "3" },
        { "link-speed", "'8'", "5 GT/s" },
        { "link", "'pulled'", "link" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *command = g_strdup_printf(
            "{'execute': 'qom-set', 'arguments': {"
            "'path': '/machine/peripheral/ntb0', 'property': '%s',"
            "'value': %s}}", bad[i].name, bad[i].value);
        QDict *error = qtest_qmp_assert_failure_ref(f->ports[0]->qts, command,
                                                    NULL);

        g_assert_nonnull(strstr(qdict_get_str(error, "desc"), bad[i].words));
        qobject_unref(error);
    }
    g_assert_cmpint(ntb_qom_int(f->ports[0], "fault-port"), ==, -1);
    ntb_assert_refused_at(f->server, "no switch yet|qom-set",
                          ",partition-reset=on");
    ntb_assert_refused_at(f->server, "out of range|-1 means all",
                          ",fault-port=99");
    ntb_assert_refused_at(f->server, "fault-port=1 of|Use one of the ports 0 2",
                          ",fault-port=1");
    ntb_assert_refused_at(f->server, "fault-port=2 is the port|another port's",
                          ",fault-port=2");
    ntb_assert_refused_at(f->server, "fault-port=2 is the port|another port's",
                          ",fault-port=2,port=2");
    ntb_assert_refused_at(f->server, "4 lanes|Use 1, 2 or 4", ",link-width=16");
}

static const NtbTest tests[] = {
    { "faults/pulled-cable-is-a-link-down", test_cable, .ports = 2 },
    { "faults/pulled-cable-outlives-a-reset", test_cable_reset, .ports = 1,
      .partitions = 2 },
    { "faults/pulled-cable-closes-windows", test_cable_windows, .ports = 2,
      .windows = WIN_MOSTLY_SHARED },
    { "faults/degraded-link-shows-everywhere", test_degraded, .ports = 2 },
    { "faults/partition-is-held-in-reset", test_partition_reset, .ports = 2,
      .q35 = true },
    { "faults/each-nth-doorbell-is-lost", test_lost_doorbells, .ports = 3 },
    { "faults/seed-repeats-what-is-lost", test_seed, .ports = 2 },
    { "faults/each-nth-message-is-lost", test_lost_messages, .ports = 2 },
    { "faults/late-signals-arrive-in-order", test_late, .ports = 2 },
    { "faults/late-signal-finds-nobody", test_late_ends, .ports = 2 },
    { "faults/late-signal-stays-in-its-switch", test_late_at_new_switch,
      .server = ntb_server_start_process, .needs = ntb_reconnects, .ports = 2,
      .windows = WIN_ONLY(WIN_SHARED) },
    { "faults/each-nth-read-has-no-answer", test_completions, .ports = 2,
      .windows = WIN_MOSTLY_SHARED },
    { "faults/bad-values-are-refused", test_refused, .ports = 1 },
};

ntb_tests(tests);
