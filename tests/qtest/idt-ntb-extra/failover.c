/*
 * QTest testcase for idt-ntb: failover
 *
 * ports[0] looks on, ports[1] is in partition 1, and ports[2] stands by to take
 * its place there.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "extra.h"
#include "control.h"
#include "image.h"

#define FMCI    R_FCAP0STS_FMCI_MASK
#define FMCC    R_FCAP0STS_FMCC_MASK
#define PRIMARY         R_FCAP0CTL_PFTRG_MASK
#define SECONDARY       R_FCAP0CTL_SFTRG_MASK

#define CAP     2
#define LISTEN  (R_SWPORT0CTL_FEN_MASK | CAP << R_SWPORT0CTL_FCAPSEL_SHIFT)
#define PART    1

static uint32_t cap_reg(unsigned cap, uint32_t reg0)
{
    return reg0 + IDT_FCAP_STRIDE * cap;
}

/* SWPORTxFCTL for both kinds of failover */
static uint32_t port_fctl(uint32_t primary, uint32_t secondary)
{
    return primary | secondary << IDT_FCAP_SECONDARY;
}

static void clear_status(NtbFixture *f)
{
    NtbPort *a = f->ports[0];

    for (unsigned i = 0; i < NTB_NUM_PORTS; i++) {
        ntb_gas_write(a, ntb_gas_portsts(ntb_ports[i]), UINT32_MAX);
    }
    for (unsigned i = 0; i < IDT_MAX_PARTITIONS; i++) {
        ntb_gas_write(a, ntb_gas_partsts(i), UINT32_MAX);
    }
    ntb_gas_write(a, cap_reg(CAP, A_FCAP0STS), FMCI | FMCC);
    g_assert_cmphex(ntb_gas_read(a, cap_reg(CAP, A_FCAP0STS)), ==, 0);
}

/* A primary failover puts ports[2] in the place of ports[1] */
static void arm(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1], *c = f->ports[2];

    set_port(a, c->port, port_ctl(IDT_PORT_MODE_DISABLED, 2) | LISTEN);
    ntb_gas_write(a, port_reg(c->port, A_SWPORT0FCTL),
                  port_fctl(IDT_PORT_MODE_NT |
                            PART << R_SWPORT0FCTL_PFSWPART_SHIFT |
                            7 << R_SWPORT0FCTL_PFDEVNUM_SHIFT,
                            port_ctl(IDT_PORT_MODE_DISABLED, 2)));
    set_port(a, b->port, port_ctl(IDT_PORT_MODE_NT, PART) | LISTEN |
                         IDT_PORT_OMA_RESET << R_SWPORT0CTL_OMA_SHIFT);
    ntb_gas_write(a, port_reg(b->port, A_SWPORT0FCTL),
                  port_fctl(port_ctl(IDT_PORT_MODE_UNATTACHED, PART),
                            port_ctl(IDT_PORT_MODE_NT, PART)));
    clear_status(f);
}

static void trigger(NtbFixture *f, uint32_t kind)
{
    NtbPort *a = f->ports[0];
    uint32_t sts = cap_reg(CAP, A_FCAP0STS);

    ntb_gas_write(a, cap_reg(CAP, A_FCAP0CTL), kind);
    g_assert_cmphex(ntb_gas_read(a, sts) & FMCI, ==, FMCI);
    ntb_wait(ntb_gas_read(a, sts) == (FMCI | FMCC));
    g_assert_cmphex(ntb_gas_read(a, cap_reg(CAP, A_FCAP0CTL)), ==, 0);
}

static void assert_port(NtbFixture *f, unsigned port, unsigned mode,
                        unsigned part, unsigned devnum, uint32_t bits)
{
    NtbPort *a = f->ports[0];
    uint32_t sts = ntb_gas_read(a, ntb_gas_portsts(port)) &
                   ~R_SWPORT0STS_LINKUP_MASK;
    uint32_t ctl = ntb_gas_read(a, port_reg(port, A_SWPORT0CTL));
    uint32_t value = FIELD_DP32(bits, SWPORT0STS, MODE, mode);

    value = FIELD_DP32(value, SWPORT0STS, SWPART, part);
    value = FIELD_DP32(value, SWPORT0STS, DEVNUM, devnum);
    g_assert_cmphex(sts, ==, value);
    g_assert_cmpuint(FIELD_EX32(ctl, SWPORT0CTL, MODE), ==, mode);
    g_assert_cmpuint(FIELD_EX32(ctl, SWPORT0CTL, SWPART), ==, part);
    g_assert_cmpuint(FIELD_EX32(ctl, SWPORT0CTL, DEVNUM), ==, devnum);
    g_assert_cmphex(ctl & LISTEN, ==, LISTEN);
}

/* Messages to the partition come to @to, which has taken it over */
static void assert_takes_over(NtbFixture *f, NtbPort *to)
{
    NtbPort *a = f->ports[0];

    ntb_wait(ntb_link_up(a, to->port));
    ntb_setup_function(to);
    to->partition = PART;
    ntb_assert_talk(a, to);
    ntb_assert_talk(to, a);
}

static void test_standby(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1], *c = f->ports[2];
    const uint32_t primary = OMCI | OMCC | R_SWPORT0STS_PFAILOVER_MASK;
    const uint32_t secondary = OMCI | OMCC | R_SWPORT0STS_SFAILOVER_MASK;

    arm(f);
    g_assert_false(ntb_link_up(a, c->port));
    for (unsigned i = 0; i < 2; i++) {
        trigger(f, PRIMARY);
        assert_port(f, b->port, IDT_PORT_MODE_UNATTACHED, PART, 0, primary);
        assert_port(f, c->port, IDT_PORT_MODE_NT, PART, 7, primary);
        g_assert_false(ntb_link_up(a, b->port));
        assert_takes_over(f, c);
        clear_status(f);
        assert_port(f, c->port, IDT_PORT_MODE_NT, PART, 7, 0);

        trigger(f, SECONDARY);
        assert_port(f, b->port, IDT_PORT_MODE_NT, PART, 0, secondary);
        assert_port(f, c->port, IDT_PORT_MODE_DISABLED, 2, 0, secondary);
        g_assert_false(ntb_link_up(a, c->port));
        assert_takes_over(f, b);
        clear_status(f);
    }
    /* A failover to the same mode changes nothing, but shows in the status */
    trigger(f, SECONDARY);
    assert_port(f, b->port, IDT_PORT_MODE_NT, PART, 0,
                R_SWPORT0STS_SFAILOVER_MASK);
    g_assert_true(ntb_link_up(a, b->port));
}

/* The EEPROM arms it: the standby guest attaches to an unattached port */
static void test_standby_of_image(NtbFixture *f)
{
    static const uint32_t bar0[IDT_NUM_BARS] = { 0x800004c0 };
    GByteArray *image = image_new(2);
    g_autoptr(ImagePath) path = NULL;
    NtbPort *a, *b, *c;

    image_write(image, port_reg(2, A_SWPORT0FCTL),
                port_ctl(IDT_PORT_MODE_UNATTACHED, PART));
    image_write(image, port_reg(2, A_SWPORT0CTL),
                port_ctl(IDT_PORT_MODE_NT, PART) | LISTEN |
                IDT_PORT_OMA_RESET << R_SWPORT0CTL_OMA_SHIFT);
    image_write(image, port_reg(4, A_SWPORT0FCTL),
                port_ctl(IDT_PORT_MODE_NT, PART));
    image_port(image, 4, port_ctl(IDT_PORT_MODE_UNATTACHED, 2) | LISTEN);
    image_bars(image, 4, bar0);
    path = image_finish(image);
    c = image_start(f, 2, path, ",port=4");
    a = ntb_start(f, 0, NULL);
    b = ntb_start(f, 1, NULL);
    g_assert_cmpuint(a->port, ==, 0);
    g_assert_cmpuint(b->port, ==, 2);
    g_assert_false(ntb_qom_bool(c, "link"));
    ntb_assert_talk(a, b);
    trigger(f, PRIMARY);
    assert_takes_over(f, c);
    g_assert_true(ntb_qom_bool(c, "link"));
    g_assert_cmpint(ntb_qom_int(c, "partition"), ==, PART);
}

/* FEN and FCAPSEL: a port obeys one capability, or none */
static void test_select(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1], *c = f->ports[2];
    uint32_t nt = port_ctl(IDT_PORT_MODE_NT, PART);
    const uint32_t others[] = {
        nt, nt | CAP << R_SWPORT0CTL_FCAPSEL_SHIFT,
        nt | (LISTEN ^ 1 << R_SWPORT0CTL_FCAPSEL_SHIFT),
    };

    arm(f);
    for (unsigned i = 0; i < G_N_ELEMENTS(others); i++) {
        set_port(a, b->port, others[i]);
        set_port(a, c->port, port_ctl(IDT_PORT_MODE_DISABLED, 2));
        clear_status(f);
        ntb_listen_to_links(a);
        trigger(f, PRIMARY);
        g_assert_cmphex(ntb_gas_read(a, ntb_gas_portsts(b->port)) &
                        (OMCI | OMCC | R_SWPORT0STS_PFAILOVER_MASK), ==, 0);
        g_assert_true(ntb_link_up(a, b->port));
        g_assert_false(ntb_link_up(a, c->port));
        g_assert_cmphex(ntb_gas_read(a, A_SELINKDNSTS), ==, 0);
    }
    /* A mode that the port can't have changes nothing */
    set_port(a, b->port, nt | LISTEN);
    ntb_gas_write(a, port_reg(b->port, A_SWPORT0FCTL), 0xf);
    clear_status(f);
    trigger(f, PRIMARY);
    assert_port(f, b->port, IDT_PORT_MODE_NT, PART, 0,
                R_SWPORT0STS_PFAILOVER_MASK);
}

static void test_partition(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    const uint32_t listen = R_SWPART0CTL_FEN_MASK |
                            CAP << R_SWPART0CTL_FCAPSEL_SHIFT;
    uint32_t sts = ntb_gas_partsts(PART);

    ntb_gas_write(a, part_reg(PART, A_SWPART0CTL),
                  IDT_PART_STATE_ACTIVE | listen);
    /* That was no change of the state */
    g_assert_true(ntb_link_up(a, b->port));
    ntb_gas_write(a, part_reg(PART, A_SWPART0FCTL), IDT_PART_STATE_DISABLED |
                  IDT_PART_STATE_ACTIVE << IDT_FCAP_SECONDARY);
    clear_status(f);
    trigger(f, PRIMARY);
    g_assert_cmphex(ntb_gas_read(a, sts) & 0x6f, ==,
                    SCI | SCC | R_SWPART0STS_PFAILOVER_MASK);
    g_assert_cmphex(ntb_gas_read(a, part_reg(PART, A_SWPART0CTL)), ==, listen);
    g_assert_false(ntb_link_up(a, b->port));
    clear_status(f);
    trigger(f, SECONDARY);
    g_assert_cmphex(ntb_gas_read(a, sts) & 0x6f, ==,
                    SCI | SCC | R_SWPART0STS_SFAILOVER_MASK |
                    IDT_PART_STATE_ACTIVE << R_SWPART0STS_STATE_SHIFT);
    assert_takes_over(f, b);
    /* A reserved state changes nothing */
    ntb_gas_write(a, part_reg(PART, A_SWPART0FCTL), IDT_PART_STATE_RESERVED);
    trigger(f, PRIMARY);
    g_assert_true(ntb_link_up(a, b->port));
}

static void assert_interrupt(NtbFixture *f, uint32_t bits)
{
    NtbPort *a = f->ports[0];

    ntb_assert_msi(a);
    ntb_wait(ntb_read(a, A_NTINTSTS) == bits);
    ntb_write(a, A_NTINTSTS, bits);
    ntb_settle(a->qts);
    ntb_msi_clear(a);
}

/* Partitions that select the capability get FMCI, FMCC; all get SEVENT */
static void test_events(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    const uint32_t both = R_NTINTSTS_FMCI_MASK | R_NTINTSTS_FMCC_MASK;

    arm(f);
    ntb_gas_write(a, A_SEMSK, UINT32_MAX);
    ntb_write(a, A_NTINTSTS, UINT32_MAX);
    ntb_write(a, A_NTINTMSK, 0);
    trigger(f, PRIMARY);
    ntb_assert_no_msi(a);
    g_assert_cmphex(ntb_read(a, A_NTINTSTS), ==, 0);

    ntb_gas_write(a, part_reg(0, A_SWPART0CTL), IDT_PART_STATE_ACTIVE |
                  CAP << R_SWPART0CTL_FCAPSEL_SHIFT);
    trigger(f, SECONDARY);
    assert_interrupt(f, both);
    ntb_write(a, A_NTINTMSK, ~R_NTINTSTS_FMCC_MASK);
    trigger(f, PRIMARY);
    assert_interrupt(f, both);

    /* SESTS.FAILOVER while FCAPxSTS is not 0, and its three masks */
    ntb_gas_write(a, part_reg(0, A_SWPART0CTL), IDT_PART_STATE_ACTIVE);
    ntb_write(a, A_NTINTMSK, ~R_NTINTSTS_SEVENT_MASK);
    ntb_gas_write(a, A_SEPMSK, 0xfe);
    ntb_gas_write(a, A_SEMSK, ~R_SESTS_FAILOVER_MASK);
    g_assert_cmphex(ntb_gas_read(a, A_SESTS), ==, 0);
    ntb_gas_write(a, A_SEFOVRMSK, ~(1u << CAP));
    g_assert_cmphex(ntb_gas_read(a, A_SESTS), ==, R_SESTS_FAILOVER_MASK);
    trigger(f, SECONDARY);
    assert_interrupt(f, R_NTINTSTS_SEVENT_MASK);
    ntb_gas_write(a, A_SEFOVRMSK, 1u << CAP);
    trigger(f, PRIMARY);
    ntb_assert_no_msi(a);
    clear_status(f);
    ntb_gas_write(a, A_SEFOVRMSK, 0);
    g_assert_cmphex(ntb_gas_read(a, A_SESTS), ==, 0);
}

/* A failover from a guest that hangs completes when that guest ends */
static void test_hung(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *c = f->ports[2];
    uint32_t sts = cap_reg(CAP, A_FCAP0STS);

    arm(f);
    ntb_freeze(f->ports[1]);
    ntb_gas_write(a, cap_reg(CAP, A_FCAP0CTL), PRIMARY);
    assert_takes_over(f, c);
    g_assert_cmphex(ntb_gas_read(a, sts), ==, FMCI);
    ntb_end_by_kill(f, 1);
    ntb_wait(ntb_gas_read(a, sts) == (FMCI | FMCC));
    assert_port(f, 2, IDT_PORT_MODE_UNATTACHED, PART, 0,
                OMCI | OMCC | R_SWPORT0STS_PFAILOVER_MASK);
    assert_takes_over(f, c);
}

/* OMA says whether a function that stays one is reset */
static void test_action(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    ntb_gas_write(a, part_reg(5, A_SWPART0CTL), IDT_PART_STATE_ACTIVE);
    ntb_gas_write(a, port_reg(b->port, A_SWPORT0FCTL),
                  port_fctl(port_ctl(IDT_PORT_MODE_NT, 5),
                            port_ctl(IDT_PORT_MODE_NT, PART)));
    for (unsigned oma = 0; oma < 2; oma++) {
        set_port(a, b->port, port_ctl(IDT_PORT_MODE_NT, PART) | LISTEN |
                             oma << R_SWPORT0CTL_OMA_SHIFT);
        clear_status(f);
        ntb_setup_function(b);
        ntb_write(b, A_NTSDATA, 0x5afe);
        ntb_listen_to_links(a);
        trigger(f, PRIMARY);
        ntb_wait(ntb_link_up(a, b->port));
        g_assert_cmphex(ntb_gas_read(a, ntb_gas_nt(b->port, A_NTSDATA)), ==,
                        oma ? 0 : 0x5afe);
        g_assert_cmphex(ntb_gas_read(a, A_SELINKDNSTS), ==,
                        oma ? 1 << b->port : 0);
        ntb_setup_function(b);
        b->partition = 5;
        ntb_assert_talk(a, b);
        ntb_assert_talk(b, a);
        trigger(f, SECONDARY);
        ntb_wait(ntb_link_up(a, b->port));
        b->partition = PART;
    }
}

/* A window onto the partition shows the memory of the guest that is there */
static void test_windows(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1], *c = f->ports[2];
    uint64_t base = win_bar(a, WIN_DIRECT32);

    arm(f);
    win_open(a, WIN_DIRECT32, PART, WIN_X);
    win_assert_hits(a, base, b, WIN_X, 8);
    win_setup_function(c);
    for (unsigned i = 0; i < 2; i++) {
        trigger(f, PRIMARY);
        ntb_wait(ntb_link_up(a, c->port));
        win_assert_hits(a, base, c, WIN_X, 8);
        win_assert_path(a, f->path);
        trigger(f, SECONDARY);
        ntb_wait(ntb_link_up(a, b->port));
        win_setup_function(b);
        win_assert_hits(a, base, b, WIN_X, 8);
        win_setup_function(c);
    }
}

/* A change without a reset closes windows too */
static void test_windows_action(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint64_t base = win_bar(a, WIN_DIRECT32);

    ntb_gas_write(a, part_reg(5, A_SWPART0CTL), IDT_PART_STATE_ACTIVE);
    win_open(a, WIN_DIRECT32, PART, WIN_X);
    win_assert_hits(a, base, b, WIN_X, 8);
    set_port(a, b->port, port_ctl(IDT_PORT_MODE_NT, 5));
    win_assert_misses(a, base, b, WIN_X, 8);
    g_assert_cmpuint(win_mappings(a), ==, 0);
    set_port(a, b->port, port_ctl(IDT_PORT_MODE_NT, PART));
    win_assert_hits(a, base, b, WIN_X, 8);
}

/* Posted writes are not executed after a change without a reset */
static void test_posted_action(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint64_t base = win_bar(a, WIN_DIRECT32), before;

    ntb_gas_write(a, part_reg(5, A_SWPART0CTL), IDT_PART_STATE_ACTIVE);
    win_open(a, WIN_DIRECT32, PART, WIN_X);
    win_assert_hits(a, base, b, WIN_X, 8);
    before = ntb_mem_read(b->qts, WIN_X, 8);
    ntb_freeze(b);
    ntb_mem_write(a->qts, base, 8, win_value());
    ntb_gas_write(a, port_reg(b->port, A_SWPORT0CTL),
                  port_ctl(IDT_PORT_MODE_NT, 5));
    ntb_thaw(b);
    ntb_wait(ntb_gas_read(a, ntb_gas_portsts(b->port)) & OMCC);
    ntb_wait(ntb_link_up(a, b->port));
    set_port(a, b->port, port_ctl(IDT_PORT_MODE_NT, PART));
    win_sync(b);
    g_assert_cmphex(ntb_mem_read(b->qts, WIN_X, 8), ==, before);
    ntb_wait(ntb_mem_read(a->qts, base, 8) == before);
}

static const NtbTest tests[] = {
    { "failover/standby-port-takes-over-and-back", test_standby, .ports = 3,
      .q35 = true },
    { "failover/image-can-arm-it", test_standby_of_image, .q35 = true },
    { "failover/obeys-the-selected-capability", test_select, .ports = 3,
      .q35 = true },
    { "failover/changes-the-partition-state", test_partition, .ports = 3,
      .q35 = true },
    { "failover/raises-events", test_events, .ports = 3, .q35 = true },
    { "failover/from-a-guest-that-hangs", test_hung, .ports = 3, .q35 = true },
    { "failover/resets-the-function-if-oma-says-so", test_action, .ports = 3,
      .q35 = true },
    { "failover/windows-follow-the-partition", test_windows, .ports = 3,
      .windows = WIN_EACH, .q35 = true },
    { "failover/change-without-reset-closes-windows", test_windows_action,
      .ports = 2, .windows = WIN_EACH, .q35 = true },
    { "failover/change-without-reset-drops-posted-writes", test_posted_action,
      .ports = 2, .props = ",completion-timeout=2000",
      .windows = WIN_ONLY(WIN_PLAIN), .q35 = true },
};

ntb_tests(tests);
