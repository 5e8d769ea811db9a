/*
 * QTest testcase for idt-ntb: attach, detach, reset, hot-plug
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <sys/wait.h>
#include "qemu/module.h"
#include "hw/misc/idt_ntb/shm.h"
#include "hw/pci/pci_regs.h"
#include "qobject/qdict.h"
#include "harness.h"

/*
 * Attach and detach
 */

static void test_attach(void)
{
    NtbServer *server = ntb_server_start();
    NtbPort *a = ntb_boot(server, ",partitions=4");
    NtbPort *b, *c;

    g_assert_cmpuint(a->port, ==, 0);
    g_assert_true(ntb_link_up(a, 0));
    g_assert_false(ntb_link_up(a, 2));
    ntb_listen_to_links(a);

    /* The lowest free port, or the one that is asked for */
    b = ntb_boot(server, ",partitions=4,port=4");
    g_assert_cmpuint(b->port, ==, 4);
    ntb_assert_link_events(a, 0, 1 << 4);
    g_assert_true(ntb_link_up(a, 4));
    c = ntb_boot(server, ",partitions=4");
    g_assert_cmpuint(c->port, ==, 2);
    ntb_assert_link_events(a, 0, 1 << 2);
    ntb_quit(c);
    ntb_assert_link_events(a, 1 << 2, 0);
    g_assert_false(ntb_link_up(a, 2));
    c = ntb_boot(server, ",partitions=4");
    g_assert_cmpuint(c->port, ==, 2);
    ntb_assert_link_events(a, 0, 1 << 2);

    g_assert_cmpint(ntb_qom_int(c, "port"), ==, 2);
    g_assert_cmpint(ntb_qom_int(c, "partition"), ==, 1);
    g_assert_true(ntb_qom_bool(c, "link"));
    g_assert_cmpint(ntb_qom_int(b, "port"), ==, 4);
    g_assert_cmpint(ntb_qom_int(b, "partition"), ==, 2);

    ntb_assert_talk(a, c);
    ntb_assert_talk(c, b);
    ntb_assert_talk(b, a);
    ntb_quit(b);
    ntb_quit(c);
    ntb_quit(a);
    ntb_server_stop(server);
}

/* The switch outlives whoever made it, and is made anew after the last */
static void test_last_one_out(void)
{
    NtbServer *server = ntb_server_start();
    NtbPort *a = ntb_boot(server, ",partitions=3");
    NtbPort *b = ntb_boot(server, ",partitions=3");

    ntb_gas_write(a, A_GIDBELLMSK0, 0x2a);
    ntb_write(a, A_NTSDATA, 0xa);
    ntb_write(b, A_NTSDATA, 0xb);
    ntb_quit(a);
    a = ntb_boot(server, ",partitions=3");
    g_assert_cmpuint(a->port, ==, 0);
    g_assert_cmphex(ntb_gas_read(a, A_GIDBELLMSK0), ==, 0x2a);
    g_assert_cmphex(ntb_read(a, A_NTSDATA), ==, 0);
    g_assert_cmphex(ntb_read(b, A_NTSDATA), ==, 0xb);
    ntb_assert_talk(a, b);
    ntb_quit(a);
    ntb_quit(b);

    /* Another topology is no trouble now */
    a = ntb_boot(server, ",partitions=2,port=2");
    g_assert_cmphex(ntb_gas_read(a, A_GIDBELLMSK0), ==, 0);
    g_assert_cmphex(ntb_read(a, A_NTSDATA), ==, 0);
    g_assert_cmphex(ntb_gas_read(a, ntb_gas_partsts(2)), ==, 0);
    ntb_quit(a);
    ntb_server_stop(server);
}

static void test_detach_cleans(void)
{
    NtbServer *server = ntb_server_start();
    NtbPort *a = ntb_boot(server, NULL);
    NtbPort *b = ntb_boot(server, NULL);

    ntb_dirty(b);
    ntb_listen_to_links(a);
    ntb_quit(b);
    ntb_assert_link_events(a, 1 << 2, 0);
    ntb_assert_clean(a, 2);
    g_assert_cmphex(ntb_mapping_entry(a, 1), ==, 0);
    ntb_quit(a);
    ntb_server_stop(server);
}

/*
 * Reset
 */

static void reset_system(NtbPort *p)
{
    qtest_system_reset(p->qts);
}

static void reset_function(NtbPort *p)
{
    g_assert_cmphex(ntb_cfg_read(p, IDT_CAP_PCIE + PCI_EXP_DEVCAP) &
                    PCI_EXP_DEVCAP_FLR, !=, 0);
    ntb_cfg_writew(p, IDT_CAP_PCIE + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR);
}

static void reset_bus(NtbPort *p)
{
    ntb_secondary_bus_reset(p->qts);
}

/* After a reset: our registers are clean, the others saw down and up */
static void check_reset(NtbPort *a, NtbPort *b, void (*reset)(NtbPort *))
{
    uint32_t theirs = R_NTMTBLDATA_VALID_MASK | a->partition <<
                      R_NTMTBLDATA_PART_SHIFT;

    ntb_dirty(b);
    ntb_write(a, A_NTMTBLADDR, a->partition);
    ntb_write(a, A_NTMTBLDATA, theirs);
    ntb_write(a, A_NTSDATA, 0x5afe);
    ntb_listen_to_links(a);
    reset(b);
    ntb_assert_link_events(a, 1 << b->port, 1 << b->port);
    g_assert_true(ntb_link_up(a, b->port));
    ntb_assert_clean(a, b->port);
    /* The own entry of the mapping table goes, others' stay */
    g_assert_cmphex(ntb_mapping_entry(a, b->partition), ==, 0);
    g_assert_cmphex(ntb_mapping_entry(a, a->partition), ==, theirs);
    g_assert_cmphex(ntb_read(a, A_NTSDATA), ==, 0x5afe);
}

static void test_system_reset(void)
{
    NtbServer *server = ntb_server_start();
    NtbPort *a = ntb_boot(server, NULL);
    NtbPort *b = ntb_boot(server, NULL);
    NtbPort *again;

    for (unsigned i = 0; i < 5; i++) {
        check_reset(a, b, reset_system);
        /* All of the machine was reset, ECAM included */
        again = ntb_open(b->qts, b->id, 0, 4 << 3, 0);
        again->owns_qemu = true;
        g_free(b);
        b = again;
        g_assert_cmphex(ntb_read(b, A_GASAADDR), ==, 0);
        ntb_assert_talk(a, b);
        ntb_assert_talk(b, a);
    }
    ntb_quit(a);
    ntb_quit(b);
    ntb_server_stop(server);
}

static void test_flr(void)
{
    NtbServer *server = ntb_server_start();
    NtbPort *a = ntb_boot(server, NULL);
    NtbPort *b = ntb_boot(server, NULL);

    for (unsigned i = 0; i < 5; i++) {
        check_reset(a, b, reset_function);
        ntb_setup_function(b);
        ntb_assert_talk(a, b);
        ntb_assert_talk(b, a);
    }
    ntb_quit(a);
    ntb_quit(b);
    ntb_server_stop(server);
}

/* ... while another port rings and sends without end */
static void test_reset_under_fire(void)
{
    NtbServer *server = ntb_server_start();
    NtbPort *a = ntb_boot(server, NULL);
    NtbPort *b = ntb_boot(server, NULL);
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
        reset_function(b);
        g_assert_cmphex(ntb_cfg_read(b, A_INDBELLMSK), ==, UINT32_MAX);
        g_assert_cmphex(ntb_cfg_read(b, A_NTINTMSK), ==, 0xbb);
        ntb_setup_function(b);
        ntb_assert_no_msi(b);
    }
    ntb_kill(a);
    waitpid(sender, NULL, 0);
    ntb_wait(!ntb_link_up(b, 0));
    ntb_quit(b);
    ntb_server_stop(server);
}

static void test_bus_reset(void)
{
    NtbServer *server = ntb_server_start();
    NtbPort *a = ntb_boot(server, NULL);
    QTestState *qts = ntb_boot_root_port(server);
    NtbPort *b;

    ntb_device_add(qts);
    b = ntb_open_plugged(qts);
    for (unsigned i = 0; i < 5; i++) {
        check_reset(a, b, reset_bus);
        ntb_setup_function(b);
        ntb_assert_talk(a, b);
        ntb_assert_talk(b, a);
    }
    ntb_quit(b);
    qtest_quit(qts);
    ntb_quit(a);
    ntb_server_stop(server);
}

/*
 * Hot-plug
 */

static void test_hotplug(void)
{
    NtbServer *server = ntb_server_start();
    NtbPort *a = ntb_boot(server, NULL);
    QTestState *qts = ntb_boot_root_port(server);
    unsigned fds = 0, fds_a = 0;
    NtbPort *b;

    for (unsigned i = 0; i < 100; i++) {
        ntb_listen_to_links(a);
        ntb_device_add(qts);
        ntb_assert_link_events(a, 0, 1 << 2);
        b = ntb_open_plugged(qts);
        g_assert_cmpuint(b->port, ==, 2);
        if (i % 10 == 0) {
            ntb_assert_talk(a, b);
            ntb_assert_talk(b, a);
        }
        ntb_dirty(b);
        ntb_listen_to_links(a);
        ntb_quit(b);
        ntb_device_del(qts);
        ntb_assert_link_events(a, 1 << 2, 0);
        ntb_assert_clean(a, 2);
        if (i == 10) {
            ntb_settle(qts);
            fds = ntb_count_fds(qts);
            fds_a = ntb_count_fds(a->qts);
        }
    }
    /* The server's notice of the end may still be on its way to @a */
    ntb_settle(qts);
    ntb_wait(ntb_count_fds(qts) <= fds + 1);
    ntb_wait(ntb_count_fds(a->qts) <= fds_a + 1);
    qtest_quit(qts);
    ntb_quit(a);
    ntb_server_stop(server);
}

/* A chardev without reconnect option will do: the device connects it again */
/* As soon as the guest has let the device go, another one has its chardev */
static void test_hotplug_chardev_at_once(void)
{
    NtbServer *server = ntb_server_start();
    QTestState *qts = ntb_boot_root_port(server);

    for (unsigned i = 0; i < 50; i++) {
        ntb_device_add(qts);
        ntb_quit(ntb_open_plugged(qts));
        ntb_device_del_send(qts);
    }
    ntb_device_add(qts);
    ntb_device_del(qts);
    qtest_quit(qts);
    ntb_server_stop(server);
}

/*
 * A server says to those who wait in their chardev who has joined: there is
 * nothing to warn of
 */
static void test_hotplug_silent(void)
{
    NtbServer *server = ntb_server_start();
    g_autofree char *log = ntb_tmp_path("stderr");
    QTestState *qts = ntb_boot_root_port_args(server, "2>%s", log);
    NtbPort *a = ntb_boot(server, NULL), *b;

    ntb_device_add(qts);
    b = ntb_open_plugged(qts);
    /* Longer than until the device looks */
    for (unsigned i = 0; i < 3; i++) {
        g_usleep(G_USEC_PER_SEC / 2);
        ntb_settle(qts);
    }
    ntb_assert_talk(a, b);
    ntb_quit(a);
    ntb_quit(b);
    qtest_quit(qts);
    g_assert_cmpuint(ntb_count_text(log, "warning"), ==, 0);
    g_unlink(log);
    ntb_server_stop(server);
}

static void test_hotplug_plain_chardev(void)
{
    NtbServer *server = ntb_server_start();
    QTestState *qts;
    NtbPort *b;

    qts = qtest_initf("%s -chardev socket,path=%s,id=ntb "
                      "-device pcie-root-port,id=rp0,bus=pcie.0,addr=5.0,"
                      "chassis=1", ntb_next_machine(), server->socket);
    for (unsigned i = 0; i < 3; i++) {
        ntb_device_add(qts);
        b = ntb_open_plugged(qts);
        g_assert_cmpuint(b->port, ==, 0);
        ntb_quit(b);
        ntb_device_del(qts);
    }
    qtest_quit(qts);
    ntb_server_stop(server);
}

/* Plugged and unplugged while another port rings and sends without end */
static void test_hotplug_under_fire(void)
{
    NtbServer *server = ntb_server_start();
    NtbPort *a = ntb_boot(server, ",partitions=3");
    NtbPort *b;
    QTestState *qts = ntb_boot_root_port(server);
    pid_t sender;

    for (unsigned n = 0; n < IDT_NUM_MESSAGES; n++) {
        ntb_route_message(a, n, 1, n);
    }
    sender = ntb_start_sender(a, 0);
    for (unsigned i = 0; i < 20; i++) {
        ntb_device_add_with(qts, ", 'partitions': 3");
        b = ntb_open_plugged(qts);
        g_assert_cmpuint(b->port, ==, 2);
        ntb_unmask_all(b);
        ntb_assert_msi(b);
        ntb_wait(ntb_read(b, A_INDBELLSTS) == UINT32_MAX);
        ntb_quit(b);
        ntb_device_del(qts);
    }
    ntb_kill(a);
    waitpid(sender, NULL, 0);
    qtest_quit(qts);
    ntb_server_stop(server);
}

/* Who comes at the same time gets a port of its own, in one switch */
static void test_attach_at_once(void)
{
    QTestState *qts[4];
    NtbServer *server = ntb_server_start();

    for (unsigned i = 0; i < G_N_ELEMENTS(qts); i++) {
        qts[i] = ntb_boot_root_port(server);
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
    ntb_server_stop(server);
}

/* An unplug is complete by itself: nobody has to clean up after it */
static void test_unplug_alone(void)
{
    NtbServer *server = ntb_server_start();
    IdtNtbShm *shm = (IdtNtbShm *)server->mem;
    NtbPort *a = ntb_boot(server, NULL);
    QTestState *qts = ntb_boot_root_port(server);
    NtbPort *b;

    ntb_device_add(qts);
    b = ntb_open_plugged(qts);
    ntb_dirty(b);
    ntb_quit(b);
    ntb_listen_to_links(a);
    ntb_freeze(a);
    ntb_device_del(qts);
    g_assert_cmphex(shm->port[2].p.state, ==, IDT_NTB_PORT_FREE);
    g_assert_cmphex(shm->port[2].p.ntsdata, ==, 0);
    g_assert_cmphex(shm->sw.selinkdnsts, ==, 1 << 2);
    ntb_thaw(a);
    ntb_assert_link_events(a, 1 << 2, 0);
    qtest_quit(qts);
    ntb_quit(a);
    ntb_server_stop(server);
}

/* The other side leaves first, then the device is unplugged */
static void test_unplug_after_peer(void)
{
    NtbServer *server = ntb_server_start();
    NtbPort *a = ntb_boot(server, NULL);
    QTestState *qts = ntb_boot_root_port(server);
    NtbPort *b;

    ntb_device_add(qts);
    b = ntb_open_plugged(qts);
    ntb_kill(a);
    ntb_wait(!ntb_link_up(b, 0));
    ntb_quit(b);
    ntb_device_del(qts);
    a = ntb_boot(server, NULL);
    ntb_device_add(qts);
    b = ntb_open_plugged(qts);
    ntb_assert_talk(a, b);
    ntb_assert_talk(b, a);
    ntb_quit(b);
    qtest_quit(qts);
    ntb_quit(a);
    ntb_server_stop(server);
}

/* A guest that sees no migration is not migrated */
static void test_migration_blocked(void)
{
    NtbServer *server = ntb_server_start();
    NtbPort *a = ntb_boot(server, NULL);
    QDict *error;

    error = qtest_qmp_assert_failure_ref(a->qts, "{'execute': 'migrate',"
                                         "'arguments': {'uri': 'exec:cat'}}");
    g_assert_nonnull(strstr(qdict_get_str(error, "desc"), "idt-ntb"));
    qobject_unref(error);
    ntb_quit(a);
    ntb_server_stop(server);
}

static void add_tests(void)
{
    if (!ntb_machine_is_q35()) {
        return;
    }
    qtest_add_func("/idt-ntb/link/attach", test_attach);
    qtest_add_func("/idt-ntb/link/last-one-out", test_last_one_out);
    qtest_add_func("/idt-ntb/link/detach", test_detach_cleans);
    qtest_add_func("/idt-ntb/reset/system", test_system_reset);
    qtest_add_func("/idt-ntb/reset/flr", test_flr);
    qtest_add_func("/idt-ntb/reset/bus", test_bus_reset);
    qtest_add_func("/idt-ntb/reset/under-fire", test_reset_under_fire);
    qtest_add_func("/idt-ntb/hotplug/100-times", test_hotplug);
    qtest_add_func("/idt-ntb/hotplug/chardev-at-once",
                   test_hotplug_chardev_at_once);
    qtest_add_func("/idt-ntb/hotplug/silent", test_hotplug_silent);
    qtest_add_func("/idt-ntb/hotplug/plain-chardev",
                   test_hotplug_plain_chardev);
    qtest_add_func("/idt-ntb/hotplug/under-fire", test_hotplug_under_fire);
    qtest_add_func("/idt-ntb/hotplug/at-once", test_attach_at_once);
    qtest_add_func("/idt-ntb/hotplug/alone", test_unplug_alone);
    qtest_add_func("/idt-ntb/hotplug/after-peer", test_unplug_after_peer);
    qtest_add_func("/idt-ntb/migration-blocked", test_migration_blocked);
}

libqos_init(add_tests);
