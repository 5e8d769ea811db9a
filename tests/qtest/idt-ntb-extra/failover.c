/*
 * QTest testcase for idt-ntb: failover
 *
 * Port 0 looks on, port 2 is in partition 1, and port 4 stands by to take its
 * place there.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/module.h"
#include "idt-ntb/harness.h"
#include "image.h"
#include "idt-ntb/window.h"

#define OMCI    R_SWPORT0STS_OMCI_MASK
#define OMCC    R_SWPORT0STS_OMCC_MASK
#define FMCI    R_FCAP0STS_FMCI_MASK
#define FMCC    R_FCAP0STS_FMCC_MASK
#define PRIMARY         R_FCAP0CTL_PFTRG_MASK
#define SECONDARY       R_FCAP0CTL_SFTRG_MASK

#define CAP     2
#define LISTEN  (R_SWPORT0CTL_FEN_MASK | CAP << R_SWPORT0CTL_FCAPSEL_SHIFT)
#define PART    1

static NtbServer *server;
static NtbPort *a, *b, *c;

static uint32_t port_reg(unsigned port, uint32_t reg0)
{
    return reg0 + IDT_SWPORT_STRIDE * port;
}

static uint32_t part_reg(unsigned part, uint32_t reg0)
{
    return reg0 + IDT_PART_STRIDE * part;
}

static uint32_t cap_reg(unsigned cap, uint32_t reg0)
{
    return reg0 + IDT_FCAP_STRIDE * cap;
}

static uint32_t port_ctl(unsigned mode, unsigned part)
{
    return FIELD_DP32(mode, SWPORT0CTL, SWPART, part);
}

/* What SWPORTxFCTL has for both kinds of failover */
static uint32_t port_fctl(uint32_t primary, uint32_t secondary)
{
    return primary | secondary << IDT_FCAP_SECONDARY;
}

static void set_port(unsigned port, uint32_t ctl)
{
    uint32_t sts = ntb_gas_portsts(port);

    ntb_gas_write(a, port_reg(port, A_SWPORT0CTL), ctl);
    ntb_wait(ntb_gas_read(a, sts) & OMCC);
    ntb_gas_write(a, sts, OMCI | OMCC);
    g_assert_cmphex(ntb_gas_read(a, port_reg(port, A_SWPORT0CTL)), ==, ctl);
}

static void clear_status(void)
{
    for (unsigned i = 0; i < NTB_NUM_PORTS; i++) {
        ntb_gas_write(a, ntb_gas_portsts(ntb_ports[i]), UINT32_MAX);
    }
    for (unsigned i = 0; i < IDT_MAX_PARTITIONS; i++) {
        ntb_gas_write(a, ntb_gas_partsts(i), UINT32_MAX);
    }
    ntb_gas_write(a, cap_reg(CAP, A_FCAP0STS), FMCI | FMCC);
    g_assert_cmphex(ntb_gas_read(a, cap_reg(CAP, A_FCAP0STS)), ==, 0);
}

/* A primary failover puts @c in the place of @b, a secondary one back */
static void arm(void)
{
    set_port(c->port, port_ctl(IDT_PORT_MODE_DISABLED, 2) | LISTEN);
    ntb_gas_write(a, port_reg(c->port, A_SWPORT0FCTL),
                  port_fctl(IDT_PORT_MODE_NT |
                            PART << R_SWPORT0FCTL_PFSWPART_SHIFT |
                            7 << R_SWPORT0FCTL_PFDEVNUM_SHIFT,
                            port_ctl(IDT_PORT_MODE_DISABLED, 2)));
    set_port(b->port, port_ctl(IDT_PORT_MODE_NT, PART) | LISTEN |
                      IDT_PORT_OMA_RESET << R_SWPORT0CTL_OMA_SHIFT);
    ntb_gas_write(a, port_reg(b->port, A_SWPORT0FCTL),
                  port_fctl(port_ctl(IDT_PORT_MODE_UNATTACHED, PART),
                            port_ctl(IDT_PORT_MODE_NT, PART)));
    clear_status();
}

static void setup(void)
{
    server = ntb_server_start();
    a = ntb_boot(server, ",partitions=3");
    b = ntb_boot(server, ",partitions=3");
    c = ntb_boot(server, ",partitions=3");
    g_assert_cmpuint(b->partition, ==, PART);
}

static void teardown(void)
{
    ntb_quit(c);
    ntb_quit(b);
    ntb_quit(a);
    ntb_server_stop(server);
}

static void trigger(uint32_t kind)
{
    uint32_t sts = cap_reg(CAP, A_FCAP0STS);

    ntb_gas_write(a, cap_reg(CAP, A_FCAP0CTL), kind);
    g_assert_cmphex(ntb_gas_read(a, sts) & FMCI, ==, FMCI);
    ntb_wait(ntb_gas_read(a, sts) == (FMCI | FMCC));
    g_assert_cmphex(ntb_gas_read(a, cap_reg(CAP, A_FCAP0CTL)), ==, 0);
}

static void assert_port(unsigned port, unsigned mode, unsigned part,
                        unsigned devnum, uint32_t bits)
{
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

/* What is sent to the partition comes to @to, which has taken it over */
static void assert_takes_over(NtbPort *to)
{
    ntb_wait(ntb_link_up(a, to->port));
    ntb_setup_function(to);
    to->partition = PART;
    ntb_assert_talk(a, to);
    ntb_assert_talk(to, a);
}

static void test_standby(void)
{
    const uint32_t primary = OMCI | OMCC | R_SWPORT0STS_PFAILOVER_MASK;
    const uint32_t secondary = OMCI | OMCC | R_SWPORT0STS_SFAILOVER_MASK;

    setup();
    arm();
    g_assert_false(ntb_link_up(a, c->port));
    for (unsigned i = 0; i < 2; i++) {
        trigger(PRIMARY);
        assert_port(b->port, IDT_PORT_MODE_UNATTACHED, PART, 0, primary);
        assert_port(c->port, IDT_PORT_MODE_NT, PART, 7, primary);
        g_assert_false(ntb_link_up(a, b->port));
        assert_takes_over(c);
        clear_status();
        assert_port(c->port, IDT_PORT_MODE_NT, PART, 7, 0);

        trigger(SECONDARY);
        assert_port(b->port, IDT_PORT_MODE_NT, PART, 0, secondary);
        assert_port(c->port, IDT_PORT_MODE_DISABLED, 2, 0, secondary);
        g_assert_false(ntb_link_up(a, c->port));
        assert_takes_over(b);
        clear_status();
    }
    /* What is there already is no change, but a failover */
    trigger(SECONDARY);
    assert_port(b->port, IDT_PORT_MODE_NT, PART, 0,
                R_SWPORT0STS_SFAILOVER_MASK);
    g_assert_true(ntb_link_up(a, b->port));
    teardown();
}

/* A board's EEPROM arms it: the standby guest attaches to an unattached port */
static void test_standby_of_image(void)
{
    static const uint32_t bar0[IDT_NUM_BARS] = { 0x800004c0 };
    GByteArray *image = g_byte_array_new();
    g_autofree char *props = NULL;
    char *path;

    image_topology(image, 2);
    image_write(image, port_reg(2, A_SWPORT0FCTL),
                port_ctl(IDT_PORT_MODE_UNATTACHED, PART));
    image_write(image, port_reg(2, A_SWPORT0CTL),
                port_ctl(IDT_PORT_MODE_NT, PART) | LISTEN |
                IDT_PORT_OMA_RESET << R_SWPORT0CTL_OMA_SHIFT);
    image_write(image, port_reg(4, A_SWPORT0FCTL),
                port_ctl(IDT_PORT_MODE_NT, PART));
    image_port(image, 4, port_ctl(IDT_PORT_MODE_UNATTACHED, 2) | LISTEN);
    image_bars(image, 4, bar0);
    image_end(image);
    path = image_save(image);
    server = ntb_server_start();
    props = g_strdup_printf(",port=4,eeprom=%s", path);
    c = ntb_boot(server, props);
    a = ntb_boot(server, NULL);
    b = ntb_boot(server, NULL);
    g_assert_cmpuint(a->port, ==, 0);
    g_assert_cmpuint(b->port, ==, 2);
    g_assert_false(ntb_qom_bool(c, "link"));
    ntb_assert_talk(a, b);
    trigger(PRIMARY);
    assert_takes_over(c);
    g_assert_true(ntb_qom_bool(c, "link"));
    g_assert_cmpint(ntb_qom_int(c, "partition"), ==, PART);
    teardown();
    image_free(path);
}

/* FEN and FCAPSEL: a port that listens to another capability, or to none */
static void test_select(void)
{
    uint32_t nt = port_ctl(IDT_PORT_MODE_NT, PART);
    const uint32_t others[] = {
        nt, nt | CAP << R_SWPORT0CTL_FCAPSEL_SHIFT,
        nt | (LISTEN ^ 1 << R_SWPORT0CTL_FCAPSEL_SHIFT),
    };

    setup();
    arm();
    for (unsigned i = 0; i < G_N_ELEMENTS(others); i++) {
        set_port(b->port, others[i]);
        set_port(c->port, port_ctl(IDT_PORT_MODE_DISABLED, 2));
        clear_status();
        ntb_listen_to_links(a);
        trigger(PRIMARY);
        g_assert_cmphex(ntb_gas_read(a, ntb_gas_portsts(b->port)) &
                        (OMCI | OMCC | R_SWPORT0STS_PFAILOVER_MASK), ==, 0);
        g_assert_true(ntb_link_up(a, b->port));
        g_assert_false(ntb_link_up(a, c->port));
        g_assert_cmphex(ntb_gas_read(a, A_SELINKDNSTS), ==, 0);
    }
    /* A mode that the port can't have leaves it as it is */
    set_port(b->port, nt | LISTEN);
    ntb_gas_write(a, port_reg(b->port, A_SWPORT0FCTL), 0xf);
    clear_status();
    trigger(PRIMARY);
    assert_port(b->port, IDT_PORT_MODE_NT, PART, 0,
                R_SWPORT0STS_PFAILOVER_MASK);
    teardown();
}

static void test_partition(void)
{
    const uint32_t listen = R_SWPART0CTL_FEN_MASK |
                            CAP << R_SWPART0CTL_FCAPSEL_SHIFT;
    uint32_t sts = ntb_gas_partsts(PART);

    setup();
    ntb_gas_write(a, part_reg(PART, A_SWPART0CTL),
                  IDT_PART_STATE_ACTIVE | listen);
    /* That was no change of the state */
    g_assert_true(ntb_link_up(a, b->port));
    ntb_gas_write(a, part_reg(PART, A_SWPART0FCTL), IDT_PART_STATE_DISABLED |
                  IDT_PART_STATE_ACTIVE << IDT_FCAP_SECONDARY);
    clear_status();
    trigger(PRIMARY);
    g_assert_cmphex(ntb_gas_read(a, sts) & 0x6f, ==,
                    R_SWPART0STS_SCI_MASK | R_SWPART0STS_SCC_MASK |
                    R_SWPART0STS_PFAILOVER_MASK);
    g_assert_cmphex(ntb_gas_read(a, part_reg(PART, A_SWPART0CTL)), ==, listen);
    g_assert_false(ntb_link_up(a, b->port));
    clear_status();
    trigger(SECONDARY);
    g_assert_cmphex(ntb_gas_read(a, sts) & 0x6f, ==,
                    R_SWPART0STS_SCI_MASK | R_SWPART0STS_SCC_MASK |
                    R_SWPART0STS_SFAILOVER_MASK |
                    IDT_PART_STATE_ACTIVE << R_SWPART0STS_STATE_SHIFT);
    assert_takes_over(b);
    /* A state that does not exist */
    ntb_gas_write(a, part_reg(PART, A_SWPART0FCTL), IDT_PART_STATE_RESERVED);
    trigger(PRIMARY);
    g_assert_true(ntb_link_up(a, b->port));
    teardown();
}

static void assert_interrupt(uint32_t bits)
{
    ntb_assert_msi(a);
    ntb_wait(ntb_read(a, A_NTINTSTS) == bits);
    ntb_write(a, A_NTINTSTS, bits);
    ntb_settle(a->qts);
    ntb_msi_clear(a);
}

/* FMCI and FMCC of the partitions that select it, and a switch event */
static void test_events(void)
{
    const uint32_t both = R_NTINTSTS_FMCI_MASK | R_NTINTSTS_FMCC_MASK;

    setup();
    arm();
    ntb_gas_write(a, A_SEMSK, UINT32_MAX);
    ntb_write(a, A_NTINTSTS, UINT32_MAX);
    ntb_write(a, A_NTINTMSK, 0);
    trigger(PRIMARY);
    ntb_assert_no_msi(a);
    g_assert_cmphex(ntb_read(a, A_NTINTSTS), ==, 0);

    ntb_gas_write(a, part_reg(0, A_SWPART0CTL), IDT_PART_STATE_ACTIVE |
                  CAP << R_SWPART0CTL_FCAPSEL_SHIFT);
    trigger(SECONDARY);
    assert_interrupt(both);
    ntb_write(a, A_NTINTMSK, ~R_NTINTSTS_FMCC_MASK);
    trigger(PRIMARY);
    assert_interrupt(both);

    /* SESTS.FAILOVER while FCAPxSTS is not 0, and its three masks */
    ntb_gas_write(a, part_reg(0, A_SWPART0CTL), IDT_PART_STATE_ACTIVE);
    ntb_write(a, A_NTINTMSK, ~R_NTINTSTS_SEVENT_MASK);
    ntb_gas_write(a, A_SEPMSK, 0xfe);
    ntb_gas_write(a, A_SEMSK, ~R_SESTS_FAILOVER_MASK);
    g_assert_cmphex(ntb_gas_read(a, A_SESTS), ==, 0);
    ntb_gas_write(a, A_SEFOVRMSK, ~(1u << CAP));
    g_assert_cmphex(ntb_gas_read(a, A_SESTS), ==, R_SESTS_FAILOVER_MASK);
    trigger(SECONDARY);
    assert_interrupt(R_NTINTSTS_SEVENT_MASK);
    ntb_gas_write(a, A_SEFOVRMSK, 1u << CAP);
    trigger(PRIMARY);
    ntb_assert_no_msi(a);
    clear_status();
    ntb_gas_write(a, A_SEFOVRMSK, 0);
    g_assert_cmphex(ntb_gas_read(a, A_SESTS), ==, 0);
    teardown();
}

/* The failover from a guest that hangs: it is over when that guest ends */
static void test_hung(void)
{
    uint32_t sts = cap_reg(CAP, A_FCAP0STS);

    setup();
    arm();
    ntb_freeze(b);
    ntb_gas_write(a, cap_reg(CAP, A_FCAP0CTL), PRIMARY);
    assert_takes_over(c);
    g_assert_cmphex(ntb_gas_read(a, sts), ==, FMCI);
    ntb_kill(b);
    ntb_wait(ntb_gas_read(a, sts) == (FMCI | FMCC));
    assert_port(2, IDT_PORT_MODE_UNATTACHED, PART, 0,
                OMCI | OMCC | R_SWPORT0STS_PFAILOVER_MASK);
    assert_takes_over(c);
    ntb_quit(c);
    ntb_quit(a);
    ntb_server_stop(server);
}

/* OMA decides whether a function that stays one is reset */
static void test_action(void)
{
    setup();
    ntb_gas_write(a, part_reg(5, A_SWPART0CTL), IDT_PART_STATE_ACTIVE);
    ntb_gas_write(a, port_reg(b->port, A_SWPORT0FCTL),
                  port_fctl(port_ctl(IDT_PORT_MODE_NT, 5),
                            port_ctl(IDT_PORT_MODE_NT, PART)));
    for (unsigned oma = 0; oma < 2; oma++) {
        set_port(b->port, port_ctl(IDT_PORT_MODE_NT, PART) | LISTEN |
                          oma << R_SWPORT0CTL_OMA_SHIFT);
        clear_status();
        ntb_setup_function(b);
        ntb_write(b, A_NTSDATA, 0x5afe);
        ntb_listen_to_links(a);
        trigger(PRIMARY);
        ntb_wait(ntb_link_up(a, b->port));
        g_assert_cmphex(ntb_gas_read(a, ntb_gas_nt(b->port, A_NTSDATA)), ==,
                        oma ? 0 : 0x5afe);
        g_assert_cmphex(ntb_gas_read(a, A_SELINKDNSTS), ==,
                        oma ? 1 << b->port : 0);
        ntb_setup_function(b);
        b->partition = 5;
        ntb_assert_talk(a, b);
        ntb_assert_talk(b, a);
        trigger(SECONDARY);
        ntb_wait(ntb_link_up(a, b->port));
        b->partition = PART;
    }
    teardown();
}

/* A window onto the partition shows the memory of the guest that is there */
static void test_windows(WinPath path)
{
    WinPair w;
    uint64_t base;

    win_start(&w, path, ",partitions=3");
    a = w.a;
    b = w.b;
    c = win_boot(w.server, path, NULL, ",partitions=3");
    arm();
    base = win_bar(a, WIN_DIRECT32);
    win_open(a, WIN_DIRECT32, PART, WIN_X);
    win_assert_hits(a, base, b, WIN_X, 8);
    win_setup_function(c);
    for (unsigned i = 0; i < 2; i++) {
        trigger(PRIMARY);
        ntb_wait(ntb_link_up(a, c->port));
        win_assert_hits(a, base, c, WIN_X, 8);
        win_assert_path(a, path);
        trigger(SECONDARY);
        ntb_wait(ntb_link_up(a, b->port));
        win_setup_function(b);
        win_assert_hits(a, base, b, WIN_X, 8);
        win_setup_function(c);
    }
    ntb_quit(c);
    win_stop(&w);
}

/* A change without a reset closes the windows all the same */
static void test_windows_action(WinPath path)
{
    WinPair w;
    uint64_t base;

    win_start(&w, path, NULL);
    a = w.a;
    b = w.b;
    base = win_bar(a, WIN_DIRECT32);
    ntb_gas_write(a, part_reg(5, A_SWPART0CTL), IDT_PART_STATE_ACTIVE);
    win_open(a, WIN_DIRECT32, PART, WIN_X);
    win_assert_hits(a, base, b, WIN_X, 8);
    set_port(b->port, port_ctl(IDT_PORT_MODE_NT, 5));
    win_assert_misses(a, base, b, WIN_X, 8);
    g_assert_cmpuint(win_mappings(a), ==, 0);
    set_port(b->port, port_ctl(IDT_PORT_MODE_NT, PART));
    win_assert_hits(a, base, b, WIN_X, 8);
    win_stop(&w);
}

/* ... and what was posted before it is not executed after it */
static void test_posted_action(WinPath path)
{
    WinPair w;
    uint64_t base, before;

    win_start(&w, path, ",completion-timeout=2000");
    a = w.a;
    b = w.b;
    base = win_bar(a, WIN_DIRECT32);
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
    set_port(b->port, port_ctl(IDT_PORT_MODE_NT, PART));
    win_sync(b);
    g_assert_cmphex(ntb_mem_read(b->qts, WIN_X, 8), ==, before);
    ntb_wait(ntb_mem_read(a->qts, base, 8) == before);
    win_stop(&w);
}

static void add_tests(void)
{
    if (!ntb_machine_is_q35()) {
        return;
    }
    qtest_add_func("/idt-ntb/failover/standby", test_standby);
    qtest_add_func("/idt-ntb/failover/standby-of-image",
                   test_standby_of_image);
    qtest_add_func("/idt-ntb/failover/select", test_select);
    qtest_add_func("/idt-ntb/failover/partition", test_partition);
    qtest_add_func("/idt-ntb/failover/events", test_events);
    qtest_add_func("/idt-ntb/failover/hung", test_hung);
    qtest_add_func("/idt-ntb/failover/action", test_action);
    win_add_case("failover/windows", test_windows);
    win_add_case("failover/windows-action", test_windows_action);
    win_add_case_at("failover/posted-action", test_posted_action, WIN_PLAIN);
}

libqos_init(add_tests);
