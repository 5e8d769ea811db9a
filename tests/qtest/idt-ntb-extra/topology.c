/*
 * QTest testcase for idt-ntb: partition and port control, protection
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "hw/misc/idt_ntb/shm.h"
#include "hw/pci/pci_regs.h"
#include "extra.h"
#include "control.h"

#define PORT_B  2               /* and its partition is 1 */
#define PART_B  1

static void assert_talk_both_ways(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    ntb_setup_function(b);
    ntb_assert_talk(a, b);
    ntb_assert_talk(b, a);
}

/*
 * Partitions
 */

static void write_partition(NtbPort *by, unsigned part, uint32_t state)
{
    ntb_gas_write(by, part_reg(part, A_SWPART0CTL), state);
}

/* A message to the partition that ports[1] was in does not arrive */
static void assert_no_message(NtbPort *from)
{
    uint32_t sts;

    ntb_route_message(from, 0, PART_B, 0);
    ntb_write(from, A_MSGSTS, UINT32_MAX);
    ntb_write(from, A_OUTMSG0, 0x1234);
    sts = ntb_read(from, A_MSGSTS);
    g_assert_cmphex(FIELD_EX32(sts, MSGSTS, OUTMSGSTS), ==, 1);
    ntb_write(from, A_MSGSTS, UINT32_MAX);
}

/* Nothing from @from reaches ports[1], which has no link */
static void assert_cut_off(NtbPort *from)
{
    ntb_write(from, A_OUTDBELLSET, 0xff00);
    g_assert_cmphex(ntb_gas_read(from, ntb_gas_nt(PORT_B, A_INDBELLSTS)), ==,
                    0);
    ntb_write(from, A_INDBELLSTS, UINT32_MAX);
    assert_no_message(from);
}

static const uint32_t state_disabled = IDT_PART_STATE_DISABLED;
static const uint32_t state_reset = IDT_PART_STATE_RESET;

static void test_no_link(NtbFixture *f)
{
    const uint32_t *state = f->test->data;
    NtbPort *a = f->ports[0], *b = f->ports[1];

    for (unsigned i = 0; i < 3; i++) {
        ntb_dirty(b);
        ntb_listen_to_links(a);
        set_partition(a, PART_B, *state);
        g_assert_false(ntb_link_up(a, PORT_B));
        ntb_assert_link_events(a, 1 << PORT_B, 0);
        ntb_assert_clean(a, PORT_B);
        g_assert_false(ntb_qom_bool(b, "link"));
        assert_cut_off(a);

        /* A reset of the guest does not bring it back */
        ntb_setup_function(b);
        ntb_cfg_writew(b, IDT_CAP_PCIE + PCI_EXP_DEVCTL,
                       PCI_EXP_DEVCTL_BCR_FLR);
        g_assert_false(ntb_link_up(a, PORT_B));

        ntb_listen_to_links(a);
        set_partition(a, PART_B, IDT_PART_STATE_ACTIVE);
        ntb_assert_link_events(a, 0, 1 << PORT_B);
        g_assert_true(ntb_link_up(a, PORT_B));
        assert_talk_both_ways(f);
    }
}

/* SEFRST tells of a partition that is reset, not of one that is disabled */
static void test_partition_events(NtbFixture *f)
{
    NtbPort *a = f->ports[0];

    ntb_gas_write(a, A_SEMSK, ~R_SESTS_FRST_MASK);
    ntb_gas_write(a, A_SEPMSK, ~(1u << a->partition));
    ntb_gas_write(a, A_SEFRSTMSK, ~(1u << PART_B));
    ntb_write(a, A_NTINTMSK, ~R_NTINTSTS_SEVENT_MASK);
    ntb_gas_write(a, A_SEFRSTSTS, UINT32_MAX);
    ntb_write(a, A_NTINTSTS, UINT32_MAX);
    ntb_settle(a->qts);
    ntb_msi_clear(a);

    set_partition(a, PART_B, IDT_PART_STATE_DISABLED);
    set_partition(a, PART_B, IDT_PART_STATE_ACTIVE);
    ntb_wait(ntb_link_up(a, PORT_B));
    ntb_assert_no_msi(a);
    g_assert_cmphex(ntb_gas_read(a, A_SEFRSTSTS), ==, 0);

    set_partition(a, PART_B, IDT_PART_STATE_RESET);
    ntb_assert_msi(a);
    g_assert_cmphex(ntb_gas_read(a, A_SEFRSTSTS), ==, 1 << PART_B);
    g_assert_cmphex(ntb_gas_read(a, A_SESTS), ==, R_SESTS_FRST_MASK);
    ntb_gas_write(a, A_SEFRSTSTS, 1 << PART_B);
    g_assert_cmphex(ntb_gas_read(a, A_SESTS), ==, 0);
    g_assert_cmphex(ntb_gas_read(a, A_SEHRSTSTS), ==, 0);
    set_partition(a, PART_B, IDT_PART_STATE_ACTIVE);
}

/* State 2 does not exist */
static void test_partition_empty(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    set_partition(a, 7, IDT_PART_STATE_ACTIVE);
    set_partition(a, 7, IDT_PART_STATE_ACTIVE);
    set_partition(b, 7, IDT_PART_STATE_RESET);
    write_partition(a, 7, IDT_PART_STATE_RESERVED);
    g_assert_cmphex(ntb_gas_read(b, ntb_gas_partsts(7)), ==,
                    IDT_PART_STATE_RESET << R_SWPART0STS_STATE_SHIFT);
    set_partition(b, 7, IDT_PART_STATE_DISABLED);
}

static void test_partition_own(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    ntb_listen_to_links(a);
    write_partition(b, PART_B, IDT_PART_STATE_DISABLED);
    ntb_wait(ntb_gas_read(a, ntb_gas_partsts(PART_B)) & SCC);
    ntb_assert_link_events(a, 1 << PORT_B, 0);
    ntb_assert_clean(a, PORT_B);
    /* The function has been reset, and can be used again */
    ntb_setup_function(b);
    set_partition(b, PART_B, IDT_PART_STATE_ACTIVE);
    ntb_assert_link_events(a, 0, 1 << PORT_B);
    assert_talk_both_ways(f);
}

/*
 * Ports
 */

static uint32_t port_sts(unsigned mode, unsigned partition)
{
    uint32_t sts = FIELD_DP32(0, SWPORT0STS, MODE, mode);

    return FIELD_DP32(sts, SWPORT0STS, SWPART, partition);
}

static void test_port_disable(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    uint32_t nt = port_ctl(IDT_PORT_MODE_NT, PART_B);

    for (unsigned i = 0; i < 3; i++) {
        ntb_dirty(f->ports[1]);
        ntb_listen_to_links(a);
        set_port(a, PORT_B, port_ctl(IDT_PORT_MODE_DISABLED, PART_B));
        g_assert_cmphex(ntb_gas_read(a, ntb_gas_portsts(PORT_B)), ==,
                        port_sts(IDT_PORT_MODE_DISABLED, PART_B));
        ntb_assert_link_events(a, 1 << PORT_B, 0);
        assert_cut_off(a);
        /* The function does not exist now */
        g_assert_cmphex(ntb_gas_read(a, ntb_gas_nt(PORT_B, A_BARSETUP0)), ==,
                        0);

        set_port(a, PORT_B, nt);
        ntb_assert_link_events(a, 0, 1 << PORT_B);
        ntb_assert_clean(a, PORT_B);
        assert_talk_both_ways(f);
    }
    /* The same value changes nothing, but completes */
    ntb_listen_to_links(a);
    set_port(a, PORT_B, nt);
    g_assert_true(ntb_link_up(a, PORT_B));
    ntb_assert_no_msi(a);
}

static void test_port_enable(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    NtbPort *c;

    set_port(a, 12, port_ctl(IDT_PORT_MODE_NT, 6));
    g_assert_cmphex(ntb_gas_read(b, ntb_gas_portsts(12)), ==,
                    port_sts(IDT_PORT_MODE_NT, 6));
    c = ntb_start(f, 2, ",port=12");
    g_assert_cmpint(ntb_qom_int(c, "partition"), ==, 6);
    c->partition = 6;
    g_assert_false(ntb_link_up(a, 12));
    ntb_listen_to_links(b);
    set_partition(a, 6, IDT_PART_STATE_ACTIVE);
    ntb_assert_link_events(b, 0, 1 << 12);
    ntb_assert_talk(c, a);
    ntb_assert_talk(a, c);

    /* A port that is disabled meanwhile can be attached again */
    set_port(a, 12, port_ctl(IDT_PORT_MODE_DISABLED, 6));
    ntb_end(f, 2);
    ntb_assert_refused_at(f->server, "port=12|partitions=6|0 2 4",
                          ",partitions=3,port=12");
    set_port(a, PORT_B, port_ctl(IDT_PORT_MODE_DISABLED, PART_B));
    ntb_end(f, 1);
    b = ntb_start(f, 1, ",port=2");
    g_assert_false(ntb_link_up(a, PORT_B));
    set_port(b, PORT_B, port_ctl(IDT_PORT_MODE_NT, PART_B));
    ntb_wait(ntb_link_up(a, PORT_B));
    assert_talk_both_ways(f);
}

/* A message to a partition reaches the port that is in it */
static void test_port_partition(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    set_port(a, PORT_B, port_ctl(IDT_PORT_MODE_NT, 5));
    set_partition(a, 5, IDT_PART_STATE_ACTIVE);
    ntb_wait(ntb_link_up(a, PORT_B));
    g_assert_cmpint(ntb_qom_int(b, "partition"), ==, 5);
    assert_no_message(a);
    b->partition = 5;
    assert_talk_both_ways(f);
    ntb_gas_write(a, A_GIDBELLMSK0 + 4 * 3, 1 << 5);
    ntb_write(a, A_OUTDBELLSET, 3 << 3);
    ntb_wait(ntb_read(b, A_INDBELLSTS));
    g_assert_cmphex(ntb_read(b, A_INDBELLSTS), ==, 1 << 4);
}

/* Modes without NT function; invalid modes and missing ports change nothing */
static void test_port_modes(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    static const uint8_t modes[] = {
        IDT_PORT_MODE_DOWNSTREAM, IDT_PORT_MODE_UPSTREAM,
        IDT_PORT_MODE_UNATTACHED, IDT_PORT_MODE_UP_DMA,
    };
    static const struct {
        unsigned port, mode;
    } wrong[] = {
        { 4, 9 }, { 4, 15 }, { 1, IDT_PORT_MODE_DOWNSTREAM },
        { 23, IDT_PORT_MODE_NT }, { 3, IDT_PORT_MODE_UP_NT },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(modes); i++) {
        uint32_t sts = port_sts(modes[i], 7) | 9 << R_SWPORT0STS_DEVNUM_SHIFT;

        if (modes[i] == IDT_PORT_MODE_DOWNSTREAM) {
            sts |= R_SWPORT0STS_DS_MASK;
        }
        set_port(a, 4, port_ctl(modes[i], 7) | 9 << R_SWPORT0CTL_DEVNUM_SHIFT);
        g_assert_cmphex(ntb_gas_read(b, ntb_gas_portsts(4)), ==, sts);
    }
    g_assert_cmphex(ntb_gas_read(b, ntb_gas_partsts(7)), ==,
                    R_SWPART0STS_US_MASK | R_SWPART0STS_DMA_MASK |
                    4 << R_SWPART0STS_USID_SHIFT);
    set_port(a, 4, port_ctl(IDT_PORT_MODE_UP_NT, 7));
    g_assert_cmphex(ntb_gas_read(b, ntb_gas_partsts(7)), ==,
                    R_SWPART0STS_US_MASK | R_SWPART0STS_NT_MASK |
                    4 << R_SWPART0STS_USID_SHIFT);
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        uint32_t sts = ntb_gas_portsts(wrong[i].port);
        uint32_t before = ntb_gas_read(a, sts);

        ntb_gas_write(a, sts - 4, wrong[i].mode);
        g_assert_cmphex(ntb_gas_read(a, sts), ==, before);
    }
}

/* A change waits until the owner of the port applies it, or dies */
static void test_port_dead(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint32_t sts = ntb_gas_portsts(PORT_B);

    ntb_freeze(b);
    ntb_gas_write(a, sts - 4, port_ctl(IDT_PORT_MODE_DISABLED, PART_B));
    write_partition(a, PART_B, IDT_PART_STATE_DISABLED);
    g_assert_cmphex(ntb_gas_read(a, sts), ==,
                    port_sts(IDT_PORT_MODE_NT, PART_B) | OMCI);
    g_assert_cmphex(ntb_gas_read(a, ntb_gas_partsts(PART_B)) & (SCI | SCC), ==,
                    SCI);
    assert_cut_off(a);
    ntb_end_by_kill(f, 1);
    ntb_wait(ntb_gas_read(a, sts) ==
             (port_sts(IDT_PORT_MODE_DISABLED, PART_B) | OMCI | OMCC));
    ntb_wait((ntb_gas_read(a, ntb_gas_partsts(PART_B)) & SCC));
    set_partition(a, PART_B, IDT_PART_STATE_ACTIVE);
    set_port(a, PORT_B, port_ctl(IDT_PORT_MODE_NT, PART_B));
    ntb_start(f, 1, NULL);
    ntb_wait(ntb_link_up(a, PORT_B));
    assert_talk_both_ways(f);
}

/* If the writer of SWPORTxCTL dies in the middle, the change applies anyway */
static void test_port_dead_writer(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    const uint32_t pending = 1u << 31;  /* in the stored word */
    uint32_t nt = port_ctl(IDT_PORT_MODE_NT, PART_B);
    IdtNtbShmSwitch *regs = &f->server->mem->sw;

    ntb_dirty(f->ports[1]);
    ntb_listen_to_links(a);
    qatomic_set_mb(&regs->swportctl[PORT_B],
                   port_ctl(IDT_PORT_MODE_DISABLED, PART_B));
    g_assert_false(ntb_link_up(a, PORT_B));
    ntb_assert_link_events(a, 1 << PORT_B, 0);
    ntb_wait(ntb_gas_read(a, ntb_gas_portsts(PORT_B)) ==
             port_sts(IDT_PORT_MODE_DISABLED, PART_B));
    set_port(a, PORT_B, nt);
    ntb_assert_link_events(a, 0, 1 << PORT_B);
    ntb_assert_clean(a, PORT_B);

    qatomic_fetch_or(&regs->swportsts[PORT_B], OMCI | pending);
    ntb_wait((ntb_gas_read(a, ntb_gas_portsts(PORT_B)) & (OMCI | OMCC)) ==
             (OMCI | OMCC));
    g_assert_true(ntb_link_up(a, PORT_B));

    /* A port without owner, and the same value again */
    qatomic_set_mb(&regs->swportctl[12], port_ctl(IDT_PORT_MODE_NT, 6));
    set_port(a, 12, port_ctl(IDT_PORT_MODE_NT, 6));
    g_assert_cmphex(ntb_gas_read(a, ntb_gas_portsts(12)), ==,
                    port_sts(IDT_PORT_MODE_NT, 6));
    qatomic_set_mb(&regs->swportctl[12], 0);
    g_assert_cmphex(ntb_gas_read(a, ntb_gas_portsts(12)), ==, 0);
}

static void test_partition_dead_writer(NtbFixture *f)
{
    IdtNtbShmSwitch *regs = &f->server->mem->sw;
    NtbPort *a = f->ports[0];

    ntb_dirty(f->ports[1]);
    ntb_listen_to_links(a);
    qatomic_set_mb(&regs->swpartctl[PART_B], IDT_PART_STATE_DISABLED);
    ntb_assert_link_events(a, 1 << PORT_B, 0);
    ntb_assert_clean(a, PORT_B);
    qatomic_set_mb(&regs->swpartctl[PART_B], IDT_PART_STATE_ACTIVE);
    ntb_assert_link_events(a, 0, 1 << PORT_B);
    assert_talk_both_ways(f);
}

/* Both ports write random values to each other's controls */
static void test_random(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    GRand *rng = g_rand_new_with_seed(g_test_rand_int());

    for (unsigned i = 0; i < 1500; i++) {
        NtbPort *p = g_rand_boolean(rng) ? a : b;
        uint32_t value = g_rand_int(rng);
        unsigned n = g_rand_int_range(rng, 0, IDT_MAX_PARTITIONS);

        /* By configuration cycles: a reset function loses its BARs */
        ntb_cfg_write(p, A_GASAADDR, g_rand_boolean(rng) ?
                      ntb_gas_partsts(n) - 4 :
                      ntb_gas_portsts(ntb_ports[n % NTB_NUM_PORTS]) - 4);
        ntb_cfg_write(p, A_GASADATA, value & 0x73);
        ntb_cfg_write(p, A_OUTDBELLSET, value);
    }
    ntb_setup_function(a);
    ntb_setup_function(b);
    set_partition(a, a->partition, IDT_PART_STATE_DISABLED);
    for (unsigned i = 0; i < NTB_NUM_PORTS; i++) {
        ntb_setup_function(a);
        ntb_gas_write(a, ntb_gas_portsts(ntb_ports[i]) - 4,
                      port_ctl(i < 2 ? IDT_PORT_MODE_NT :
                                       IDT_PORT_MODE_DISABLED, i));
        ntb_setup_function(a);
    }
    for (unsigned i = 0; i < 2; i++) {
        ntb_gas_write(a, ntb_gas_partsts(i) - 4, IDT_PART_STATE_DISABLED);
        ntb_setup_function(a);
        ntb_gas_write(a, ntb_gas_partsts(i) - 4, IDT_PART_STATE_ACTIVE);
        ntb_setup_function(a);
    }
    ntb_wait(ntb_link_up(a, 0) && ntb_link_up(a, PORT_B));
    ntb_setup_function(a);
    assert_talk_both_ways(f);
    g_rand_free(rng);
}

/* Windows onto a port without link are closed, and open again with it */
static void test_windows(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint64_t base = win_bar(a, WIN_DIRECT32);

    win_open(a, WIN_DIRECT32, b->partition, WIN_X);
    win_assert_hits(a, base, b, WIN_X, 8);
    set_partition(a, b->partition, IDT_PART_STATE_DISABLED);
    win_assert_ones(a, base);
    g_assert_cmpint(ntb_qom_int(a, "direct-mappings"), ==, 0);
    win_setup_function(b);
    win_assert_ones(a, base);
    set_partition(a, b->partition, IDT_PART_STATE_ACTIVE);
    ntb_wait(ntb_link_up(a, b->port));
    win_assert_hits(a, base, b, WIN_X, 8);
}

/*
 * A window leads to the lowest port in its partition
 */

#define PART_C  2               /* that of port 4 */

static void prepare_lower_port(NtbFixture *f)
{
    NtbPort *b = ntb_start(f, 1, ",port=4");

    g_assert_cmpuint(b->partition, ==, PART_C);
    win_open(f->ports[0], WIN_DIRECT32, PART_C, WIN_X);
}

/* The lower port has no owner; either port moves it there */
static void test_lower_port_is_free(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint64_t base = win_bar(a, WIN_DIRECT32);

    for (unsigned i = 0; i < 6; i++) {
        NtbPort *by = i % 2 ? a : b;

        win_assert_hits(a, base, b, WIN_X, 8);
        win_assert_path(a, f->path);
        set_port(by, PORT_B, port_ctl(IDT_PORT_MODE_NT, PART_C));
        g_assert_cmpuint(win_mappings(a), ==, 0);
        win_assert_misses(a, base, b, WIN_X, 8);
        set_port(by, PORT_B, port_ctl(IDT_PORT_MODE_NT, PART_B));
    }
    win_assert_hits(a, base, b, WIN_X, 8);
}

static void test_lower_port(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint64_t base;
    NtbPort *c = ntb_start(f, 2, NULL);

    g_assert_cmpuint(c->port, ==, PORT_B);
    base = win_bar(a, WIN_DIRECT32);
    for (unsigned i = 0; i < 4; i++) {
        win_assert_hits(a, base, b, WIN_X, 8);
        win_assert_path(a, f->path);
        set_port(b, PORT_B, port_ctl(IDT_PORT_MODE_NT, PART_C));
        ntb_wait(ntb_link_up(b, PORT_B));
        g_assert_cmpuint(win_mappings(a), ==, 0);
        c->partition = PART_C;
        win_setup_function(c);
        win_assert_hits(a, base, c, WIN_X, 8);
        win_assert_path(a, f->path);
        set_port(b, PORT_B, port_ctl(IDT_PORT_MODE_NT, PART_B));
        ntb_wait(ntb_link_up(b, PORT_B));
        g_assert_cmpuint(win_mappings(a), ==, 0);
        c->partition = PART_B;
        win_setup_function(c);
    }
}

/* Two ports in a partition have the same entry of the mapping table */
static void test_shared_entry(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint64_t base;
    NtbPort *c = f->ports[2];

    set_port(a, c->port, port_ctl(IDT_PORT_MODE_NT, b->partition));
    ntb_wait(ntb_link_up(a, c->port));
    c->partition = b->partition;
    win_setup_function(c);
    base = win_bar(c, WIN_DIRECT32);
    win_open(c, WIN_DIRECT32, a->partition, WIN_X);
    win_assert_hits(c, base, a, WIN_X, 8);
    win_assert_path(c, f->path);
    win_admit(b, false);
    g_assert_cmpuint(win_mappings(c), ==, 0);
    win_assert_misses(c, base, a, WIN_X, 8);
}

/*
 * Resets as events
 */

static uint32_t resets_seen(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    uint32_t seen = ntb_gas_read(a, A_SEFRSTSTS) |
                    ntb_gas_read(a, A_SEHRSTSTS) << 8;

    ntb_gas_write(a, A_SEFRSTSTS, UINT32_MAX);
    ntb_gas_write(a, A_SEHRSTSTS, UINT32_MAX);
    return seen;
}

static void test_reset_events(NtbFixture *f)
{
    NtbPort *b = ntb_plug(f, 1, NULL);

    /* Power-up resets the switch too */
    g_assert_cmphex(resets_seen(f), ==, 0);
    ntb_cfg_writew(b, IDT_CAP_PCIE + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR);
    g_assert_cmphex(resets_seen(f), ==, 0);
    ntb_secondary_bus_reset(f->root);
    g_assert_cmphex(resets_seen(f), ==, 1 << (8 + b->partition));
    qtest_system_reset(f->root);
    g_assert_cmphex(resets_seen(f), ==, 1 << b->partition);
}

/*
 * Protection
 */

static void test_gasaprot(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    ntb_gas_write(a, A_SEMSK, 0x15);
    ntb_gas_write(a, A_GASAPROT, UINT32_MAX & ~(1u << a->partition));
    g_assert_cmphex(ntb_gas_read(a, A_GASAPROT), ==,
                    0xff & ~(1u << a->partition));
    ntb_gas_write(b, A_SEMSK, 0x3f);
    g_assert_cmphex(ntb_gas_read(b, A_SEMSK), ==, 0);
    ntb_gas_write(b, A_GASAPROT, 0);
    ntb_gas_write(b, ntb_gas_nt(b->port, A_NTSDATA), 1);
    g_assert_cmphex(ntb_gas_read(a, A_SEMSK), ==, 0x15);
    g_assert_cmphex(ntb_read(b, A_NTSDATA), ==, 0);
    ntb_gas_write(a, A_GASAPROT, 0);
    g_assert_cmphex(ntb_gas_read(b, A_SEMSK), ==, 0x15);
}

static void write_entry(NtbPort *p, unsigned entry, uint32_t value)
{
    ntb_write(p, A_NTMTBLADDR, entry);
    ntb_write(p, A_NTMTBLDATA, value);
}

/* NTMTBLSTS.ERR, which is cleared by writing 1 */
static bool take_error(NtbPort *p)
{
    uint32_t sts = ntb_read(p, A_NTMTBLSTS);

    g_assert_cmphex(sts & ~R_NTMTBLSTS_ERR_MASK, ==, 0);
    ntb_write(p, A_NTMTBLSTS, 0);
    g_assert_cmphex(ntb_read(p, A_NTMTBLSTS), ==, sts);
    ntb_write(p, A_NTMTBLSTS, UINT32_MAX);
    g_assert_cmphex(ntb_read(p, A_NTMTBLSTS), ==, 0);
    return sts;
}

static void test_ntmtblprot(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    ntb_gas_write(a, A_NTMTBLPROT0 + 4 * PART_B, 1 << 5 | 1u << 31);
    for (unsigned i = 0; i < IDT_NUM_MTBL; i++) {
        bool kept = i / 2 == 5 || i / 2 == 31;

        write_entry(b, i, i << 1);
        g_assert_cmpint(take_error(b), ==, kept);
        g_assert_cmphex(ntb_mapping_entry(a, i), ==, kept ? 0 : i << 1);
        g_assert_cmpint(take_error(a), ==, false);
        /* Reading is no error; another partition can write */
        g_assert_cmphex(ntb_mapping_entry(b, i), ==, kept ? 0 : i << 1);
        g_assert_cmpint(take_error(b), ==, false);
        write_entry(a, i, 2);
        g_assert_cmphex(ntb_mapping_entry(b, i), ==, 2);
    }
    /* Missing entries */
    write_entry(a, IDT_NUM_MTBL, 1);
    g_assert_true(take_error(a));
    g_assert_cmphex(ntb_mapping_entry(a, 127), ==, 0);
    g_assert_true(take_error(a));
}

/*
 * Bridge functions
 */

static void check_bridge(NtbFixture *f, unsigned port, unsigned mode)
{
    NtbPort *a = f->ports[0];
    uint32_t at = port * IDT_GAS_PORT_STRIDE;
    unsigned cap, count = 0;

    g_assert_cmphex(ntb_gas_read(a, at + PCI_VENDOR_ID), ==, NTB_ID);
    g_assert_cmphex(ntb_gas_read(a, at + PCI_CLASS_REVISION), ==, 0x06040002);
    g_assert_cmphex(ntb_gas_read(a, at + PCI_CACHE_LINE_SIZE) >> 16 & 0x7f, ==,
                    PCI_HEADER_TYPE_BRIDGE);
    g_assert_cmphex(ntb_gas_read(a, at + PCI_COMMAND) >> 16 &
                    PCI_STATUS_CAP_LIST, !=, 0);
    cap = ntb_gas_read(a, at + PCI_CAPABILITY_LIST) & 0xff;
    g_assert_cmphex(cap, ==, IDT_CAP_PCIE);
    while (cap) {
        g_assert_cmpuint(cap, >=, IDT_CAP_PCIE);
        g_assert_cmpuint(++count, <, 10);
        cap = ntb_gas_read(a, at + cap) >> 8 & 0xff;
    }
    g_assert_cmpuint(ntb_gas_read(a, at + IDT_CAP_PCIE) >> 20 & 0xf, ==,
                     mode == IDT_PORT_MODE_DOWNSTREAM ?
                     PCI_EXP_TYPE_DOWNSTREAM : PCI_EXP_TYPE_UPSTREAM);
    g_assert_cmpuint(FIELD_EX32(ntb_gas_read(a, at + A_PCIELCAP), PCIELCAP,
                                PORTNUM), ==, port);
    g_assert_cmphex(ntb_gas_read(a, at + IDT_CAP_AER) & 0xffff, ==,
                    PCI_EXT_CAP_ID_ERR);
    /* Nothing of it can be written from here */
    for (unsigned offset = 0; offset < IDT_NT_REGS; offset += 4) {
        uint32_t before = ntb_gas_read(a, at + offset);

        ntb_gas_write(a, at + offset, ~before);
        g_assert_cmphex(ntb_gas_read(a, at + offset), ==, before);
    }
}

static void test_bridges(NtbFixture *f)
{
    NtbPort *a = f->ports[0];

    set_port(a, 12, port_ctl(IDT_PORT_MODE_DOWNSTREAM, 0));
    for (unsigned i = 0; i < NTB_NUM_PORTS; i++) {
        check_bridge(f, ntb_ports[i], ntb_ports[i] == 12 ?
                     IDT_PORT_MODE_DOWNSTREAM : IDT_PORT_MODE_NT);
    }
    /* Ports that this chip does not have */
    g_assert_cmphex(ntb_gas_read(a, 1 * IDT_GAS_PORT_STRIDE), ==, 0);
    g_assert_cmphex(ntb_gas_read(a, 23 * IDT_GAS_PORT_STRIDE), ==, 0);
}

static const NtbTest tests[] = {
    { "topology/disabled-partition-has-no-link", test_no_link, .ports = 2,
      .partitions = 3, .q35 = true, .data = &state_disabled },
    { "topology/reset-partition-has-no-link", test_no_link, .ports = 2,
      .partitions = 3, .q35 = true, .data = &state_reset },
    { "topology/reset-partition-raises-an-event", test_partition_events,
      .ports = 2, .partitions = 3, .q35 = true },
    { "topology/empty-partition-changes-at-once", test_partition_empty,
      .ports = 2, .partitions = 3, .q35 = true },
    { "topology/port-can-disable-its-own-partition", test_partition_own,
      .ports = 2, .partitions = 3, .q35 = true },
    { "topology/disabled-port-has-no-link", test_port_disable, .ports = 2,
      .partitions = 3, .q35 = true },
    { "topology/enabled-port-can-be-taken", test_port_enable, .ports = 2,
      .partitions = 3, .q35 = true },
    { "topology/port-can-change-its-partition", test_port_partition,
      .ports = 2, .partitions = 3, .q35 = true },
    { "topology/status-shows-the-port-mode", test_port_modes, .ports = 2,
      .partitions = 3, .q35 = true },
    { "topology/stopped-port-changes-when-it-ends", test_port_dead,
      .ports = 2, .partitions = 3, .q35 = true },
    { "topology/port-changes-if-its-writer-dies", test_port_dead_writer,
      .ports = 2, .partitions = 3, .q35 = true },
    { "topology/partition-changes-if-its-writer-dies",
      test_partition_dead_writer, .ports = 2, .partitions = 3, .q35 = true },
    { "topology/random-writes-do-no-harm", test_random, .ports = 2,
      .partitions = 3, .q35 = true },
    { "topology/windows-follow-the-link", test_windows, .ports = 2,
      .windows = WIN_EACH, .q35 = true },
    { "topology/window-onto-a-free-lower-port-is-closed",
      test_lower_port_is_free, .ports = 1, .partitions = 3,
      .prepare = prepare_lower_port, .windows = WIN_MOSTLY_SHARED,
      .q35 = true },
    { "topology/window-leads-to-the-lowest-port", test_lower_port, .ports = 1,
      .partitions = 3, .prepare = prepare_lower_port,
      .windows = WIN_MOSTLY_SHARED, .q35 = true },
    { "topology/ports-of-a-partition-share-their-admission", test_shared_entry,
      .ports = 3, .windows = WIN_MOSTLY_SHARED, .q35 = true },
    { "topology/resets-raise-events", test_reset_events, .ports = 1,
      .root_port = true, .q35 = true },
    { "protection/gasaprot-keeps-a-partition-out", test_gasaprot, .ports = 2,
      .partitions = 3, .q35 = true },
    { "protection/ntmtblprot-keeps-entries", test_ntmtblprot, .ports = 2,
      .partitions = 3, .q35 = true },
    { "bridge/function-is-read-only", test_bridges, .ports = 2,
      .partitions = 3, .q35 = true },
};

ntb_tests(tests);
