/*
 * QTest testcase for idt-ntb: when an interrupt is sent, and when not
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/misc/idt_ntb/shm.h"
#include "hw/pci/pci_regs.h"
#include "fixture.h"

/* In all tests @a signals, @b is looked at */
static void prepare(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    ntb_unmask_all(b);
    ntb_gas_write(b, A_SEPMSK, 0);
    ntb_route_message(a, 0, b->partition, 0);
    ntb_write(b, A_NTINTSTS, UINT32_MAX);
    ntb_settle(b->qts);
    ntb_msi_clear(b);
}

/*
 * The three sources: how to raise and how to clear each
 */

static void raise_message(NtbFixture *f)
{
    ntb_write(f->ports[0], A_OUTMSG0, 0x600d);
}

static void clear_message(NtbFixture *f)
{
    ntb_write(f->ports[1], A_MSGSTS, UINT32_MAX);
}

static void raise_doorbell(NtbFixture *f)
{
    ntb_write(f->ports[0], A_OUTDBELLSET, 1 << 9);
}

static void clear_doorbell(NtbFixture *f)
{
    ntb_write(f->ports[1], A_INDBELLSTS, 1 << 9);
}

static void raise_event(NtbFixture *f)
{
    NtbPort *a = f->ports[0];

    ntb_write(a, A_NTGSIGNAL, 1);
    ntb_gas_write(a, A_SEGSIGSTS, 1);
}

static void clear_event(NtbFixture *f)
{
    ntb_write(f->ports[1], A_NTINTSTS, R_NTINTSTS_SEVENT_MASK);
}

typedef struct Source {
    uint32_t bit;
    void (*raise)(NtbFixture *f);
    void (*clear)(NtbFixture *f);
} Source;

static const Source sources[] = {
    { R_NTINTSTS_MSG_MASK, raise_message, clear_message },
    { R_NTINTSTS_DBELL_MASK, raise_doorbell, clear_doorbell },
    { R_NTINTSTS_SEVENT_MASK, raise_event, clear_event },
};
#define NUM_SOURCES G_N_ELEMENTS(sources)

/* A rise of the bit, and only that, is an interrupt */
static void test_edge(NtbFixture *f)
{
    NtbPort *b = f->ports[1];

    for (unsigned i = 0; i < NUM_SOURCES; i++) {
        for (unsigned round = 0; round < 3; round++) {
            sources[i].raise(f);
            ntb_assert_msi(b);
            g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, sources[i].bit);
            sources[i].raise(f);
            ntb_assert_no_msi(b);
            sources[i].clear(f);
            ntb_assert_no_msi(b);
            g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, 0);
        }
    }
}

/* Each bit has an edge of its own, whatever else is pending */
static void test_edge_of_each(NtbFixture *f)
{
    NtbPort *b = f->ports[1];

    for (unsigned first = 0; first < NUM_SOURCES; first++) {
        uint32_t pending = 0;

        for (unsigned i = 0; i < NUM_SOURCES; i++) {
            const Source *s = &sources[(first + i) % NUM_SOURCES];

            s->raise(f);
            pending |= s->bit;
            ntb_assert_msi(b);
            g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, pending);
        }
        for (unsigned i = 0; i < NUM_SOURCES; i++) {
            const Source *s = &sources[(first + i) % NUM_SOURCES];

            s->clear(f);
            pending &= ~s->bit;
            g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, pending);
            ntb_assert_no_msi(b);
        }
    }
}

/* A doorbell beside one that is pending raises no bit of NTINTSTS */
static void test_level_stays(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];

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
}

/* Bits that nothing here raises, and derived ones, can't be written */
static void test_status_is_read_only(NtbFixture *f)
{
    NtbPort *b = f->ports[1];

    ntb_write(b, A_NTINTSTS, UINT32_MAX);
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, 0);
    raise_doorbell(f);
    raise_message(f);
    raise_event(f);
    ntb_wait(ntb_read(b, A_NTINTSTS) == 0xb);
    ntb_write(b, A_NTINTSTS, 0);
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, 0xb);
    ntb_write(b, A_NTINTSTS, R_NTINTSTS_MSG_MASK | R_NTINTSTS_DBELL_MASK);
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, 0xb);
    ntb_write(b, A_NTINTSTS, UINT32_MAX);
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, 0x3);
}

/* Masked bits show in NTINTSTS and send nothing; unmasking sends */
static void test_unmask(NtbFixture *f)
{
    NtbPort *b = f->ports[1];

    for (unsigned i = 0; i < NUM_SOURCES; i++) {
        ntb_write(b, A_NTINTMSK, sources[i].bit);
        sources[i].raise(f);
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
        sources[i].clear(f);
        ntb_write(b, A_NTINTMSK, 0);
        ntb_assert_no_msi(b);
    }
}

/* The masks in front of MSG and DBELL move those bits */
static void test_unmask_source(NtbFixture *f)
{
    NtbPort *b = f->ports[1];

    ntb_write(b, A_INDBELLMSK, 1 << 9);
    raise_doorbell(f);
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
    clear_doorbell(f);

    ntb_write(b, A_MSGSTSMSK, 1 << 16);
    raise_message(f);
    ntb_assert_no_msi(b);
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, 0);
    ntb_write(b, A_MSGSTSMSK, 0);
    ntb_assert_msi(b);
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, R_NTINTSTS_MSG_MASK);
    clear_message(f);
    ntb_assert_no_msi(b);
}

/* ... also when it is the peer that writes them */
static void test_unmask_by_peer(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];

    ntb_write(b, A_NTINTMSK, 0xbb);
    raise_doorbell(f);
    ntb_assert_no_msi(b);
    ntb_gas_write(a, ntb_gas_nt(b->port, A_NTINTMSK), 0);
    ntb_assert_msi(b);
    /* Cleared and rung again by the peer: one more edge */
    ntb_gas_write(a, ntb_gas_nt(b->port, A_INDBELLSTS), 1 << 9);
    raise_doorbell(f);
    ntb_assert_msi(b);
}

/* MSI is off, or may not be sent: it is when it may */
static void test_msi_enable(NtbFixture *f)
{
    NtbPort *b = f->ports[1];

    for (unsigned i = 0; i < NUM_SOURCES; i++) {
        ntb_msi_enable(b, false);
        sources[i].raise(f);
        ntb_assert_no_msi(b);
        ntb_msi_enable(b, true);
        ntb_assert_msi(b);
        ntb_msi_enable(b, true);
        ntb_assert_no_msi(b);
        sources[i].clear(f);
        ntb_assert_no_msi(b);
    }
}

static void test_bus_master(NtbFixture *f)
{
    NtbPort *b = f->ports[1];

    ntb_cfg_writew(b, PCI_COMMAND, PCI_COMMAND_MEMORY);
    raise_doorbell(f);
    ntb_assert_no_msi(b);
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, R_NTINTSTS_DBELL_MASK);
    ntb_cfg_writew(b, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    clear_doorbell(f);
    ntb_settle(b->qts);
    ntb_msi_clear(b);
    raise_doorbell(f);
    ntb_assert_msi(b);
}

/*
 * INTx
 */

static void assert_intx(NtbFixture *f, bool level)
{
    NtbPort *b = f->ports[1];

    /* What comes from elsewhere has its moment */
    ntb_wait(ntb_intx(b) == level);
    ntb_settle(b->qts);
    g_assert_cmpint(ntb_intx(b), ==, level);
}

static void test_intx(NtbFixture *f)
{
    NtbPort *b = f->ports[1];

    ntb_msi_enable(b, false);
    assert_intx(f, false);
    for (unsigned i = 0; i < NUM_SOURCES; i++) {
        sources[i].raise(f);
        assert_intx(f, true);
        ntb_write(b, A_NTINTMSK, sources[i].bit);
        assert_intx(f, false);
        ntb_write(b, A_NTINTMSK, 0);
        assert_intx(f, true);
        sources[i].clear(f);
        assert_intx(f, false);
        ntb_assert_no_msi(b);
    }
    /* Down only when the last source is */
    raise_doorbell(f);
    raise_message(f);
    assert_intx(f, true);
    clear_doorbell(f);
    assert_intx(f, true);
    clear_message(f);
    assert_intx(f, false);
}

/* The level moves between INTx and MSI with the enable bit, and is counted */
static void test_intx_and_msi(NtbFixture *f)
{
    NtbPort *b = f->ports[1];
    const uint64_t *interrupts = &f->server->mem->slot[ntb_slot(b->port)]
                                 .p.counter[IDT_NTB_COUNT_INTERRUPTS];
    uint64_t before = *interrupts;

    raise_doorbell(f);
    ntb_assert_msi(b);
    g_assert_false(ntb_intx(b));
    for (unsigned i = 0; i < 3; i++) {
        ntb_msi_enable(b, false);
        assert_intx(f, true);
        ntb_msi_enable(b, true);
        assert_intx(f, false);
        ntb_assert_msi(b);
    }
    clear_doorbell(f);
    ntb_msi_enable(b, false);
    assert_intx(f, false);
    g_assert_cmpuint(*interrupts - before, ==, 7);
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
static void test_intx_line(NtbFixture *f)
{
    NtbPort *b = f->ports[1];
    int irq;

    qtest_irq_intercept_in(b->qts, "ioapic");
    ntb_msi_enable(b, false);
    ntb_settle(b->qts);
    g_assert_cmpint(find_raised(b->qts), ==, -1);
    raise_doorbell(f);
    assert_intx(f, true);
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
    clear_doorbell(f);
    ntb_settle(b->qts);
    g_assert_false(qtest_get_irq(b->qts, irq));
}

/* A reset takes the level down, and the next one can come */
static void test_intx_reset(NtbFixture *f)
{
    NtbPort *b = f->ports[1];

    for (unsigned i = 0; i < 3; i++) {
        ntb_msi_enable(b, false);
        raise_doorbell(f);
        assert_intx(f, true);
        ntb_cfg_writew(b, IDT_CAP_PCIE + PCI_EXP_DEVCTL,
                       PCI_EXP_DEVCTL_BCR_FLR);
        assert_intx(f, false);
        ntb_setup_function(b);
        /* Its own link came up */
        ntb_write(b, A_NTINTSTS, R_NTINTSTS_SEVENT_MASK);
        ntb_write(b, A_NTINTMSK, 0);
        ntb_write(b, A_INDBELLMSK, 0);
        ntb_assert_no_msi(b);
        g_assert_false(ntb_intx(b));
    }
}

/*
 * What is sent to one port is no other's interrupt, over many rounds: none is
 * lost, none is made up.  Nor is it left to the second look that a port takes
 * now and then: @b was signalled before the write of @a was over.
 */
static void test_many(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];

    ntb_write(a, A_NTINTMSK, 0);
    ntb_write(a, A_INDBELLMSK, 0);
    ntb_gas_write(a, A_SEPMSK, 1);                  /* not to @a itself */
    ntb_gas_write(a, A_GIDBELLMSK0 + 4 * 9, 1);
    for (unsigned i = 0; i < 900; i++) {
        const Source *s = &sources[i % NUM_SOURCES];

        s->raise(f);
        ntb_settle(b->qts);
        g_assert_true(ntb_msi_seen(b));
        ntb_msi_clear(b);
        s->clear(f);
        if (i % 50 == 0) {
            ntb_assert_no_msi(a);
            ntb_assert_no_msi(b);
        }
    }
    ntb_assert_no_msi(a);
    ntb_assert_no_msi(b);
}

static const NtbTest tests[] = {
    { "interrupt/rising-bit-sends-one", test_edge, .ports = 2,
      .prepare = prepare },
    { "interrupt/each-bit-sends-its-own", test_edge_of_each, .ports = 2,
      .prepare = prepare },
    { "interrupt/second-doorbell-sends-none", test_level_stays, .ports = 2,
      .prepare = prepare },
    { "interrupt/status-is-read-only", test_status_is_read_only, .ports = 2,
      .prepare = prepare },
    { "interrupt/unmasking-sends", test_unmask, .ports = 2,
      .prepare = prepare },
    { "interrupt/unmasking-a-source-sends", test_unmask_source, .ports = 2,
      .prepare = prepare },
    { "interrupt/unmasking-by-peer-sends", test_unmask_by_peer, .ports = 2,
      .prepare = prepare },
    { "interrupt/enabling-msi-sends", test_msi_enable, .ports = 2,
      .prepare = prepare },
    { "interrupt/needs-bus-master", test_bus_master, .ports = 2,
      .prepare = prepare },
    { "interrupt/intx-follows-the-level", test_intx, .ports = 2,
      .prepare = prepare },
    { "interrupt/level-moves-between-intx-and-msi", test_intx_and_msi,
      .ports = 2, .prepare = prepare },
    { "interrupt/intx-reaches-the-ioapic", test_intx_line, .ports = 2,
      .prepare = prepare, .q35 = true },
    { "interrupt/reset-lowers-intx", test_intx_reset, .ports = 2,
      .prepare = prepare },
    { "interrupt/none-lost-and-none-made-up", test_many, .ports = 2,
      .prepare = prepare },
};

ntb_tests(tests);
