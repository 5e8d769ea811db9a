/*
 * QTest testcase for idt-ntb: hot-plug and reset beside busy ports
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <sys/wait.h>
#include "hw/misc/idt_ntb/shm.h"
#include "extra.h"

/* Reset a port while another one rings and sends without end */
static void test_reset_under_fire(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];
    pid_t sender;

    for (unsigned n = 0; n < IDT_NUM_MESSAGES; n++) {
        ntb_route_message(a, n, b->partition, n);
    }
    sender = ntb_start_sender(a, 0);
    for (unsigned i = 0; i < 50; i++) {
        ntb_unmask_all(b);
        ntb_assert_msi(b);
        ntb_wait(ntb_read(b, A_INDBELLSTS) == UINT32_MAX &&
                 ntb_read(b, A_MSGSTS) == 0x000f0000);
        ntb_function_reset(b);
        g_assert_cmphex(ntb_cfg_read(b, A_INDBELLMSK), ==, UINT32_MAX);
        g_assert_cmphex(ntb_cfg_read(b, A_NTINTMSK), ==, 0xbb);
        ntb_setup_function(b);
        ntb_assert_no_msi(b);
    }
    ntb_end_by_kill(f, 0);
    waitpid(sender, NULL, 0);
    ntb_wait(!ntb_link_up(b, 0));
}

/* As soon as the guest has let the device go, another one has its chardev */
static void test_hotplug_chardev_at_once(NtbFixture *f)
{
    QTestState *qts = f->root;

    for (unsigned i = 0; i < 50; i++) {
        ntb_plug(f, 0, NULL);
        ntb_end(f, 0);
        ntb_device_del_send(qts);
    }
    ntb_device_add(qts);
    ntb_device_del(qts);
}

/*
 * A server says to those who wait in their chardev who has joined: there is
 * nothing to warn of
 */
static void test_hotplug_silent(NtbFixture *f)
{
    g_autofree char *log = ntb_tmp_path("stderr");
    g_autofree char *machine = NULL;
    NtbPort *a, *b;

    machine = g_strdup_printf("%s 2>%s", ntb_next_machine(), log);
    f->root = ntb_boot_root_port(f->server, machine);
    a = ntb_start(f, 0, NULL);
    b = ntb_plug(f, 1, NULL);
    /* Longer than until the device looks */
    for (unsigned i = 0; i < 3; i++) {
        g_usleep(G_USEC_PER_SEC / 2);
        ntb_settle(f->root);
    }
    ntb_assert_talk(a, b);
    ntb_end(f, 0);
    ntb_end(f, 1);
    qtest_quit(g_steal_pointer(&f->root));
    g_assert_cmpuint(ntb_count_text(log, "warning"), ==, 0);
    g_unlink(log);
}

/* A chardev without reconnect option will do: the device connects it again */
static void test_hotplug_plain_chardev(NtbFixture *f)
{
    f->root = qtest_initf("%s -chardev socket,path=%s,id=ntb "
                      "-device pcie-root-port,id=rp0,bus=pcie.0,addr=5.0,"
                      "chassis=1", ntb_next_machine(), f->server->socket);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpuint(ntb_plug(f, 0, NULL)->port, ==, 0);
        ntb_unplug(f, 0);
    }
}

/* Plugged and unplugged while another port rings and sends without end */
static void test_hotplug_under_fire(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    pid_t sender;

    for (unsigned n = 0; n < IDT_NUM_MESSAGES; n++) {
        ntb_route_message(a, n, 1, n);
    }
    sender = ntb_start_sender(a, 0);
    for (unsigned i = 0; i < 20; i++) {
        NtbPort *b = ntb_plug(f, 1, ", 'partitions': 3");

        g_assert_cmpuint(b->port, ==, 2);
        ntb_unmask_all(b);
        ntb_assert_msi(b);
        ntb_wait(ntb_read(b, A_INDBELLSTS) == UINT32_MAX);
        ntb_unplug(f, 1);
    }
    ntb_end_by_kill(f, 0);
    waitpid(sender, NULL, 0);
}

/* Devices that come at the same time get a port each, in one switch */
static void test_attach_at_once(NtbFixture *f)
{
    QTestState *qts[4];

    for (unsigned i = 0; i < G_N_ELEMENTS(qts); i++) {
        qts[i] = ntb_boot_root_port(f->server, ntb_next_machine());
    }
    for (unsigned round = 0; round < 10; round++) {
        NtbPort *p[G_N_ELEMENTS(qts)];
        uint32_t taken = 0;

        for (unsigned i = 0; i < G_N_ELEMENTS(qts); i++) {
            ntb_device_add_send(qts[i], ", 'partitions': 4");
        }
        for (unsigned i = 0; i < G_N_ELEMENTS(qts); i++) {
            ntb_device_add_wait(qts[i]);
            p[i] = ntb_open_plugged(qts[i]);
            taken |= 1u << p[i]->port;
        }
        g_assert_cmphex(taken, ==, 0x55);
        ntb_assert_talk(p[round % 4], p[(round + 1) % 4]);
        for (unsigned i = 0; i < G_N_ELEMENTS(qts); i++) {
            ntb_quit(p[i]);
            ntb_device_del(qts[i]);
        }
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(qts); i++) {
        qtest_quit(qts[i]);
    }
}

/* An unplug is complete by itself: nobody has to clean up after it */
static void test_unplug_alone(NtbFixture *f)
{
    IdtNtbShm *shm = f->server->mem;
    NtbPort *a = f->ports[0];

    ntb_dirty(ntb_plug(f, 1, NULL));
    ntb_listen_to_links(a);
    ntb_freeze(a);
    ntb_unplug(f, 1);
    g_assert_cmphex(shm->slot[1].p.state, ==, IDT_NTB_PORT_FREE);
    g_assert_cmphex(shm->slot[1].p.ntsdata, ==, 0);
    g_assert_cmphex(shm->sw.selinkdnsts, ==, 1 << 2);
    ntb_thaw(a);
    ntb_assert_link_events(a, 1 << 2, 0);
}

/* The other side leaves first, then the device is unplugged */
static void test_unplug_after_peer(NtbFixture *f)
{
    NtbPort *a, *b = ntb_plug(f, 1, NULL);

    ntb_end_by_kill(f, 0);
    ntb_wait(!ntb_link_up(b, 0));
    ntb_unplug(f, 1);
    a = ntb_start(f, 0, NULL);
    b = ntb_plug(f, 1, NULL);
    ntb_assert_talk(a, b);
    ntb_assert_talk(b, a);
}

static const NtbTest tests[] = {
    { "reset/silences-a-port-that-is-signalled", test_reset_under_fire,
      .ports = 2, .q35 = true },
    { "hotplug/chardev-is-free-at-once", test_hotplug_chardev_at_once,
      .root_port = true, .q35 = true },
    { "hotplug/idle-chardev-warns-of-nothing", test_hotplug_silent,
      .q35 = true },
    { "hotplug/plain-chardev-reconnects", test_hotplug_plain_chardev,
      .q35 = true },
    { "hotplug/while-another-port-signals", test_hotplug_under_fire,
      .ports = 1, .partitions = 3, .root_port = true,
      .q35 = true },
    { "hotplug/four-at-once-get-four-ports", test_attach_at_once, .q35 = true },
    { "hotplug/unplug-needs-no-other-port", test_unplug_alone, .ports = 1,
      .root_port = true,
      .q35 = true },
    { "hotplug/unplug-after-the-peer-died", test_unplug_after_peer,
      .ports = 1, .root_port = true,
      .q35 = true },
};

ntb_tests(tests);
