/*
 * QTest testcase for idt-ntb: guests that sleep, or are switched off
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/module.h"
#include "hw/misc/idt_ntb/shm.h"
#include "hw/pci/pci_regs.h"
#include "idt-ntb/window.h"

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

static WinPair w;

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

static void start(WinPath path)
{
    win_start(&w, path, NULL);
    win_open(w.a, WIN_DIRECT64, w.b->partition, WIN_X);
    win_assert_shows(w.a, win_bar(w.a, WIN_DIRECT64), w.b, WIN_X);
    ntb_write(w.b, A_INDBELLMSK, 0);
    ntb_listen_to_links(w.a);
}

/* The guest of B is not to be reached: doorbells, messages, windows, link */
static void assert_unreachable(void)
{
    g_assert_false(ntb_link_up(w.a, w.b->port));
    ntb_write(w.a, A_OUTDBELLSET, 1);
    ntb_route_message(w.a, 0, w.b->partition, 0);
    ntb_write(w.a, A_OUTMSG0, 0x1234);
    g_assert_cmphex(ntb_read(w.a, A_MSGSTS) & R_MSGSTS_OUTMSGSTS_MASK, ==, 1);
    ntb_listen_to_links(w.a);
    win_assert_misses(w.a, win_bar(w.a, WIN_DIRECT64), w.b, WIN_X, 8);
    g_assert_cmpuint(win_mappings(w.a), ==, 0);
}

/* It is back, and what was sent meanwhile is lost */
static void assert_returned(void)
{
    g_assert_cmphex(ntb_gas_read(w.a, A_SEFRSTSTS), ==,
                    1 << w.b->partition);
    ntb_gas_write(w.a, A_SEFRSTSTS, UINT32_MAX);
    ntb_assert_link_events(w.a, 0, 1 << w.b->port);
    g_assert_true(ntb_link_up(w.a, w.b->port));
    ntb_assert_clean(w.a, w.b->port);
    win_reopen(&w.b);
    g_assert_cmphex(ntb_read(w.b, A_INDBELLSTS), ==, 0);
    ntb_assert_talk(w.a, w.b);
    ntb_assert_talk(w.b, w.a);
    win_assert_shows(w.a, win_bar(w.a, WIN_DIRECT64), w.b, WIN_X);
}

/* S3 is a link down for the others, its end a link up */
static void test_suspend(WinPath path)
{
    start(path);
    for (unsigned i = 0; i < 2; i++) {
        ntb_listen_to_links(w.a);
        suspend(w.b);
        ntb_assert_link_events(w.a, 1 << w.b->port, 0);
        assert_unreachable();
        wake(w.b);
        assert_returned();
    }
    win_stop(&w);
}

/* Nothing that others do wakes the link of a guest that sleeps */
static void test_asleep(void)
{
    uint32_t state;

    start(WIN_SHARED);
    state = A_SWPART0CTL + IDT_PART_STRIDE * w.b->partition;
    suspend(w.b);
    ntb_assert_link_events(w.a, 1 << w.b->port, 0);
    ntb_gas_write(w.a, state, IDT_PART_STATE_DISABLED);
    ntb_gas_write(w.a, state, IDT_PART_STATE_ACTIVE);
    ntb_wait(ntb_gas_read(w.a, ntb_gas_partsts(w.b->partition)) &
             R_SWPART0STS_SCC_MASK);
    ntb_settle(w.b->qts);
    assert_unreachable();
    /* A reset ends it as well; QEMU then waits to be told to go on */
    qtest_system_reset(w.b->qts);
    qtest_qmp_assert_success(w.b->qts, "{'execute': 'cont'}");
    assert_returned();
    win_stop(&w);
}

/* A port that sleeps does not ask the others for anything when it looks */
static void test_at_rest(void)
{
    uint32_t *requests, before;
    IdtNtbShm *shm;

    start(WIN_SHARED);
    shm = (IdtNtbShm *)w.server->mem;
    requests = &shm->slot[ntb_slot(w.a->port)].p.close_req;
    suspend(w.b);
    ntb_assert_link_events(w.a, 1 << w.b->port, 0);
    ntb_settle(w.b->qts);
    before = qatomic_read(requests);
    for (unsigned i = 0; i < 5; i++) {
        /* The owner is signalled */
        ntb_gas_write(w.a, ntb_gas_nt(w.b->port, A_NTSDATA), i);
        ntb_settle(w.b->qts);
    }
    g_assert_cmphex(qatomic_read(requests), ==, before);
    win_stop(&w);
}

static bool is_attached_in(NtbServer *server, unsigned port)
{
    IdtNtbShm *shm = (IdtNtbShm *)server->mem;

    return qatomic_read(&shm->slot[ntb_slot(port)].p.state) !=
           IDT_NTB_PORT_FREE;
}

/* It goes to a new switch in its sleep */
static void test_new_switch(void)
{
    w = (WinPair) { .server = ntb_server_start_process() };
    w.a = win_boot(w.server, WIN_SHARED, NULL, NULL);
    w.b = win_boot(w.server, WIN_SHARED, NULL, NULL);
    suspend(w.b);
    ntb_server_kill(w.server);
    ntb_server_restart_empty(w.server);
    ntb_wait(is_attached_in(w.server, w.a->port) &&
             is_attached_in(w.server, w.b->port));
    ntb_settle(w.a->qts);
    ntb_settle(w.b->qts);
    g_assert_true(ntb_link_up(w.a, w.a->port));
    g_assert_false(ntb_link_up(w.a, w.b->port));
    ntb_listen_to_links(w.a);
    wake(w.b);
    ntb_assert_link_events(w.a, 0, 1 << w.b->port);
    win_stop(&w);
}

/* A guest that switched itself off, in a QEMU that stays */
static void test_off(void)
{
    w = (WinPair) { .server = ntb_server_start() };
    w.a = win_boot(w.server, WIN_SHARED, NULL, NULL);
    w.b = win_boot(w.server, WIN_SHARED, "-action shutdown=pause", NULL);
    win_open(w.a, WIN_DIRECT64, w.b->partition, WIN_X);
    win_assert_shows(w.a, win_bar(w.a, WIN_DIRECT64), w.b, WIN_X);
    ntb_listen_to_links(w.a);
    sleep_in(w.b, SLEEP_S5);
    qtest_qmp_eventwait(w.b->qts, "STOP");
    ntb_assert_link_events(w.a, 1 << w.b->port, 0);
    assert_unreachable();
    qtest_system_reset(w.b->qts);
    qtest_qmp_assert_success(w.b->qts, "{'execute': 'cont'}");
    assert_returned();
    win_stop(&w);
}

/* QEMU ends while its guest sleeps: the link is down already */
static void test_end(void)
{
    unsigned port;

    start(WIN_SHARED);
    port = w.b->port;
    suspend(w.b);
    ntb_assert_link_events(w.a, 1 << port, 0);
    ntb_quit(w.b);
    w.b = win_boot(w.server, WIN_SHARED, NULL, NULL);
    g_assert_cmpuint(w.b->port, ==, port);
    ntb_assert_link_events(w.a, 0, 1 << port);
    win_stop(&w);
}

/* D3hot of the function alone: the link stays, memory is not decoded */
static void test_d3hot(void)
{
    start(WIN_SHARED);
    ntb_cfg_writew(w.b, IDT_CAP_PM + PCI_PM_CTRL, D3HOT);
    g_assert_true(ntb_link_up(w.a, w.b->port));
    g_assert_cmphex(ntb_gas_read(w.a, A_SELINKDNSTS), ==, 0);
    ntb_write(w.a, A_OUTDBELLSET, 1);
    g_assert_cmphex(ntb_cfg_read(w.b, A_INDBELLSTS), ==, 1);
    g_assert_cmphex(ntb_read(w.b, A_BARSETUP0), !=, 0x800004c0);
    win_assert_shows(w.a, win_bar(w.a, WIN_DIRECT64), w.b, WIN_X);
    ntb_cfg_writew(w.b, IDT_CAP_PM + PCI_PM_CTRL, 0);
    g_assert_cmphex(ntb_read(w.b, A_BARSETUP0), ==, 0x800004c0);
    g_assert_cmphex(ntb_read(w.b, A_INDBELLSTS), ==, 1);
    win_stop(&w);
}

static void add_tests(void)
{
    if (!ntb_machine_is_q35()) {
        return;
    }
    win_add_case("power/suspend", test_suspend);
    qtest_add_func("/idt-ntb/power/asleep", test_asleep);
    qtest_add_func("/idt-ntb/power/at-rest", test_at_rest);
    ntb_add_reconnect_test("/idt-ntb/power/new-switch", test_new_switch);
    qtest_add_func("/idt-ntb/power/off", test_off);
    qtest_add_func("/idt-ntb/power/end", test_end);
    qtest_add_func("/idt-ntb/power/d3hot", test_d3hot);
}

libqos_init(add_tests);
