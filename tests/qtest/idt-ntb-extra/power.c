/*
 * QTest testcase for idt-ntb: guests that sleep, or are switched off
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "hw/misc/idt_ntb/shm.h"
#include "hw/pci/pci_regs.h"
#include "extra.h"
#include "control.h"

/* Power management of the q35: registers of the LPC bridge, 00:1f.0 */
#define LPC_DEVFN       (0x1f << 3)
#define LPC_PMBASE      0x40
#define LPC_ACPI_CTRL   0x44
#define ACPI_CTRL_EN    0x80
#define PM_PORT         0x600
#define PM1_CONTROL     (PM_PORT + 4)
#define SLEEP_S3        (1 << 13 | 1 << 10)
#define SLEEP_S5        (1 << 13)

#define D3HOT           3

static void sleep_in(NtbPort *p, uint16_t state)
{
    uint64_t lpc = ntb_ecam(p->qts, 0, LPC_DEVFN);

    qtest_writel(p->qts, lpc + LPC_PMBASE, PM_PORT | 1);
    qtest_writeb(p->qts, lpc + LPC_ACPI_CTRL, ACPI_CTRL_EN);
    qtest_outw(p->qts, PM1_CONTROL, state);
}

static void suspend(NtbPort *p)
{
    sleep_in(p, SLEEP_S3);
    qtest_qmp_eventwait(p->qts, "SUSPEND");
}

static void wake(NtbPort *p)
{
    qtest_qmp_assert_success(p->qts, "{'execute': 'system_wakeup'}");
    qtest_qmp_eventwait(p->qts, "WAKEUP");
}

/* ports[0] has a window into the guest of ports[1], and looks at its link */
static void prepare(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    win_open(a, WIN_DIRECT64, b->partition, WIN_X);
    win_assert_shows(a, win_bar(a, WIN_DIRECT64), b, WIN_X);
    ntb_write(b, A_INDBELLMSK, 0);
    ntb_listen_to_links(a);
}

/* No doorbell, message or window reaches the guest of b, which has no link */
static void assert_unreachable(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    g_assert_false(ntb_link_up(a, b->port));
    ntb_write(a, A_OUTDBELLSET, 1);
    ntb_route_message(a, 0, b->partition, 0);
    ntb_write(a, A_OUTMSG0, 0x1234);
    g_assert_cmphex(ntb_read(a, A_MSGSTS) & R_MSGSTS_OUTMSGSTS_MASK, ==, 1);
    ntb_listen_to_links(a);
    win_assert_misses(a, win_bar(a, WIN_DIRECT64), b, WIN_X, 8);
    g_assert_cmpuint(win_mappings(a), ==, 0);
}

/* It is back; what was sent meanwhile is lost */
static void assert_returned(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    g_assert_cmphex(ntb_gas_read(a, A_SEFRSTSTS), ==, 1 << b->partition);
    ntb_gas_write(a, A_SEFRSTSTS, UINT32_MAX);
    ntb_assert_link_events(a, 0, 1 << b->port);
    g_assert_true(ntb_link_up(a, b->port));
    ntb_assert_clean(a, b->port);
    win_setup_function(b);
    g_assert_cmphex(ntb_read(b, A_INDBELLSTS), ==, 0);
    ntb_assert_talk(a, b);
    ntb_assert_talk(b, a);
    win_assert_shows(a, win_bar(a, WIN_DIRECT64), b, WIN_X);
}

static void test_suspend(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    for (unsigned i = 0; i < 2; i++) {
        ntb_listen_to_links(a);
        suspend(b);
        ntb_assert_link_events(a, 1 << b->port, 0);
        assert_unreachable(f);
        wake(b);
        assert_returned(f);
    }
}

/* Other ports cannot bring the link of a sleeping guest up */
static void test_asleep(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint32_t state = part_reg(b->partition, A_SWPART0CTL);

    suspend(b);
    ntb_assert_link_events(a, 1 << b->port, 0);
    ntb_gas_write(a, state, IDT_PART_STATE_DISABLED);
    ntb_gas_write(a, state, IDT_PART_STATE_ACTIVE);
    ntb_wait(ntb_gas_read(a, ntb_gas_partsts(b->partition)) &
             R_SWPART0STS_SCC_MASK);
    ntb_settle(b->qts);
    assert_unreachable(f);
    /* A reset wakes it too; QEMU then waits for cont */
    qtest_system_reset(b->qts);
    qtest_qmp_assert_success(b->qts, "{'execute': 'cont'}");
    assert_returned(f);
}

/* When a sleeping port is signalled, it sends no request */
static void test_at_rest(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    IdtNtbShm *shm = f->server->mem;
    uint32_t *requests = &shm->slot[ntb_slot(a->port)].p.close_req, before;

    suspend(b);
    ntb_assert_link_events(a, 1 << b->port, 0);
    ntb_settle(b->qts);
    before = qatomic_read(requests);
    for (unsigned i = 0; i < 5; i++) {
        /* The owner is signalled */
        ntb_gas_write(a, ntb_gas_nt(b->port, A_NTSDATA), i);
        ntb_settle(b->qts);
    }
    g_assert_cmphex(qatomic_read(requests), ==, before);
}

/* True in its sleep too */
static bool is_attached_in(NtbServer *server, unsigned port)
{
    IdtNtbShm *shm = server->mem;

    return qatomic_read(&shm->slot[ntb_slot(port)].p.state) !=
           IDT_NTB_PORT_FREE;
}

static void test_new_switch(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    suspend(b);
    ntb_server_kill(f->server);
    ntb_server_restart_empty(f->server);
    ntb_wait(is_attached_in(f->server, a->port) &&
             is_attached_in(f->server, b->port));
    ntb_settle(a->qts);
    ntb_settle(b->qts);
    g_assert_true(ntb_link_up(a, a->port));
    g_assert_false(ntb_link_up(a, b->port));
    ntb_listen_to_links(a);
    wake(b);
    ntb_assert_link_events(a, 0, 1 << b->port);
}

/* The QEMU of a guest that switched itself off goes on */
static void test_off(NtbFixture *f)
{
    NtbPort *b = f->ports[1];

    sleep_in(b, SLEEP_S5);
    qtest_qmp_eventwait(b->qts, "STOP");
    ntb_assert_link_events(f->ports[0], 1 << b->port, 0);
    assert_unreachable(f);
    qtest_system_reset(b->qts);
    qtest_qmp_assert_success(b->qts, "{'execute': 'cont'}");
    assert_returned(f);
}

/* The link is down already when QEMU ends */
static void test_end(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    unsigned port = b->port;

    suspend(b);
    ntb_assert_link_events(a, 1 << port, 0);
    ntb_end(f, 1);
    g_assert_cmpuint(ntb_start(f, 1, NULL)->port, ==, port);
    ntb_assert_link_events(a, 0, 1 << port);
}

/* The function decodes no memory in D3hot */
static void test_d3hot(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    ntb_cfg_writew(b, IDT_CAP_PM + PCI_PM_CTRL, D3HOT);
    g_assert_true(ntb_link_up(a, b->port));
    g_assert_cmphex(ntb_gas_read(a, A_SELINKDNSTS), ==, 0);
    ntb_write(a, A_OUTDBELLSET, 1);
    g_assert_cmphex(ntb_cfg_read(b, A_INDBELLSTS), ==, 1);
    g_assert_cmphex(ntb_read(b, A_BARSETUP0), !=, 0x800004c0);
    win_assert_shows(a, win_bar(a, WIN_DIRECT64), b, WIN_X);
    ntb_cfg_writew(b, IDT_CAP_PM + PCI_PM_CTRL, 0);
    g_assert_cmphex(ntb_read(b, A_BARSETUP0), ==, 0x800004c0);
    g_assert_cmphex(ntb_read(b, A_INDBELLSTS), ==, 1);
}

static const NtbTest tests[] = {
    { "power/suspend-takes-the-link-down", test_suspend, .ports = 2,
      .prepare = prepare, .windows = WIN_EACH, .q35 = true },
    { "power/sleeping-port-has-no-link", test_asleep, .ports = 2,
      .prepare = prepare, .windows = WIN_ONLY(WIN_SHARED), .q35 = true },
    { "power/sleeping-port-asks-for-nothing", test_at_rest, .ports = 2,
      .prepare = prepare, .windows = WIN_ONLY(WIN_SHARED), .q35 = true },
    { "power/sleeping-port-goes-to-a-new-switch", test_new_switch,
      .server = ntb_server_start_process, .ports = 2,
      .windows = WIN_ONLY(WIN_SHARED), .q35 = true, .needs = ntb_reconnects },
    { "power/shutdown-takes-the-link-down", test_off, .ports = 2,
      .args = "-action shutdown=pause", .prepare = prepare,
      .windows = WIN_ONLY(WIN_SHARED), .q35 = true },
    { "power/qemu-can-end-while-asleep", test_end, .ports = 2,
      .prepare = prepare, .windows = WIN_ONLY(WIN_SHARED), .q35 = true },
    { "power/d3hot-keeps-the-link", test_d3hot, .ports = 2,
      .prepare = prepare, .windows = WIN_ONLY(WIN_SHARED), .q35 = true },
};

ntb_tests(tests);
