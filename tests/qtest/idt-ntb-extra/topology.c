/*
 * QTest testcase for idt-ntb: partition and port control, protection
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/module.h"
#include "hw/misc/idt_ntb/shm.h"
#include "hw/pci/pci_regs.h"
#include "idt-ntb/harness.h"
#include "idt-ntb/window.h"

#define SCI     R_SWPART0STS_SCI_MASK
#define SCC     R_SWPART0STS_SCC_MASK
#define OMCI    R_SWPORT0STS_OMCI_MASK
#define OMCC    R_SWPORT0STS_OMCC_MASK

#define PORT_B  2               /* and its partition is 1 */
#define PART_B  1

static NtbServer *server;
static NtbPort *a, *b;

static void setup(void)
{
    server = ntb_server_start();
    a = ntb_boot(server, ",partitions=3");
    b = ntb_boot(server, ",partitions=3");
    g_assert_cmpuint(b->port, ==, PORT_B);
}

static void teardown(void)
{
    ntb_quit(b);
    ntb_quit(a);
    ntb_server_stop(server);
}

static void assert_talk_both_ways(void)
{
    ntb_setup_function(b);
    ntb_assert_talk(a, b);
    ntb_assert_talk(b, a);
}

/*
 * Partitions
 */

static void write_partition(NtbPort *by, unsigned partition, uint32_t state)
{
    ntb_gas_write(by, ntb_gas_partsts(partition) - 4, state);
}

/* ... and wait until it is done, as an EEPROM image does */
static void set_partition(NtbPort *by, unsigned partition, uint32_t state)
{
    uint32_t sts = ntb_gas_partsts(partition);

    write_partition(by, partition, state);
    g_assert_cmphex(ntb_gas_read(by, sts) & SCI, ==, SCI);
    ntb_wait(ntb_gas_read(by, sts) & SCC);
    ntb_gas_write(by, sts, SCI | SCC);
    g_assert_cmphex(ntb_gas_read(by, sts) & (SCI | SCC), ==, 0);
    g_assert_cmpuint(FIELD_EX32(ntb_gas_read(by, sts), SWPART0STS, STATE), ==,
                     state);
    g_assert_cmphex(ntb_gas_read(by, sts - 4), ==, state);
}

/* A message to the partition that @b was in does not arrive */
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

/* Nothing of @from reaches @b, which has no link */
static void assert_cut_off(NtbPort *from)
{
    ntb_write(from, A_OUTDBELLSET, 0xff00);
    g_assert_cmphex(ntb_gas_read(from, ntb_gas_nt(PORT_B, A_INDBELLSTS)), ==,
                    0);
    ntb_write(from, A_INDBELLSTS, UINT32_MAX);
    assert_no_message(from);
}

static void check_partition(uint32_t state)
{
    setup();
    for (unsigned i = 0; i < 3; i++) {
        ntb_dirty(b);
        ntb_listen_to_links(a);
        set_partition(a, PART_B, state);
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
        assert_talk_both_ways();
    }
    teardown();
}

static void test_partition_disable(void)
{
    check_partition(IDT_PART_STATE_DISABLED);
}

static void test_partition_reset(void)
{
    check_partition(IDT_PART_STATE_RESET);
}

/* SEFRST tells of a partition that is reset, not of one that is disabled */
static void test_partition_events(void)
{
    setup();
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
    teardown();
}

/* A partition that nobody is in changes at once; state 2 does not exist */
static void test_partition_empty(void)
{
    setup();
    set_partition(a, 7, IDT_PART_STATE_ACTIVE);
    set_partition(a, 7, IDT_PART_STATE_ACTIVE);
    set_partition(b, 7, IDT_PART_STATE_RESET);
    write_partition(a, 7, IDT_PART_STATE_RESERVED);
    g_assert_cmphex(ntb_gas_read(b, ntb_gas_partsts(7)), ==,
                    IDT_PART_STATE_RESET << R_SWPART0STS_STATE_SHIFT);
    set_partition(b, 7, IDT_PART_STATE_DISABLED);
    teardown();
}

/* The partition of who writes it */
static void test_partition_own(void)
{
    setup();
    ntb_listen_to_links(a);
    write_partition(b, PART_B, IDT_PART_STATE_DISABLED);
    ntb_wait(ntb_gas_read(a, ntb_gas_partsts(PART_B)) & SCC);
    ntb_assert_link_events(a, 1 << PORT_B, 0);
    ntb_assert_clean(a, PORT_B);
    /* The function has been reset, and can be used again */
    ntb_setup_function(b);
    set_partition(b, PART_B, IDT_PART_STATE_ACTIVE);
    ntb_assert_link_events(a, 0, 1 << PORT_B);
    assert_talk_both_ways();
    teardown();
}

/*
 * Ports
 */

static uint32_t port_ctl(unsigned mode, unsigned partition)
{
    return FIELD_DP32(mode, SWPORT0CTL, SWPART, partition);
}

static uint32_t port_sts(unsigned mode, unsigned partition)
{
    uint32_t sts = FIELD_DP32(0, SWPORT0STS, MODE, mode);

    return FIELD_DP32(sts, SWPORT0STS, SWPART, partition);
}

static void set_port(NtbPort *by, unsigned port, uint32_t ctl)
{
    uint32_t sts = ntb_gas_portsts(port);

    ntb_gas_write(by, sts - 4, ctl);
    g_assert_cmphex(ntb_gas_read(by, sts) & OMCI, ==, OMCI);
    ntb_wait(ntb_gas_read(by, sts) & OMCC);
    ntb_gas_write(by, sts, OMCI | OMCC);
    g_assert_cmphex(ntb_gas_read(by, sts) & (OMCI | OMCC), ==, 0);
    g_assert_cmphex(ntb_gas_read(by, sts - 4), ==, ctl);
}

static void test_port_disable(void)
{
    uint32_t nt = port_ctl(IDT_PORT_MODE_NT, PART_B);

    setup();
    for (unsigned i = 0; i < 3; i++) {
        ntb_dirty(b);
        ntb_listen_to_links(a);
        set_port(a, PORT_B, port_ctl(IDT_PORT_MODE_DISABLED, PART_B));
        g_assert_cmphex(ntb_gas_read(a, ntb_gas_portsts(PORT_B)), ==,
                        port_sts(IDT_PORT_MODE_DISABLED, PART_B));
        ntb_assert_link_events(a, 1 << PORT_B, 0);
        assert_cut_off(a);
        /* Nobody has this function now */
        g_assert_cmphex(ntb_gas_read(a, ntb_gas_nt(PORT_B, A_BARSETUP0)), ==,
                        0);

        set_port(a, PORT_B, nt);
        ntb_assert_link_events(a, 0, 1 << PORT_B);
        ntb_assert_clean(a, PORT_B);
        assert_talk_both_ways();
    }
    /* The same again is no change, but done */
    ntb_listen_to_links(a);
    set_port(a, PORT_B, nt);
    g_assert_true(ntb_link_up(a, PORT_B));
    ntb_assert_no_msi(a);
    teardown();
}

/* A port that was disabled becomes one that a guest can have */
static void test_port_enable(void)
{
    NtbPort *c;

    setup();
    set_port(a, 12, port_ctl(IDT_PORT_MODE_NT, 6));
    g_assert_cmphex(ntb_gas_read(b, ntb_gas_portsts(12)), ==,
                    port_sts(IDT_PORT_MODE_NT, 6));
    c = ntb_boot(server, ",partitions=3,port=12");
    g_assert_cmpint(ntb_qom_int(c, "partition"), ==, 6);
    c->partition = 6;
    g_assert_false(ntb_link_up(a, 12));
    ntb_listen_to_links(b);
    set_partition(a, 6, IDT_PART_STATE_ACTIVE);
    ntb_assert_link_events(b, 0, 1 << 12);
    ntb_assert_talk(c, a);
    ntb_assert_talk(a, c);

    /* It may come back to a port that is disabled meanwhile */
    set_port(a, 12, port_ctl(IDT_PORT_MODE_DISABLED, 6));
    ntb_quit(c);
    ntb_assert_refused_at(server, "port=12|partitions=6|0 2 4",
                          ",partitions=3,port=12");
    set_port(a, PORT_B, port_ctl(IDT_PORT_MODE_DISABLED, PART_B));
    ntb_quit(b);
    b = ntb_boot(server, ",partitions=3,port=2");
    g_assert_false(ntb_link_up(a, PORT_B));
    set_port(b, PORT_B, port_ctl(IDT_PORT_MODE_NT, PART_B));
    ntb_wait(ntb_link_up(a, PORT_B));
    assert_talk_both_ways();
    teardown();
}

/* What is sent to a partition reaches the port that is in it */
static void test_port_partition(void)
{
    setup();
    set_port(a, PORT_B, port_ctl(IDT_PORT_MODE_NT, 5));
    set_partition(a, 5, IDT_PART_STATE_ACTIVE);
    ntb_wait(ntb_link_up(a, PORT_B));
    g_assert_cmpint(ntb_qom_int(b, "partition"), ==, 5);
    assert_no_message(a);
    b->partition = 5;
    assert_talk_both_ways();
    ntb_gas_write(a, A_GIDBELLMSK0 + 4 * 3, 1 << 5);
    ntb_write(a, A_OUTDBELLSET, 3 << 3);
    ntb_wait(ntb_read(b, A_INDBELLSTS));
    g_assert_cmphex(ntb_read(b, A_INDBELLSTS), ==, 1 << 4);
    teardown();
}

/* Modes without NT function, and those of ports that are not there */
static void test_port_modes(void)
{
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

    setup();
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
    teardown();
}

/* The change waits for the owner of the port; if that dies, for its end */
static void test_port_dead(void)
{
    uint32_t sts = ntb_gas_portsts(PORT_B);

    setup();
    ntb_freeze(b);
    ntb_gas_write(a, sts - 4, port_ctl(IDT_PORT_MODE_DISABLED, PART_B));
    write_partition(a, PART_B, IDT_PART_STATE_DISABLED);
    g_assert_cmphex(ntb_gas_read(a, sts), ==,
                    port_sts(IDT_PORT_MODE_NT, PART_B) | OMCI);
    g_assert_cmphex(ntb_gas_read(a, ntb_gas_partsts(PART_B)) & (SCI | SCC), ==,
                    SCI);
    assert_cut_off(a);
    ntb_kill(b);
    ntb_wait(ntb_gas_read(a, sts) ==
             (port_sts(IDT_PORT_MODE_DISABLED, PART_B) | OMCI | OMCC));
    ntb_wait((ntb_gas_read(a, ntb_gas_partsts(PART_B)) & SCC));
    set_partition(a, PART_B, IDT_PART_STATE_ACTIVE);
    set_port(a, PORT_B, port_ctl(IDT_PORT_MODE_NT, PART_B));
    b = ntb_boot(server, ",partitions=3");
    ntb_wait(ntb_link_up(a, PORT_B));
    assert_talk_both_ways();
    teardown();
}

/*
 * Who writes SWPORTxCTL dies in the middle of it: the change takes place all
 * the same, and nothing hangs
 */
static void test_port_dead_writer(void)
{
    const uint32_t pending = 1u << 31;  /* in the stored word */
    uint32_t nt = port_ctl(IDT_PORT_MODE_NT, PART_B);
    IdtNtbShmSwitch *regs;

    setup();
    regs = &((IdtNtbShm *)server->mem)->sw;
    ntb_dirty(b);
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

    /* A port of nobody, and the same value again */
    qatomic_set_mb(&regs->swportctl[12], port_ctl(IDT_PORT_MODE_NT, 6));
    set_port(a, 12, port_ctl(IDT_PORT_MODE_NT, 6));
    g_assert_cmphex(ntb_gas_read(a, ntb_gas_portsts(12)), ==,
                    port_sts(IDT_PORT_MODE_NT, 6));
    qatomic_set_mb(&regs->swportctl[12], 0);
    g_assert_cmphex(ntb_gas_read(a, ntb_gas_portsts(12)), ==, 0);
    teardown();
}

static void test_partition_dead_writer(void)
{
    IdtNtbShmSwitch *regs;

    setup();
    regs = &((IdtNtbShm *)server->mem)->sw;
    ntb_dirty(b);
    ntb_listen_to_links(a);
    qatomic_set_mb(&regs->swpartctl[PART_B], IDT_PART_STATE_DISABLED);
    ntb_assert_link_events(a, 1 << PORT_B, 0);
    ntb_assert_clean(a, PORT_B);
    qatomic_set_mb(&regs->swpartctl[PART_B], IDT_PART_STATE_ACTIVE);
    ntb_assert_link_events(a, 0, 1 << PORT_B);
    assert_talk_both_ways();
    teardown();
}

/* Both ports, and a third process, write anything for a while */
static void test_random(void)
{
    GRand *rng = g_rand_new_with_seed(g_test_rand_int());

    setup();
    for (unsigned i = 0; i < 1500; i++) {
        NtbPort *p = g_rand_boolean(rng) ? a : b;
        uint32_t value = g_rand_int(rng);
        unsigned n = g_rand_int_range(rng, 0, IDT_MAX_PARTITIONS);

        /* Functions lose their BARs when they are reset: not through those */
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
    assert_talk_both_ways();
    teardown();
    g_rand_free(rng);
}

/* Windows onto a port without link are closed, and open again with it */
static void test_windows(WinPath path)
{
    WinPair w;
    uint64_t base;

    win_start(&w, path, NULL);
    base = win_bar(w.a, WIN_DIRECT32);
    win_open(w.a, WIN_DIRECT32, w.b->partition, WIN_X);
    win_assert_hits(w.a, base, w.b, WIN_X, 8);
    set_partition(w.a, w.b->partition, IDT_PART_STATE_DISABLED);
    win_assert_ones(w.a, base);
    g_assert_cmpint(ntb_qom_int(w.a, "direct-mappings"), ==, 0);
    win_setup_function(w.b);
    win_assert_ones(w.a, base);
    set_partition(w.a, w.b->partition, IDT_PART_STATE_ACTIVE);
    ntb_wait(ntb_link_up(w.a, w.b->port));
    win_assert_hits(w.a, base, w.b, WIN_X, 8);
    win_stop(&w);
}

/*
 * A window leads to the lowest port in its partition: one that comes there, or
 * goes, makes it lead elsewhere
 */

#define PART_C  2               /* that of port 4 */

static void setup_lower_port(WinPair *w, WinPath path)
{
    *w = (WinPair) { .server = ntb_server_start(), .path = path };
    w->a = win_boot(w->server, path, NULL, ",partitions=3");
    w->b = win_boot(w->server, path, NULL, ",partitions=3,port=4");
    g_assert_cmpuint(w->b->partition, ==, PART_C);
    win_open(w->a, WIN_DIRECT32, PART_C, WIN_X);
}

/* Nobody has the port that comes, and any port may have done it */
static void test_lower_port_is_free(WinPath path)
{
    uint64_t base;
    WinPair w;

    setup_lower_port(&w, path);
    base = win_bar(w.a, WIN_DIRECT32);
    for (unsigned i = 0; i < 6; i++) {
        NtbPort *by = i % 2 ? w.a : w.b;

        win_assert_hits(w.a, base, w.b, WIN_X, 8);
        win_assert_path(w.a, path);
        set_port(by, PORT_B, port_ctl(IDT_PORT_MODE_NT, PART_C));
        g_assert_cmpuint(win_mappings(w.a), ==, 0);
        win_assert_misses(w.a, base, w.b, WIN_X, 8);
        set_port(by, PORT_B, port_ctl(IDT_PORT_MODE_NT, PART_B));
    }
    win_assert_hits(w.a, base, w.b, WIN_X, 8);
    win_stop(&w);
}

static void test_lower_port(WinPath path)
{
    uint64_t base;
    NtbPort *c;
    WinPair w;

    setup_lower_port(&w, path);
    c = win_boot(w.server, path, NULL, ",partitions=3");
    g_assert_cmpuint(c->port, ==, PORT_B);
    base = win_bar(w.a, WIN_DIRECT32);
    for (unsigned i = 0; i < 4; i++) {
        win_assert_hits(w.a, base, w.b, WIN_X, 8);
        win_assert_path(w.a, path);
        set_port(w.b, PORT_B, port_ctl(IDT_PORT_MODE_NT, PART_C));
        ntb_wait(ntb_link_up(w.b, PORT_B));
        g_assert_cmpuint(win_mappings(w.a), ==, 0);
        c->partition = PART_C;
        win_setup_function(c);
        win_assert_hits(w.a, base, c, WIN_X, 8);
        win_assert_path(w.a, path);
        set_port(w.b, PORT_B, port_ctl(IDT_PORT_MODE_NT, PART_B));
        ntb_wait(ntb_link_up(w.b, PORT_B));
        g_assert_cmpuint(win_mappings(w.a), ==, 0);
        c->partition = PART_B;
        win_setup_function(c);
    }
    ntb_quit(c);
    win_stop(&w);
}

/* Two ports in a partition lose by the same entry of the mapping table */
static void test_shared_entry(WinPath path)
{
    WinPair w;
    NtbPort *c;
    uint64_t base;

    win_start(&w, path, ",partitions=3");
    c = win_boot(w.server, path, NULL, ",partitions=3");
    set_port(w.a, c->port, port_ctl(IDT_PORT_MODE_NT, w.b->partition));
    ntb_wait(ntb_link_up(w.a, c->port));
    c->partition = w.b->partition;
    win_setup_function(c);
    base = win_bar(c, WIN_DIRECT32);
    win_open(c, WIN_DIRECT32, w.a->partition, WIN_X);
    win_assert_hits(c, base, w.a, WIN_X, 8);
    win_assert_path(c, path);
    win_admit(w.b, false);
    g_assert_cmpuint(win_mappings(c), ==, 0);
    win_assert_misses(c, base, w.a, WIN_X, 8);
    ntb_quit(c);
    win_stop(&w);
}

/*
 * Resets as events
 */

static uint32_t resets_seen(void)
{
    uint32_t seen = ntb_gas_read(a, A_SEFRSTSTS) |
                    ntb_gas_read(a, A_SEHRSTSTS) << 8;

    ntb_gas_write(a, A_SEFRSTSTS, UINT32_MAX);
    ntb_gas_write(a, A_SEHRSTSTS, UINT32_MAX);
    return seen;
}

static void test_reset_events(void)
{
    QTestState *qts;

    server = ntb_server_start();
    a = ntb_boot(server, NULL);
    qts = ntb_boot_root_port(server);
    ntb_device_add(qts);
    b = ntb_open_plugged(qts);
    /* Power-up resets the switch too */
    g_assert_cmphex(resets_seen(), ==, 0);
    ntb_cfg_writew(b, IDT_CAP_PCIE + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR);
    g_assert_cmphex(resets_seen(), ==, 0);
    ntb_secondary_bus_reset(qts);
    g_assert_cmphex(resets_seen(), ==, 1 << (8 + b->partition));
    qtest_system_reset(qts);
    g_assert_cmphex(resets_seen(), ==, 1 << b->partition);
    ntb_quit(b);
    qtest_quit(qts);
    ntb_quit(a);
    ntb_server_stop(server);
}

/*
 * Protection
 */

static void test_gasaprot(void)
{
    setup();
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
    teardown();
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

static void test_ntmtblprot(void)
{
    setup();
    ntb_gas_write(a, A_NTMTBLPROT0 + 4 * PART_B, 1 << 5 | 1u << 31);
    for (unsigned i = 0; i < IDT_NUM_MTBL; i++) {
        bool kept = i / 2 == 5 || i / 2 == 31;

        write_entry(b, i, i << 1);
        g_assert_cmpint(take_error(b), ==, kept);
        g_assert_cmphex(ntb_mapping_entry(a, i), ==, kept ? 0 : i << 1);
        g_assert_cmpint(take_error(a), ==, false);
        /* Reading is no error; who is not kept out writes */
        g_assert_cmphex(ntb_mapping_entry(b, i), ==, kept ? 0 : i << 1);
        g_assert_cmpint(take_error(b), ==, false);
        write_entry(a, i, 2);
        g_assert_cmphex(ntb_mapping_entry(b, i), ==, 2);
    }
    /* Entries that are not there */
    write_entry(a, IDT_NUM_MTBL, 1);
    g_assert_true(take_error(a));
    g_assert_cmphex(ntb_mapping_entry(a, 127), ==, 0);
    g_assert_true(take_error(a));
    teardown();
}

/*
 * Bridge functions
 */

static void check_bridge(unsigned port, unsigned mode)
{
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

static void test_bridges(void)
{
    setup();
    set_port(a, 12, port_ctl(IDT_PORT_MODE_DOWNSTREAM, 0));
    for (unsigned i = 0; i < NTB_NUM_PORTS; i++) {
        check_bridge(ntb_ports[i], ntb_ports[i] == 12 ?
                     IDT_PORT_MODE_DOWNSTREAM : IDT_PORT_MODE_NT);
    }
    /* Ports that this chip has not */
    g_assert_cmphex(ntb_gas_read(a, 1 * IDT_GAS_PORT_STRIDE), ==, 0);
    g_assert_cmphex(ntb_gas_read(a, 23 * IDT_GAS_PORT_STRIDE), ==, 0);
    teardown();
}

static void add_tests(void)
{
    if (!ntb_machine_is_q35()) {
        return;
    }
    qtest_add_func("/idt-ntb/topology/partition-disable",
                   test_partition_disable);
    qtest_add_func("/idt-ntb/topology/partition-reset", test_partition_reset);
    qtest_add_func("/idt-ntb/topology/partition-events",
                   test_partition_events);
    qtest_add_func("/idt-ntb/topology/partition-empty", test_partition_empty);
    qtest_add_func("/idt-ntb/topology/partition-own", test_partition_own);
    qtest_add_func("/idt-ntb/topology/port-disable", test_port_disable);
    qtest_add_func("/idt-ntb/topology/port-enable", test_port_enable);
    qtest_add_func("/idt-ntb/topology/port-partition", test_port_partition);
    qtest_add_func("/idt-ntb/topology/port-modes", test_port_modes);
    qtest_add_func("/idt-ntb/topology/port-dead", test_port_dead);
    qtest_add_func("/idt-ntb/topology/port-dead-writer",
                   test_port_dead_writer);
    qtest_add_func("/idt-ntb/topology/partition-dead-writer",
                   test_partition_dead_writer);
    qtest_add_func("/idt-ntb/topology/random", test_random);
    win_add_case("topology/windows", test_windows);
    win_add_case_shared("topology/lower-port-is-free", test_lower_port_is_free);
    win_add_case_shared("topology/lower-port", test_lower_port);
    win_add_case_shared("topology/shared-entry", test_shared_entry);
    qtest_add_func("/idt-ntb/topology/reset-events", test_reset_events);
    qtest_add_func("/idt-ntb/protection/gasaprot", test_gasaprot);
    qtest_add_func("/idt-ntb/protection/ntmtblprot", test_ntmtblprot);
    qtest_add_func("/idt-ntb/bridge/functions", test_bridges);
}

libqos_init(add_tests);
