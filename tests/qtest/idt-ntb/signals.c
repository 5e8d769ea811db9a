/*
 * QTest testcase for idt-ntb: doorbells, messages, mapping table, switch events
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "fixture.h"

/* Three ports of one switch; each is in the partition of its number here */
#define THREE 3

static void assert_doorbells(NtbFixture *f, uint32_t a, uint32_t b, uint32_t c)
{
    g_assert_cmphex(ntb_read(f->ports[0], A_INDBELLSTS), ==, a);
    g_assert_cmphex(ntb_read(f->ports[1], A_INDBELLSTS), ==, b);
    g_assert_cmphex(ntb_read(f->ports[2], A_INDBELLSTS), ==, c);
    for (unsigned i = 0; i < THREE; i++) {
        g_assert_cmphex(ntb_gas_read(f->ports[i], A_GDBELLSTS), ==, a | b | c);
    }
}

static void clear_doorbells(NtbFixture *f)
{
    for (unsigned i = 0; i < THREE; i++) {
        ntb_write(f->ports[i], A_INDBELLSTS, UINT32_MAX);
    }
    assert_doorbells(f, 0, 0, 0);
}

/*
 * Doorbells
 */

static void test_doorbell_all(NtbFixture *f)
{
    for (unsigned from = 0; from < THREE; from++) {
        uint32_t rung = 0;

        for (unsigned n = 0; n < IDT_NUM_DOORBELLS; n++) {
            ntb_write(f->ports[from], A_OUTDBELLSET, 1u << n);
            rung |= 1u << n;
            assert_doorbells(f, rung, rung, rung);
            g_assert_cmphex(ntb_read(f->ports[from], A_OUTDBELLSET), ==, 0);
        }
        clear_doorbells(f);
        ntb_write(f->ports[from], A_OUTDBELLSET, 0);
        assert_doorbells(f, 0, 0, 0);
    }
}

/* Each clears its own, and only what it writes */
static void test_doorbell_clear(NtbFixture *f)
{
    ntb_write(f->ports[2], A_OUTDBELLSET, 0xf0f0f0f0);
    ntb_write(f->ports[0], A_INDBELLSTS, 0xff000000);
    ntb_write(f->ports[1], A_INDBELLSTS, 0x000000ff);
    assert_doorbells(f, 0x00f0f0f0, 0xf0f0f000, 0xf0f0f0f0);
    ntb_write(f->ports[2], A_INDBELLSTS, UINT32_MAX);
    assert_doorbells(f, 0x00f0f0f0, 0xf0f0f000, 0);
}

static void test_doorbell_inbound_mask(NtbFixture *f)
{
    for (unsigned n = 0; n < IDT_NUM_DOORBELLS; n++) {
        uint32_t bit = 1u << n;

        for (unsigned mask = 0; mask < 8; mask++) {
            ntb_gas_write(f->ports[n % THREE], A_GIDBELLMSK0 + 4 * n, mask);
            ntb_write(f->ports[mask % THREE], A_OUTDBELLSET, bit);
            assert_doorbells(f, mask & 1 ? 0 : bit, mask & 2 ? 0 : bit,
                             mask & 4 ? 0 : bit);
            clear_doorbells(f);
        }
        /* Stays masked for all: the next one must not care */
    }
}

static void test_doorbell_outbound_mask(NtbFixture *f)
{
    for (unsigned n = 0; n < IDT_NUM_DOORBELLS; n++) {
        uint32_t bit = 1u << n;

        for (unsigned mask = 0; mask < 8; mask++) {
            ntb_gas_write(f->ports[0], A_GODBELLMSK0 + 4 * n, mask);
            for (unsigned from = 0; from < THREE; from++) {
                uint32_t sts = mask & 1u << from ? 0 : bit;

                ntb_write(f->ports[from], A_OUTDBELLSET, bit);
                assert_doorbells(f, sts, sts, sts);
                ntb_write(f->ports[0], A_INDBELLSTS, bit);
                ntb_write(f->ports[1], A_INDBELLSTS, bit);
                ntb_write(f->ports[2], A_INDBELLSTS, bit);
            }
        }
    }
}

/* All 32 in one write, each with masks of its own */
static void test_doorbell_mixed_masks(NtbFixture *f)
{
    uint32_t reach[THREE] = { };

    for (unsigned n = 0; n < IDT_NUM_DOORBELLS; n++) {
        unsigned out = n & 3;
        unsigned in = (n >> 2) & 7;

        ntb_gas_write(f->ports[1], A_GODBELLMSK0 + 4 * n, out);
        ntb_gas_write(f->ports[1], A_GIDBELLMSK0 + 4 * n, in);
        for (unsigned i = 0; i < THREE; i++) {
            if (!(out & 2) && !(in & 1u << i)) {
                reach[i] |= 1u << n;
            }
        }
    }
    ntb_write(f->ports[1], A_OUTDBELLSET, UINT32_MAX);
    assert_doorbells(f, reach[0], reach[1], reach[2]);
}

/* A mask decides when a doorbell is rung; what has come stays */
static void test_doorbell_mask_later(NtbFixture *f)
{
    ntb_write(f->ports[0], A_OUTDBELLSET, 1);
    ntb_gas_write(f->ports[0], A_GIDBELLMSK0, 0xff);
    ntb_gas_write(f->ports[0], A_GODBELLMSK0, 0xff);
    assert_doorbells(f, 1, 1, 1);
    clear_doorbells(f);
    ntb_write(f->ports[0], A_OUTDBELLSET, 1);
    ntb_gas_write(f->ports[0], A_GIDBELLMSK0, 0);
    ntb_gas_write(f->ports[0], A_GODBELLMSK0, 0);
    assert_doorbells(f, 0, 0, 0);
}

static void test_doorbell_interrupt(NtbFixture *f)
{
    ntb_write(f->ports[1], A_NTINTMSK, 0);
    ntb_write(f->ports[2], A_NTINTMSK, 0);
    for (unsigned n = 0; n < IDT_NUM_DOORBELLS; n++) {
        uint32_t bit = 1u << n;

        ntb_write(f->ports[1], A_INDBELLMSK, ~bit);
        ntb_write(f->ports[2], A_INDBELLMSK, bit);
        ntb_write(f->ports[0], A_OUTDBELLSET, bit);
        ntb_assert_msi(f->ports[1]);
        ntb_assert_no_msi(f->ports[2]);
        ntb_assert_no_msi(f->ports[0]);
        g_assert_cmphex(ntb_read(f->ports[1], A_NTINTSTS), ==,
                        R_NTINTSTS_DBELL_MASK);
        g_assert_cmphex(ntb_read(f->ports[2], A_NTINTSTS), ==, 0);
        clear_doorbells(f);
        ntb_assert_no_msi(f->ports[1]);
        ntb_assert_no_msi(f->ports[2]);
    }
}

/* The sender's own doorbell interrupts it, too */
static void test_doorbell_own(NtbFixture *f)
{
    ntb_write(f->ports[0], A_NTINTMSK, 0);
    ntb_write(f->ports[0], A_INDBELLMSK, 0);
    ntb_assert_no_msi(f->ports[0]);
    ntb_write(f->ports[0], A_OUTDBELLSET, 0x40);
    ntb_assert_msi(f->ports[0]);
    g_assert_cmphex(ntb_read(f->ports[0], A_INDBELLSTS), ==, 0x40);
}

/* Nobody is there: nothing waits for who comes later */
static void test_doorbell_no_link(NtbFixture *f)
{
    ntb_write(f->ports[0], A_OUTDBELLSET, 0xff);
    ntb_write(f->ports[0], A_INDBELLSTS, 0xff);
    ntb_start(f, 1, NULL);
    ntb_start(f, 2, NULL);
    assert_doorbells(f, 0, 0, 0);
    ntb_write(f->ports[0], A_OUTDBELLSET, 0x3);
    assert_doorbells(f, 3, 3, 3);
}

/*
 * Messages
 */

static void assert_message(NtbPort *to, unsigned reg, uint32_t data,
                           unsigned source)
{
    g_assert_cmphex(ntb_read(to, A_MSGSTS), ==, 1u << (16 + reg));
    g_assert_cmphex(ntb_read(to, A_INMSG0 + 4 * reg), ==, data);
    g_assert_cmphex(ntb_read(to, A_INMSGSRC0 + 4 * reg), ==, source);
}

static void test_message_routing(NtbFixture *f)
{
    uint32_t data = 0xa0000001;

    for (unsigned from = 0; from < THREE; from++) {
        for (unsigned msg = 0; msg < IDT_NUM_MESSAGES; msg++) {
            for (unsigned k = 0; k < THREE * IDT_NUM_MESSAGES; k++) {
                NtbPort *to = f->ports[k % THREE];
                unsigned reg = k / THREE;

                ntb_route_message(f->ports[from], msg, to->partition, reg);
                ntb_write(f->ports[from], A_OUTMSG0 + 4 * msg, ++data);
                assert_message(to, reg, data, from);
                ntb_write(to, A_MSGSTS, 1u << (16 + reg));
                for (unsigned i = 0; i < THREE; i++) {
                    g_assert_cmphex(ntb_read(f->ports[i], A_MSGSTS), ==, 0);
                }
                g_assert_cmphex(ntb_read(f->ports[from], A_OUTMSG0 + 4 * msg),
                                ==, data);
            }
        }
    }
}

static void test_message_full(NtbFixture *f)
{
    ntb_route_message(f->ports[0], 1, 2, 3);
    ntb_route_message(f->ports[1], 2, 2, 3);
    ntb_write(f->ports[0], A_OUTMSG0 + 4, 0x1111);
    assert_message(f->ports[2], 3, 0x1111, 0);
    g_assert_cmphex(ntb_read(f->ports[0], A_MSGSTS), ==, 0);

    /* Refused, whoever sends; what is there stays */
    ntb_write(f->ports[0], A_OUTMSG0 + 4, 0x2222);
    g_assert_cmphex(ntb_read(f->ports[0], A_MSGSTS), ==, 1 << 1);
    ntb_write(f->ports[1], A_OUTMSG0 + 8, 0x3333);
    g_assert_cmphex(ntb_read(f->ports[1], A_MSGSTS), ==, 1 << 2);
    assert_message(f->ports[2], 3, 0x1111, 0);

    /* The receiver empties the register; it keeps its value */
    ntb_write(f->ports[2], A_MSGSTS, 1 << 19);
    g_assert_cmphex(ntb_read(f->ports[2], A_MSGSTS), ==, 0);
    g_assert_cmphex(ntb_read(f->ports[2], A_INMSG0 + 12), ==, 0x1111);
    g_assert_cmphex(ntb_read(f->ports[2], A_INMSGSRC0 + 12), ==, 0);

    /* OUTMSGSTS stays until written, and does not stop the next send */
    g_assert_cmphex(ntb_read(f->ports[1], A_MSGSTS), ==, 1 << 2);
    ntb_write(f->ports[1], A_OUTMSG0 + 8, 0x4444);
    assert_message(f->ports[2], 3, 0x4444, 1);
    ntb_write(f->ports[1], A_MSGSTS, 1 << 2);
    g_assert_cmphex(ntb_read(f->ports[1], A_MSGSTS), ==, 0);
    g_assert_cmphex(ntb_read(f->ports[0], A_MSGSTS), ==, 1 << 1);
}

/* To a partition that is active but empty, and to ones that are not active */
static void test_message_no_link(NtbFixture *f)
{
    for (unsigned part = 1; part < IDT_MAX_PARTITIONS; part++) {
        ntb_route_message(f->ports[0], 3, part, 0);
        ntb_write(f->ports[0], A_OUTMSG0 + 12, 0xbad);
        g_assert_cmphex(ntb_read(f->ports[0], A_MSGSTS), ==, 1 << 3);
        ntb_write(f->ports[0], A_MSGSTS, 1 << 3);
        g_assert_cmphex(ntb_read(f->ports[0], A_MSGSTS), ==, 0);
    }
    ntb_start(f, 1, NULL);
    ntb_start(f, 2, NULL);
    for (unsigned i = 0; i < THREE; i++) {
        g_assert_cmphex(ntb_read(f->ports[i], A_MSGSTS), ==, 0);
        g_assert_cmphex(ntb_read(f->ports[i], A_INMSG0), ==, 0);
    }
}

/* Four registers are four mail boxes; a status bit is one of them */
static void test_message_registers(NtbFixture *f)
{
    for (unsigned n = 0; n < IDT_NUM_MESSAGES; n++) {
        ntb_route_message(f->ports[0], n, 1, 3 - n);
        ntb_write(f->ports[0], A_OUTMSG0 + 4 * n, 0xc0de0000 + n);
    }
    g_assert_cmphex(ntb_read(f->ports[1], A_MSGSTS), ==, 0x000f0000);
    for (unsigned n = 0; n < IDT_NUM_MESSAGES; n++) {
        g_assert_cmphex(ntb_read(f->ports[1], A_INMSG0 + 4 * n), ==,
                        0xc0de0003 - n);
    }
    ntb_write(f->ports[1], A_MSGSTS, 0x00050000);
    g_assert_cmphex(ntb_read(f->ports[1], A_MSGSTS), ==, 0x000a0000);
    /* A byte write clears what is in that byte only */
    qtest_writeb(f->ports[1]->qts, f->ports[1]->bar0 + A_MSGSTS, 0xff);
    g_assert_cmphex(ntb_read(f->ports[1], A_MSGSTS), ==, 0x000a0000);
    qtest_writeb(f->ports[1]->qts, f->ports[1]->bar0 + A_MSGSTS + 2, 0xff);
    g_assert_cmphex(ntb_read(f->ports[1], A_MSGSTS), ==, 0);
}

static void test_message_interrupt(NtbFixture *f)
{
    NtbPort *a, *b;

    a = f->ports[0];
    b = f->ports[1];
    ntb_write(a, A_NTINTMSK, 0);
    ntb_write(b, A_NTINTMSK, 0);
    for (unsigned n = 0; n < IDT_NUM_MESSAGES; n++) {
        ntb_route_message(a, n, 1, n);
        /* Masked: the status alone */
        ntb_write(b, A_MSGSTSMSK, 1u << (16 + n));
        ntb_write(a, A_OUTMSG0 + 4 * n, 1);
        ntb_assert_no_msi(b);
        g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, 0);
        ntb_write(b, A_MSGSTS, 1u << (16 + n));
        /* Not masked */
        ntb_write(b, A_MSGSTSMSK, 0x000f000f & ~(1u << (16 + n)));
        ntb_write(a, A_OUTMSG0 + 4 * n, 2);
        ntb_assert_msi(b);
        g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, R_NTINTSTS_MSG_MASK);
        /* The sender learns of a failure by interrupt */
        ntb_assert_no_msi(a);
        ntb_write(a, A_MSGSTSMSK, 0x000f000f & ~(1u << n));
        ntb_write(a, A_OUTMSG0 + 4 * n, 3);
        ntb_assert_msi(a);
        g_assert_cmphex(ntb_read(a, A_NTINTSTS), ==, R_NTINTSTS_MSG_MASK);
        ntb_write(a, A_MSGSTS, 1u << n);
        g_assert_cmphex(ntb_read(a, A_NTINTSTS), ==, 0);
        ntb_write(b, A_MSGSTS, 1u << (16 + n));
        ntb_assert_no_msi(a);
        ntb_assert_no_msi(b);
    }
}

/*
 * Mapping table
 */

static void write_entry(NtbPort *p, unsigned entry, uint32_t value)
{
    ntb_write(p, A_NTMTBLADDR, entry);
    ntb_write(p, A_NTMTBLDATA, value);
}

static uint32_t read_entry(NtbPort *p, unsigned entry)
{
    ntb_write(p, A_NTMTBLADDR, entry);
    return ntb_read(p, A_NTMTBLDATA);
}

static void test_mapping_table(NtbFixture *f)
{
    for (unsigned i = 0; i < 128; i++) {
        g_assert_cmphex(read_entry(f->ports[1], i), ==, 0);
    }
    for (unsigned i = 0; i < 128; i++) {
        write_entry(f->ports[i % THREE], i, 0xffffff00 | i);
    }
    /* Shared by all ports, while each has an address register of its own */
    for (unsigned i = 0; i < 128; i++) {
        uint32_t should = i < IDT_NUM_MTBL ? 0xe00fff00 | i : 0;

        g_assert_cmphex(read_entry(f->ports[(i + 1) % THREE], i), ==, should);
    }
    ntb_write(f->ports[0], A_NTMTBLADDR, 5);
    ntb_write(f->ports[1], A_NTMTBLADDR, 6);
    g_assert_cmphex(ntb_read(f->ports[0], A_NTMTBLDATA), ==, 0xe00fff05);
    g_assert_cmphex(ntb_read(f->ports[1], A_NTMTBLDATA), ==, 0xe00fff06);
    g_assert_cmphex(ntb_read(f->ports[0], A_NTMTBLADDR), ==, 5);
}

/*
 * Switch events
 */

static void quiet_events(NtbFixture *f)
{
    for (unsigned i = 0; i < THREE; i++) {
        ntb_write(f->ports[i], A_NTINTSTS, R_NTINTSTS_SEVENT_MASK);
        ntb_settle(f->ports[i]->qts);
        ntb_msi_clear(f->ports[i]);
    }
    ntb_gas_write(f->ports[0], A_SELINKUPSTS, UINT32_MAX);
    ntb_gas_write(f->ports[0], A_SELINKDNSTS, UINT32_MAX);
    ntb_gas_write(f->ports[0], A_SEGSIGSTS, UINT32_MAX);
    g_assert_cmphex(ntb_gas_read(f->ports[0], A_SESTS), ==, 0);
}

static void prepare_events(NtbFixture *f)
{
    for (unsigned i = 0; i < THREE; i++) {
        ntb_unmask_all(f->ports[i]);
    }
    quiet_events(f);
}

/* Bit n of @who: port n gets the event by status and by interrupt */
static void assert_event(NtbFixture *f, unsigned who)
{
    for (unsigned i = 0; i < THREE; i++) {
        if (who & 1u << i) {
            ntb_assert_msi(f->ports[i]);
            g_assert_cmphex(ntb_read(f->ports[i], A_NTINTSTS), ==,
                            R_NTINTSTS_SEVENT_MASK);
        } else {
            ntb_assert_no_msi(f->ports[i]);
            g_assert_cmphex(ntb_read(f->ports[i], A_NTINTSTS), ==, 0);
        }
    }
}

static void test_global_signal(NtbFixture *f)
{
    for (unsigned from = 0; from < THREE; from++) {
        ntb_write(f->ports[from], A_NTGSIGNAL, R_NTGSIGNAL_SET_MASK);
        /* A pulse: the driver clears the status right away */
        g_assert_cmphex(ntb_gas_read(f->ports[from], A_SEGSIGSTS), ==,
                        1u << from);
        g_assert_cmphex(ntb_gas_read(f->ports[from], A_SESTS), ==,
                        R_SESTS_GSIGNAL_MASK);
        ntb_gas_write(f->ports[from], A_SEGSIGSTS, 1u << from);
        g_assert_cmphex(ntb_gas_read(f->ports[from], A_SEGSIGSTS), ==, 0);
        g_assert_cmphex(ntb_gas_read(f->ports[from], A_SESTS), ==, 0);
        g_assert_cmphex(ntb_read(f->ports[from], A_NTGSIGNAL), ==, 0);
        assert_event(f, 7);
        quiet_events(f);
    }
    /* Without SET nothing is raised */
    ntb_write(f->ports[0], A_NTGSIGNAL, ~R_NTGSIGNAL_SET_MASK);
    g_assert_cmphex(ntb_gas_read(f->ports[0], A_SEGSIGSTS), ==, 0);
    assert_event(f, 0);
}

/* Each of the three levels of masks, at the moment of the event */
static void test_global_signal_masks(NtbFixture *f)
{
    for (unsigned from = 0; from < THREE; from++) {
        ntb_gas_write(f->ports[0], A_SEGSIGMSK, 1u << from);
        ntb_write(f->ports[from], A_NTGSIGNAL, 1);
        g_assert_cmphex(ntb_gas_read(f->ports[0], A_SEGSIGSTS), ==, 1u << from);
        g_assert_cmphex(ntb_gas_read(f->ports[0], A_SESTS), ==, 0);
        assert_event(f, 0);
        /* Unmasking brings back the level of SESTS, not the event */
        ntb_gas_write(f->ports[0], A_SEGSIGMSK, 0);
        g_assert_cmphex(ntb_gas_read(f->ports[0], A_SESTS), ==,
                        R_SESTS_GSIGNAL_MASK);
        assert_event(f, 0);
        quiet_events(f);

        ntb_gas_write(f->ports[0], A_SEGSIGMSK, 0xff & ~(1u << from));
        ntb_write(f->ports[from], A_NTGSIGNAL, 1);
        assert_event(f, 7);
        ntb_gas_write(f->ports[0], A_SEGSIGMSK, 0);
        quiet_events(f);
    }
    ntb_gas_write(f->ports[0], A_SEMSK, R_SESTS_GSIGNAL_MASK);
    ntb_write(f->ports[1], A_NTGSIGNAL, 1);
    assert_event(f, 0);
    quiet_events(f);
    ntb_gas_write(f->ports[0], A_SEMSK, 0x3f & ~R_SESTS_GSIGNAL_MASK);
    ntb_write(f->ports[1], A_NTGSIGNAL, 1);
    assert_event(f, 7);
    quiet_events(f);
    for (unsigned mask = 0; mask < 8; mask++) {
        ntb_gas_write(f->ports[2], A_SEPMSK, mask);
        ntb_write(f->ports[mask % THREE], A_NTGSIGNAL, 1);
        assert_event(f, 7 & ~mask);
        quiet_events(f);
    }
}

/* SEVENT stays until it is cleared, and a second event is no new edge */
static void test_sevent(NtbFixture *f)
{
    ntb_write(f->ports[0], A_NTGSIGNAL, 1);
    ntb_gas_write(f->ports[0], A_SEGSIGSTS, 1);
    assert_event(f, 7);
    ntb_write(f->ports[1], A_NTGSIGNAL, 1);
    ntb_gas_write(f->ports[0], A_SEGSIGSTS, 2);
    for (unsigned i = 0; i < THREE; i++) {
        ntb_assert_no_msi(f->ports[i]);
        ntb_write(f->ports[i], A_NTINTSTS, ~R_NTINTSTS_SEVENT_MASK);
        g_assert_cmphex(ntb_read(f->ports[i], A_NTINTSTS), ==,
                        R_NTINTSTS_SEVENT_MASK);
    }
    /* Clearing it in one port leaves the others alone */
    ntb_write(f->ports[1], A_NTINTSTS, R_NTINTSTS_SEVENT_MASK);
    g_assert_cmphex(ntb_read(f->ports[0], A_NTINTSTS), ==,
                    R_NTINTSTS_SEVENT_MASK);
    g_assert_cmphex(ntb_read(f->ports[1], A_NTINTSTS), ==, 0);
    ntb_write(f->ports[2], A_NTGSIGNAL, 1);
    ntb_assert_msi(f->ports[1]);
    ntb_assert_no_msi(f->ports[0]);
    ntb_assert_no_msi(f->ports[2]);
}

static void assert_event_of(NtbPort *p, bool came)
{
    if (came) {
        ntb_assert_msi(p);
        g_assert_cmphex(ntb_read(p, A_NTINTSTS), ==, R_NTINTSTS_SEVENT_MASK);
    } else {
        ntb_assert_no_msi(p);
        g_assert_cmphex(ntb_read(p, A_NTINTSTS), ==, 0);
    }
}

/* Link events reach all, through the masks; SESTS shows the port */
static void check_link_event(NtbFixture *f, bool up, uint32_t sts_reg,
                             uint32_t msk_reg,
                             uint32_t se_bit)
{
    for (unsigned masked = 0; masked < 4; masked++) {
        uint32_t sests = masked == 1 ? 0 : se_bit;

        /* Bring the port to where the event starts from, unseen */
        ntb_gas_write(f->ports[0], A_SEMSK, 0x3f);
        if (up) {
            ntb_end(f, 2);
            ntb_wait(ntb_gas_read(f->ports[0], A_SELINKDNSTS));
        } else {
            ntb_write(ntb_start(f, 2, NULL), A_NTINTMSK, 0);
        }
        ntb_gas_write(f->ports[0], A_SELINKUPSTS, UINT32_MAX);
        ntb_gas_write(f->ports[0], A_SELINKDNSTS, UINT32_MAX);
        for (unsigned i = 0; i < 2; i++) {
            ntb_write(f->ports[i], A_NTINTSTS, UINT32_MAX);
            ntb_settle(f->ports[i]->qts);
            ntb_msi_clear(f->ports[i]);
        }

        ntb_gas_write(f->ports[0], msk_reg, masked == 1 ? 1 << 4 : 0);
        ntb_gas_write(f->ports[0], A_SEMSK, masked == 2 ? se_bit : 0);
        ntb_gas_write(f->ports[0], A_SEPMSK, masked == 3 ? 2 : 0);
        if (up) {
            ntb_write(ntb_start(f, 2, NULL), A_NTINTMSK, 0);
            assert_event_of(f->ports[2], masked == 0 || masked == 3);
        } else {
            ntb_end(f, 2);
        }
        ntb_wait(ntb_gas_read(f->ports[0], sts_reg) == 1 << 4);
        g_assert_cmphex(ntb_gas_read(f->ports[0], A_SESTS), ==, sests);
        for (unsigned i = 0; i < 2; i++) {
            assert_event_of(f->ports[i],
                            masked == 0 || (masked == 3 && i == 0));
        }
    }
}

static void test_link_up_event(NtbFixture *f)
{
    check_link_event(f, true, A_SELINKUPSTS, A_SELINKUPMSK,
                     R_SESTS_LINKUP_MASK);
}

static void test_link_down_event(NtbFixture *f)
{
    ntb_end(f, 2);
    check_link_event(f, false, A_SELINKDNSTS, A_SELINKDNMSK,
                     R_SESTS_LINKDN_MASK);
}

/* Write-1-to-clear of the sub-status clears what it says */
static void test_link_status_clear(NtbFixture *f)
{
    /* 0 was the first: there was nobody it could have come up for */
    g_assert_cmphex(ntb_gas_read(f->ports[0], A_SELINKUPSTS) & ~1, ==, 0x14);
    ntb_gas_write(f->ports[1], A_SELINKUPSTS, 1 << 2);
    g_assert_cmphex(ntb_gas_read(f->ports[0], A_SELINKUPSTS) & ~1, ==, 0x10);
    ntb_gas_write(f->ports[1], A_SELINKUPSTS, ~(1u << 4));
    g_assert_cmphex(ntb_gas_read(f->ports[0], A_SELINKUPSTS), ==, 0x10);
    g_assert_cmphex(ntb_gas_read(f->ports[0], A_SELINKDNSTS), ==, 0);
}

/* Two ports of one switch in one QEMU, with a third elsewhere */
static void test_one_qemu(NtbFixture *f)
{
    QTestState *qts;

    qts = qtest_initf("%s -chardev socket,path=%s,id=n0 "
                      "-chardev socket,path=%s,id=n1 "
                      "-device idt-ntb,id=ntb0,chardev=n0,addr=4,partitions=3 "
                      "-device idt-ntb,id=ntb1,chardev=n1,addr=6,partitions=3",
                      ntb_next_machine(), f->server->socket, f->server->socket);
    f->ports[0] = ntb_open(qts, "ntb0", 0, QPCI_DEVFN(4, 0), 0);
    f->ports[1] = ntb_open(qts, "ntb1", 0, QPCI_DEVFN(6, 0), 1);
    ntb_start(f, 2, NULL);
    for (unsigned from = 0; from < THREE; from++) {
        for (unsigned to = 0; to < THREE; to++) {
            if (from != to) {
                ntb_assert_talk(f->ports[from], f->ports[to]);
                clear_doorbells(f);
            }
        }
    }
}

static const NtbTest tests[] = {
    { "doorbell/reaches-all-ports", test_doorbell_all, .ports = THREE },
    { "doorbell/each-port-clears-its-own", test_doorbell_clear,
      .ports = THREE },
    { "doorbell/inbound-mask-keeps-it-out", test_doorbell_inbound_mask,
      .ports = THREE },
    { "doorbell/outbound-mask-keeps-it-in", test_doorbell_outbound_mask,
      .ports = THREE },
    { "doorbell/each-has-its-own-masks", test_doorbell_mixed_masks,
      .ports = THREE },
    { "doorbell/mask-leaves-what-came-before", test_doorbell_mask_later,
      .ports = THREE },
    { "doorbell/interrupts-unless-masked", test_doorbell_interrupt,
      .ports = THREE },
    { "doorbell/interrupts-its-sender", test_doorbell_own, .ports = 1 },
    { "doorbell/does-not-wait-for-late-ports", test_doorbell_no_link,
      .ports = 1, .partitions = THREE },
    { "message/goes-where-the-route-says", test_message_routing,
      .ports = THREE },
    { "message/full-register-refuses", test_message_full, .ports = THREE },
    { "message/no-link-refuses", test_message_no_link, .ports = 1,
      .partitions = THREE },
    { "message/registers-are-independent", test_message_registers,
      .ports = THREE },
    { "message/interrupts-receiver-or-sender", test_message_interrupt,
      .ports = THREE },
    { "mapping-table/is-shared-by-all-ports", test_mapping_table,
      .ports = THREE },
    { "event/global-signal-reaches-all-ports", test_global_signal,
      .ports = THREE, .prepare = prepare_events },
    { "event/masks-act-when-it-is-raised", test_global_signal_masks,
      .ports = THREE, .prepare = prepare_events },
    { "event/status-stays-until-cleared", test_sevent, .ports = THREE,
      .prepare = prepare_events },
    { "event/link-up-passes-masks", test_link_up_event, .ports = THREE,
      .prepare = prepare_events },
    { "event/link-down-passes-masks", test_link_down_event, .ports = THREE,
      .prepare = prepare_events },
    { "event/link-status-is-write-1-to-clear", test_link_status_clear,
      .ports = THREE },
    { "link/two-ports-in-one-qemu-talk", test_one_qemu,
      .partitions = THREE },
};

ntb_tests(tests);
