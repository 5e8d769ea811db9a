/*
 * QTest testcase for idt-ntb: when an interrupt is sent, and when not
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/module.h"
#include "hw/pci/pci_regs.h"
#include "harness.h"

static NtbServer *server;
static NtbPort *a, *b;      /* @a rings, @b is looked at */

static void setup_two(void)
{
    server = ntb_server_start();
    a = ntb_boot(server, NULL);
    b = ntb_boot(server, NULL);
    ntb_unmask_all(b);
    ntb_gas_write(b, A_SEPMSK, 0);
    ntb_route_message(a, 0, b->partition, 0);
    ntb_write(b, A_NTINTSTS, UINT32_MAX);
    ntb_settle(b->qts);
    ntb_msi_clear(b);
}

static void teardown_two(void)
{
    ntb_quit(a);
    ntb_quit(b);
    ntb_server_stop(server);
}

/*
 * The three sources: how to raise and how to clear each
 */

static void raise_message(void)
{
    ntb_write(a, A_OUTMSG0, 0x600d);
}

static void clear_message(void)
{
    ntb_write(b, A_MSGSTS, UINT32_MAX);
}

static void raise_doorbell(void)
{
    ntb_write(a, A_OUTDBELLSET, 1 << 9);
}

static void clear_doorbell(void)
{
    ntb_write(b, A_INDBELLSTS, 1 << 9);
}

static void raise_event(void)
{
    ntb_write(a, A_NTGSIGNAL, 1);
    ntb_gas_write(a, A_SEGSIGSTS, 1);
}

static void clear_event(void)
{
    ntb_write(b, A_NTINTSTS, R_NTINTSTS_SEVENT_MASK);
}

typedef struct Source {
    uint32_t bit;
    void (*raise)(void);
    void (*clear)(void);
} Source;

static const Source sources[] = {
    { R_NTINTSTS_MSG_MASK, raise_message, clear_message },
    { R_NTINTSTS_DBELL_MASK, raise_doorbell, clear_doorbell },
    { R_NTINTSTS_SEVENT_MASK, raise_event, clear_event },
};
#define NUM_SOURCES G_N_ELEMENTS(sources)

/* A rise of the bit, and only that, is an interrupt */
static void test_edge(void)
{
    setup_two();
    for (unsigned i = 0; i < NUM_SOURCES; i++) {
        for (unsigned round = 0; round < 3; round++) {
            sources[i].raise();
            ntb_assert_msi(b);
            g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, sources[i].bit);
            sources[i].raise();
            ntb_assert_no_msi(b);
            sources[i].clear();
            ntb_assert_no_msi(b);
            g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, 0);
        }
    }
    teardown_two();
}

/* Each bit has an edge of its own, whatever else is pending */
static void test_edge_of_each(void)
{
    setup_two();
    for (unsigned first = 0; first < NUM_SOURCES; first++) {
        uint32_t pending = 0;

        for (unsigned i = 0; i < NUM_SOURCES; i++) {
            const Source *s = &sources[(first + i) % NUM_SOURCES];

            s->raise();
            pending |= s->bit;
            ntb_assert_msi(b);
            g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, pending);
        }
        for (unsigned i = 0; i < NUM_SOURCES; i++) {
            const Source *s = &sources[(first + i) % NUM_SOURCES];

            s->clear();
            pending &= ~s->bit;
            g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, pending);
            ntb_assert_no_msi(b);
        }
    }
    teardown_two();
}

/* A doorbell beside one that is pending raises no bit of NTINTSTS */
static void test_level_stays(void)
{
    setup_two();
    ntb_write(a, A_OUTDBELLSET, 1 << 1);
    ntb_assert_msi(b);
    ntb_write(a, A_OUTDBELLSET, 1 << 2);
    ntb_assert_no_msi(b);
    ntb_write(b, A_INDBELLSTS, 1 << 1);
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, R_NTINTSTS_DBELL_MASK);
    ntb_assert_no_msi(b);
    ntb_write(b, A_INDBELLSTS, 1 << 2);
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, 0);
    ntb_write(a, A_OUTDBELLSET, 1 << 1);
    ntb_assert_msi(b);
    teardown_two();
}

/* Bits that nothing here raises, and derived ones, can't be written */
static void test_status_is_read_only(void)
{
    setup_two();
    ntb_write(b, A_NTINTSTS, UINT32_MAX);
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, 0);
    raise_doorbell();
    raise_message();
    raise_event();
    ntb_wait(ntb_read(b, A_NTINTSTS) == 0xb);
    ntb_write(b, A_NTINTSTS, 0);
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, 0xb);
    ntb_write(b, A_NTINTSTS, R_NTINTSTS_MSG_MASK | R_NTINTSTS_DBELL_MASK);
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, 0xb);
    ntb_write(b, A_NTINTSTS, UINT32_MAX);
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, 0x3);
    teardown_two();
}

/* Masked bits show in NTINTSTS and send nothing; unmasking sends */
static void test_unmask(void)
{
    setup_two();
    for (unsigned i = 0; i < NUM_SOURCES; i++) {
        ntb_write(b, A_NTINTMSK, sources[i].bit);
        sources[i].raise();
        ntb_assert_no_msi(b);
        g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, sources[i].bit);
        for (unsigned round = 0; round < 3; round++) {
            ntb_write(b, A_NTINTMSK, 0xbb & ~sources[i].bit);
            ntb_assert_msi(b);
            /* Written again as it is: no edge */
            ntb_write(b, A_NTINTMSK, 0);
            ntb_assert_no_msi(b);
            ntb_write(b, A_NTINTMSK, sources[i].bit);
            ntb_assert_no_msi(b);
        }
        sources[i].clear();
        ntb_write(b, A_NTINTMSK, 0);
        ntb_assert_no_msi(b);
    }
    teardown_two();
}

/* The masks in front of MSG and DBELL move those bits */
static void test_unmask_source(void)
{
    setup_two();
    ntb_write(b, A_INDBELLMSK, 1 << 9);
    raise_doorbell();
    ntb_assert_no_msi(b);
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, 0);
    ntb_write(b, A_INDBELLMSK, ~(1u << 9));
    ntb_assert_msi(b);
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, R_NTINTSTS_DBELL_MASK);
    ntb_write(b, A_INDBELLMSK, 1 << 9);
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, 0);
    ntb_assert_no_msi(b);
    ntb_write(b, A_INDBELLMSK, 0);
    ntb_assert_msi(b);
    clear_doorbell();

    ntb_write(b, A_MSGSTSMSK, 1 << 16);
    raise_message();
    ntb_assert_no_msi(b);
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, 0);
    ntb_write(b, A_MSGSTSMSK, 0);
    ntb_assert_msi(b);
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, R_NTINTSTS_MSG_MASK);
    clear_message();
    ntb_assert_no_msi(b);
    teardown_two();
}

/* ... also when it is the peer that writes them */
static void test_unmask_by_peer(void)
{
    setup_two();
    ntb_write(b, A_NTINTMSK, 0xbb);
    raise_doorbell();
    ntb_assert_no_msi(b);
    ntb_gas_write(a, ntb_gas_nt(b->port, A_NTINTMSK), 0);
    ntb_assert_msi(b);
    /* Cleared and rung again by the peer: one more edge */
    ntb_gas_write(a, ntb_gas_nt(b->port, A_INDBELLSTS), 1 << 9);
    raise_doorbell();
    ntb_assert_msi(b);
    teardown_two();
}

/* MSI is off, or may not be sent: it is when it may */
static void test_msi_enable(void)
{
    setup_two();
    for (unsigned i = 0; i < NUM_SOURCES; i++) {
        ntb_msi_enable(b, false);
        sources[i].raise();
        ntb_assert_no_msi(b);
        ntb_msi_enable(b, true);
        ntb_assert_msi(b);
        ntb_msi_enable(b, true);
        ntb_assert_no_msi(b);
        sources[i].clear();
        ntb_assert_no_msi(b);
    }
    teardown_two();
}

static void test_bus_master(void)
{
    setup_two();
    ntb_cfg_writew(b, PCI_COMMAND, PCI_COMMAND_MEMORY);
    raise_doorbell();
    ntb_assert_no_msi(b);
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, R_NTINTSTS_DBELL_MASK);
    ntb_cfg_writew(b, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    clear_doorbell();
    ntb_settle(b->qts);
    ntb_msi_clear(b);
    raise_doorbell();
    ntb_assert_msi(b);
    teardown_two();
}

/*
 * INTx
 */

static void assert_intx(bool level)
{
    /* What comes from elsewhere has its moment */
    ntb_wait(ntb_intx(b) == level);
    ntb_settle(b->qts);
    g_assert_cmpint(ntb_intx(b), ==, level);
}

static void test_intx(void)
{
    setup_two();
    ntb_msi_enable(b, false);
    assert_intx(false);
    for (unsigned i = 0; i < NUM_SOURCES; i++) {
        sources[i].raise();
        assert_intx(true);
        ntb_write(b, A_NTINTMSK, sources[i].bit);
        assert_intx(false);
        ntb_write(b, A_NTINTMSK, 0);
        assert_intx(true);
        sources[i].clear();
        assert_intx(false);
        ntb_assert_no_msi(b);
    }
    /* Down only when the last source is */
    raise_doorbell();
    raise_message();
    assert_intx(true);
    clear_doorbell();
    assert_intx(true);
    clear_message();
    assert_intx(false);
    teardown_two();
}

/* The level moves between INTx and MSI with the enable bit */
static void test_intx_and_msi(void)
{
    setup_two();
    raise_doorbell();
    ntb_assert_msi(b);
    g_assert_false(ntb_intx(b));
    ntb_msi_enable(b, false);
    assert_intx(true);
    ntb_msi_enable(b, true);
    assert_intx(false);
    ntb_assert_msi(b);
    clear_doorbell();
    ntb_msi_enable(b, false);
    assert_intx(false);
    teardown_two();
}

static int find_raised(QTestState *qts)
{
    for (int irq = 0; irq < 24; irq++) {
        if (qtest_get_irq(qts, irq)) {
            return irq;
        }
    }
    return -1;
}

/* INTx gets as far as the interrupt controller */
static void test_intx_line(void)
{
    int irq;

    setup_two();
    qtest_irq_intercept_in(b->qts, "ioapic");
    ntb_msi_enable(b, false);
    ntb_settle(b->qts);
    g_assert_cmpint(find_raised(b->qts), ==, -1);
    raise_doorbell();
    assert_intx(true);
    irq = find_raised(b->qts);
    g_assert_cmpint(irq, !=, -1);
    /* The guest may turn it off in the command register */
    ntb_cfg_writew(b, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
                                   PCI_COMMAND_INTX_DISABLE);
    ntb_settle(b->qts);
    g_assert_false(qtest_get_irq(b->qts, irq));
    ntb_cfg_writew(b, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    ntb_settle(b->qts);
    g_assert_true(qtest_get_irq(b->qts, irq));
    clear_doorbell();
    ntb_settle(b->qts);
    g_assert_false(qtest_get_irq(b->qts, irq));
    teardown_two();
}

/* A reset takes the level down, and the next one can come */
static void test_intx_reset(void)
{
    setup_two();
    for (unsigned i = 0; i < 3; i++) {
        ntb_msi_enable(b, false);
        raise_doorbell();
        assert_intx(true);
        ntb_cfg_writew(b, IDT_CAP_PCIE + PCI_EXP_DEVCTL,
                       PCI_EXP_DEVCTL_BCR_FLR);
        assert_intx(false);
        ntb_setup_function(b);
        /* Its own link came up */
        ntb_write(b, A_NTINTSTS, R_NTINTSTS_SEVENT_MASK);
        ntb_write(b, A_NTINTMSK, 0);
        ntb_write(b, A_INDBELLMSK, 0);
        ntb_assert_no_msi(b);
        g_assert_false(ntb_intx(b));
    }
    teardown_two();
}

/*
 * What is sent to one port is no other's interrupt, over many rounds: none is
 * lost, none is made up.  Nor is it left to the second look that a port takes
 * now and then: @b was signalled before the write of @a was over.
 */
static void test_many(void)
{
    setup_two();
    ntb_write(a, A_NTINTMSK, 0);
    ntb_write(a, A_INDBELLMSK, 0);
    ntb_gas_write(a, A_SEPMSK, 1);                  /* not to @a itself */
    ntb_gas_write(a, A_GIDBELLMSK0 + 4 * 9, 1);
    for (unsigned i = 0; i < 900; i++) {
        const Source *s = &sources[i % NUM_SOURCES];

        s->raise();
        ntb_settle(b->qts);
        g_assert_true(ntb_msi_seen(b));
        ntb_msi_clear(b);
        s->clear();
        if (i % 50 == 0) {
            ntb_assert_no_msi(a);
            ntb_assert_no_msi(b);
        }
    }
    ntb_assert_no_msi(a);
    ntb_assert_no_msi(b);
    teardown_two();
}

static void add_tests(void)
{
    qtest_add_func("/idt-ntb/interrupt/edge", test_edge);
    qtest_add_func("/idt-ntb/interrupt/edge-of-each", test_edge_of_each);
    qtest_add_func("/idt-ntb/interrupt/level-stays", test_level_stays);
    qtest_add_func("/idt-ntb/interrupt/status", test_status_is_read_only);
    qtest_add_func("/idt-ntb/interrupt/unmask", test_unmask);
    qtest_add_func("/idt-ntb/interrupt/unmask-source", test_unmask_source);
    qtest_add_func("/idt-ntb/interrupt/unmask-by-peer", test_unmask_by_peer);
    qtest_add_func("/idt-ntb/interrupt/msi-enable", test_msi_enable);
    qtest_add_func("/idt-ntb/interrupt/bus-master", test_bus_master);
    qtest_add_func("/idt-ntb/interrupt/intx", test_intx);
    qtest_add_func("/idt-ntb/interrupt/intx-and-msi", test_intx_and_msi);
    ntb_add_q35_func("/idt-ntb/interrupt/intx-line", test_intx_line);
    qtest_add_func("/idt-ntb/interrupt/intx-reset", test_intx_reset);
    qtest_add_func("/idt-ntb/interrupt/many", test_many);
}

libqos_init(add_tests);
