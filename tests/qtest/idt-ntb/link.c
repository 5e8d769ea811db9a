/*
 * QTest testcase for idt-ntb: attach, detach, reset, death of peer and server
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/wait.h>
#include "hw/pci/pci_regs.h"
#include "qobject/qdict.h"
#include "harness.h"
#include "tests.h"

static void listen_to_links(NtbPort *p)
{
    ntb_unmask_all(p);
    ntb_write(p, A_NTINTSTS, UINT32_MAX);
    ntb_write(p, A_INDBELLSTS, UINT32_MAX);
    ntb_write(p, A_MSGSTS, UINT32_MAX);
    ntb_gas_write(p, A_SELINKUPSTS, UINT32_MAX);
    ntb_gas_write(p, A_SELINKDNSTS, UINT32_MAX);
    ntb_settle(p->qts);
    ntb_msi_clear(p);
}

/* @p is told, by interrupt, that links @down went down and @up came up */
static void assert_link_events(NtbPort *p, uint32_t down, uint32_t up)
{
    ntb_wait(ntb_gas_read(p, A_SELINKDNSTS) == down &&
             ntb_gas_read(p, A_SELINKUPSTS) == up);
    ntb_assert_msi(p);
    g_assert_cmphex(ntb_read(p, A_NTINTSTS), ==, R_NTINTSTS_SEVENT_MASK);
    listen_to_links(p);
}

static bool link_up(NtbPort *p, unsigned port)
{
    return ntb_gas_read(p, ntb_gas_portsts(port)) & R_SWPORT0STS_LINKUP_MASK;
}

/* Leave a trace in all that a reset has to clear */
static void dirty(NtbPort *p)
{
    ntb_write(p, A_NTCTL, 0xf);
    ntb_write(p, A_NTSDATA, 0xdeadbeef);
    ntb_write(p, A_NTINTMSK, 0);
    ntb_write(p, A_INDBELLMSK, 0x12345678);
    ntb_write(p, A_OUTDBELLSET, 0xffff);
    ntb_write(p, A_MSGSTSMSK, 0);
    for (unsigned n = 0; n < IDT_NUM_MESSAGES; n++) {
        ntb_route_message(p, n, p->partition, n);
        ntb_write(p, A_OUTMSG0 + 4 * n, 0x77 + n);
        ntb_write(p, A_OUTMSG0 + 4 * n, 0x77 + n);
    }
    ntb_write(p, A_NTMTBLADDR, p->partition);
    ntb_write(p, A_NTMTBLDATA, R_NTMTBLDATA_VALID_MASK |
                               p->partition << R_NTMTBLDATA_PART_SHIFT);
    ntb_write(p, A_NTMTBLADDR, 0x33);
    ntb_write(p, A_GASAADDR, A_SEMSK);
}

/* The NT function of @port is as after a reset, seen from @viewer */
static void assert_clean(NtbPort *viewer, unsigned port)
{
    static const struct {
        uint32_t offset, value;
    } reset[] = {
        { A_NTCTL, 0 }, { A_NTINTSTS, 0 }, { A_NTINTMSK, 0xbb },
        { A_NTSDATA, 0 }, { A_INDBELLSTS, 0 }, { A_INDBELLMSK, UINT32_MAX },
        { A_OUTMSG0, 0 }, { A_OUTMSG0 + 12, 0 }, { A_INMSG0, 0 },
        { A_INMSG0 + 12, 0 }, { A_INMSGSRC0, 0 }, { A_INMSGSRC0 + 12, 0 },
        { A_MSGSTS, 0 }, { A_MSGSTSMSK, 0x000f000f }, { A_NTMTBLADDR, 0 },
        { A_BARSETUP0, 0x800004c0 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(reset); i++) {
        g_assert_cmphex(ntb_gas_read(viewer, ntb_gas_nt(port, reset[i].offset)),
                        ==, reset[i].value);
    }
    g_assert_cmphex(ntb_gas_read(viewer, ntb_gas_nt(port, PCI_COMMAND)) &
                    0xffff, ==, 0);
}

static uint32_t mapping_entry(NtbPort *p, unsigned entry)
{
    ntb_write(p, A_NTMTBLADDR, entry);
    return ntb_read(p, A_NTMTBLDATA);
}

/*
 * Attach and detach
 */

static void test_attach(void)
{
    NtbServer *server = ntb_server_start();
    NtbPort *a = ntb_boot(server, ",partitions=4");
    NtbPort *b, *c;

    g_assert_cmpuint(a->port, ==, 0);
    g_assert_true(link_up(a, 0));
    g_assert_false(link_up(a, 2));
    listen_to_links(a);

    /* The lowest free port, or the one that is asked for */
    b = ntb_boot(server, ",partitions=4,port=4");
    g_assert_cmpuint(b->port, ==, 4);
    assert_link_events(a, 0, 1 << 4);
    g_assert_true(link_up(a, 4));
    c = ntb_boot(server, ",partitions=4");
    g_assert_cmpuint(c->port, ==, 2);
    assert_link_events(a, 0, 1 << 2);
    ntb_quit(c);
    assert_link_events(a, 1 << 2, 0);
    g_assert_false(link_up(a, 2));
    c = ntb_boot(server, ",partitions=4");
    g_assert_cmpuint(c->port, ==, 2);
    assert_link_events(a, 0, 1 << 2);

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

    dirty(b);
    listen_to_links(a);
    ntb_quit(b);
    assert_link_events(a, 1 << 2, 0);
    assert_clean(a, 2);
    g_assert_cmphex(mapping_entry(a, 1), ==, 0);
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

    dirty(b);
    ntb_write(a, A_NTMTBLADDR, a->partition);
    ntb_write(a, A_NTMTBLDATA, theirs);
    ntb_write(a, A_NTSDATA, 0x5afe);
    listen_to_links(a);
    reset(b);
    assert_link_events(a, 1 << b->port, 1 << b->port);
    g_assert_true(link_up(a, b->port));
    assert_clean(a, b->port);
    /* The own entry of the mapping table goes, others' stay */
    g_assert_cmphex(mapping_entry(a, b->partition), ==, 0);
    g_assert_cmphex(mapping_entry(a, a->partition), ==, theirs);
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

/*
 * A child that rings and sends through @p without end; it ends with its QEMU.
 * Only the child talks to that QEMU from now on.
 */
static pid_t start_sender(NtbPort *p, unsigned seed)
{
    pid_t pid = ntb_fork();

    if (pid) {
        return pid;
    }
    for (unsigned i = seed;; i++) {
        ntb_write(p, A_OUTDBELLSET, 1u << (i % 32));
        ntb_write(p, A_OUTMSG0 + 4 * (i % 4), i);
        ntb_write(p, A_NTGSIGNAL, 1);
    }
}

static void test_hotplug(void)
{
    NtbServer *server = ntb_server_start();
    NtbPort *a = ntb_boot(server, NULL);
    QTestState *qts = ntb_boot_root_port(server);
    unsigned fds = 0, fds_a = 0;
    NtbPort *b;

    for (unsigned i = 0; i < 100; i++) {
        listen_to_links(a);
        ntb_device_add(qts);
        assert_link_events(a, 0, 1 << 2);
        b = ntb_open_plugged(qts);
        g_assert_cmpuint(b->port, ==, 2);
        if (i % 10 == 0) {
            ntb_assert_talk(a, b);
            ntb_assert_talk(b, a);
        }
        dirty(b);
        listen_to_links(a);
        ntb_quit(b);
        ntb_device_del(qts);
        assert_link_events(a, 1 << 2, 0);
        assert_clean(a, 2);
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
static void test_hotplug_plain_chardev(void)
{
    NtbServer *server = ntb_server_start();
    QTestState *qts;
    NtbPort *b;

    qts = qtest_initf("%s -chardev socket,path=%s,id=ntb "
                      "-device pcie-root-port,id=rp0,bus=pcie.0,addr=5.0,"
                      "chassis=1", ntb_machine_args(), server->socket);
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
    sender = start_sender(a, 0);
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
    ntb_wait(!link_up(b, 0));
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

/*
 * Death of a peer
 */

static void check_death(NtbPort *a, NtbPort *b)
{
    unsigned port = b->port;

    dirty(b);
    listen_to_links(a);
    ntb_kill(b);
    assert_link_events(a, 1 << port, 0);
    g_assert_false(link_up(a, port));
    assert_clean(a, port);
    /* Sending to the dead fails, and does no harm */
    ntb_write(a, A_OUTDBELLSET, UINT32_MAX);
    ntb_write(a, A_INDBELLSTS, UINT32_MAX);
    ntb_route_message(a, 0, 1, 0);
    ntb_write(a, A_OUTMSG0, 1);
    g_assert_cmphex(ntb_read(a, A_MSGSTS), ==, 1);
    ntb_write(a, A_MSGSTS, UINT32_MAX);
    ntb_settle(a->qts);
    ntb_msi_clear(a);
    assert_clean(a, port);
}

static void test_kill(void)
{
    NtbServer *server = ntb_server_start();
    NtbPort *a = ntb_boot(server, NULL);

    for (unsigned i = 0; i < 5; i++) {
        NtbPort *b;

        listen_to_links(a);
        b = ntb_boot(server, NULL);
        g_assert_cmpuint(b->port, ==, 2);
        assert_link_events(a, 0, 1 << 2);
        ntb_assert_talk(a, b);
        ntb_assert_talk(b, a);
        check_death(a, b);
    }
    ntb_quit(a);
    ntb_server_stop(server);
}

/* Nobody says anything: the server is dead, too */
static void test_kill_without_server(void)
{
    NtbServer *server = ntb_server_start_process();
    NtbPort *a = ntb_boot(server, NULL);
    NtbPort *b = ntb_boot(server, NULL);

    ntb_server_kill(server);
    check_death(a, b);
    ntb_quit(a);
    ntb_server_stop(server);
}

/* All are killed at once: the next finds what they left and makes it new */
static void test_kill_all(void)
{
    NtbServer *server = ntb_server_start();
    NtbPort *a = ntb_boot(server, ",partitions=3");
    NtbPort *b = ntb_boot(server, ",partitions=3");

    dirty(a);
    dirty(b);
    ntb_gas_write(a, A_GIDBELLMSK0, 0xff);
    ntb_kill(a);
    ntb_kill(b);
    a = ntb_boot(server, NULL);
    b = ntb_boot(server, NULL);
    g_assert_cmphex(ntb_gas_read(a, A_GIDBELLMSK0), ==, 0);
    ntb_assert_talk(a, b);
    ntb_assert_talk(b, a);
    ntb_quit(a);
    ntb_quit(b);
    ntb_server_stop(server);
}

static void freeze(NtbPort *p)
{
    int status;

    kill(qtest_pid(p->qts), SIGSTOP);
    g_assert_cmpint(waitpid(qtest_pid(p->qts), &status, WUNTRACED), >, 0);
    g_assert_true(WIFSTOPPED(status));
}

static void thaw(NtbPort *p)
{
    kill(qtest_pid(p->qts), SIGCONT);
}

/* @b took the port of a dead one and holds it, with all others looking on */
static void assert_kept(NtbPort *a, NtbPort *b, NtbPort *c)
{
    for (unsigned i = 0; i < 20; i++) {
        ntb_settle(a->qts);
        ntb_settle(c->qts);
        g_usleep(2000);
    }
    g_assert_true(link_up(a, 2));
    g_assert_cmphex(ntb_read(b, A_NTSDATA), ==, 0xb2);
    g_assert_cmphex(ntb_gas_read(a, A_SELINKDNSTS), ==, 0);
    ntb_assert_talk(a, b);
    ntb_assert_talk(b, c);
}

/* One survivor learns of the death when the port has a new owner already */
static void test_late_notice(void)
{
    NtbServer *server = ntb_server_start();
    NtbPort *a = ntb_boot(server, ",partitions=3");
    NtbPort *b = ntb_boot(server, ",partitions=3");
    NtbPort *c = ntb_boot(server, ",partitions=3");

    listen_to_links(a);
    freeze(c);
    ntb_kill(b);
    assert_link_events(a, 1 << 2, 0);
    b = ntb_boot(server, ",partitions=3");
    g_assert_cmpuint(b->port, ==, 2);
    assert_link_events(a, 0, 1 << 2);
    ntb_write(b, A_NTSDATA, 0xb2);
    thaw(c);
    assert_kept(a, b, c);
    ntb_quit(a);
    ntb_quit(b);
    ntb_quit(c);
    ntb_server_stop(server);
}

/* No survivor does: the new owner tells them of the death, and cleans up */
static void test_claim_before_notice(void)
{
    NtbServer *server = ntb_server_start();
    NtbPort *a = ntb_boot(server, ",partitions=3");
    NtbPort *b = ntb_boot(server, ",partitions=3");
    NtbPort *c = ntb_boot(server, ",partitions=3");

    dirty(b);
    listen_to_links(a);
    freeze(a);
    freeze(c);
    ntb_kill(b);
    b = ntb_boot(server, ",partitions=3");
    g_assert_cmpuint(b->port, ==, 2);
    g_assert_cmphex(ntb_read(b, A_INDBELLSTS), ==, 0);
    g_assert_cmphex(ntb_read(b, A_NTSDATA), ==, 0);
    ntb_write(b, A_NTSDATA, 0xb2);
    thaw(a);
    thaw(c);
    assert_link_events(a, 1 << 2, 1 << 2);
    assert_kept(a, b, c);
    ntb_quit(a);
    ntb_quit(b);
    ntb_quit(c);
    ntb_server_stop(server);
}

/* Two survivors, one clean-up */
static void test_kill_seen_by_two(void)
{
    NtbServer *server = ntb_server_start();
    NtbPort *a = ntb_boot(server, ",partitions=3");
    NtbPort *c = ntb_boot(server, ",partitions=3,port=4");

    for (unsigned i = 0; i < 5; i++) {
        NtbPort *b = ntb_boot(server, ",partitions=3");

        listen_to_links(a);
        listen_to_links(c);
        ntb_kill(b);
        assert_link_events(a, 1 << 2, 0);
        ntb_assert_msi(c);
        listen_to_links(c);
        for (unsigned k = 0; k < 20; k++) {
            ntb_assert_no_msi(a);
            ntb_assert_no_msi(c);
            g_usleep(2000);
        }
        g_assert_cmphex(ntb_gas_read(a, A_SELINKDNSTS), ==, 0);
    }
    ntb_quit(a);
    ntb_quit(c);
    ntb_server_stop(server);
}

static void test_kill_while_sending(void)
{
    NtbServer *server = ntb_server_start();
    NtbPort *a = ntb_boot(server, NULL);
    int64_t delay = 0;

    for (unsigned i = 0; i < 12; i++) {
        NtbPort *b = ntb_boot(server, NULL);
        pid_t sender;

        g_assert_cmpuint(b->port, ==, 2);
        for (unsigned n = 0; n < IDT_NUM_MESSAGES; n++) {
            ntb_route_message(b, n, 0, n);
        }
        listen_to_links(a);
        sender = start_sender(b, i);
        ntb_wait(ntb_gas_read(a, A_SEGSIGSTS));
        delay = (delay * 7 + 1313) % 5000;
        g_usleep(delay);
        ntb_write(a, A_INDBELLSTS, UINT32_MAX);
        ntb_write(a, A_MSGSTS, UINT32_MAX);
        ntb_kill(b);
        waitpid(sender, NULL, 0);

        ntb_wait(ntb_gas_read(a, A_SELINKDNSTS) == 1 << 2);
        ntb_wait(!link_up(a, 2));
        assert_clean(a, 2);
        /* What it sent is there and can be cleared; nothing hangs */
        ntb_gas_write(a, A_SEGSIGSTS, UINT32_MAX);
        ntb_write(a, A_INDBELLSTS, UINT32_MAX);
        ntb_write(a, A_MSGSTS, UINT32_MAX);
        ntb_write(a, A_NTINTSTS, UINT32_MAX);
        g_assert_cmphex(ntb_read(a, A_INDBELLSTS), ==, 0);
        g_assert_cmphex(ntb_read(a, A_MSGSTS), ==, 0);
        g_assert_cmphex(ntb_read(a, A_NTINTSTS), ==, 0);
    }
    ntb_quit(a);
    ntb_server_stop(server);
}

/*
 * Death of the server
 */

static void test_server_dies(void)
{
    NtbServer *server = ntb_server_start_process();
    NtbPort *a = ntb_boot(server, NULL);
    NtbPort *b = ntb_boot(server, NULL);

    ntb_server_kill(server);
    ntb_assert_talk(a, b);
    ntb_assert_talk(b, a);
    /* A detach is still noticed */
    listen_to_links(a);
    ntb_quit(b);
    assert_link_events(a, 1 << 2, 0);
    ntb_quit(a);
    ntb_server_stop(server);
}

/* The memory of a killed server is found by the next one, with all in it */
static void test_server_restarts(void)
{
    NtbServer *server = ntb_server_start_process();
    NtbPort *a = ntb_boot(server, ",partitions=4");
    NtbPort *b = ntb_boot(server, ",partitions=4");

    dirty(a);
    dirty(b);
    ntb_server_kill(server);
    ntb_kill(a);
    ntb_kill(b);
    ntb_server_restart(server);
    a = ntb_boot(server, ",partitions=2");
    b = ntb_boot(server, ",partitions=2");
    g_assert_cmpuint(a->port, ==, 0);
    g_assert_cmpuint(b->port, ==, 2);
    ntb_assert_talk(a, b);
    ntb_assert_talk(b, a);
    ntb_quit(a);
    ntb_quit(b);
    ntb_server_stop(server);
}

static NtbPort *boot_reconnecting(NtbServer *server)
{
    QTestState *qts;
    NtbPort *p;

    qts = qtest_initf("%s -chardev socket,path=%s,id=ntb,reconnect-ms=20 "
                      "-device idt-ntb,id=ntb0,chardev=ntb,bus=pcie.0,addr=4",
                      ntb_machine_args(), server->socket);
    p = ntb_open(qts, "ntb0", 0, 4 << 3, 0);
    p->owns_qemu = true;
    return p;
}

/* Changes when @p attaches anew: that resets its registers */
static void mark(NtbPort *p)
{
    ntb_write(p, A_NTSDATA, 0x1d7);
}

static bool is_marked(NtbPort *p)
{
    return ntb_read(p, A_NTSDATA) == 0x1d7;
}

/* Guests that go on meet again at the new server, on the memory it found */
static void test_server_returns(void)
{
    NtbServer *server = ntb_server_start_process();
    NtbPort *a = boot_reconnecting(server);
    NtbPort *b = boot_reconnecting(server);
    NtbPort *c;

    ntb_assert_talk(a, b);
    for (unsigned i = 0; i < 2; i++) {
        mark(a);
        mark(b);
        ntb_server_kill(server);
        ntb_assert_talk(b, a);
        ntb_server_restart(server);
        ntb_wait(!is_marked(a) && !is_marked(b));
        ntb_wait(link_up(a, 0) && link_up(a, 2));
        ntb_wait(link_up(b, 0) && link_up(b, 2));
        ntb_assert_talk(a, b);
        ntb_assert_talk(b, a);
    }
    /* A newcomer at the new server */
    ntb_kill(b);
    ntb_wait(!link_up(a, 2));
    c = ntb_boot(server, NULL);
    g_assert_cmpuint(c->port, ==, 2);
    ntb_assert_talk(a, c);
    ntb_assert_talk(c, a);
    ntb_quit(a);
    ntb_quit(c);
    ntb_server_stop(server);
}

void ntb_add_link_tests(void)
{
    qtest_add_func("/idt-ntb/link/attach", test_attach);
    qtest_add_func("/idt-ntb/link/last-one-out", test_last_one_out);
    qtest_add_func("/idt-ntb/link/detach", test_detach_cleans);
    qtest_add_func("/idt-ntb/reset/system", test_system_reset);
    qtest_add_func("/idt-ntb/reset/flr", test_flr);
    qtest_add_func("/idt-ntb/reset/bus", test_bus_reset);
    qtest_add_func("/idt-ntb/hotplug/100-times", test_hotplug);
    qtest_add_func("/idt-ntb/hotplug/plain-chardev",
                   test_hotplug_plain_chardev);
    qtest_add_func("/idt-ntb/hotplug/under-fire", test_hotplug_under_fire);
    qtest_add_func("/idt-ntb/hotplug/at-once", test_attach_at_once);
    qtest_add_func("/idt-ntb/hotplug/after-peer", test_unplug_after_peer);
    qtest_add_func("/idt-ntb/migration-blocked", test_migration_blocked);
    qtest_add_func("/idt-ntb/death/peer", test_kill);
    qtest_add_func("/idt-ntb/death/peer-without-server",
                   test_kill_without_server);
    qtest_add_func("/idt-ntb/death/all", test_kill_all);
    qtest_add_func("/idt-ntb/death/late-notice", test_late_notice);
    qtest_add_func("/idt-ntb/death/claim-before-notice",
                   test_claim_before_notice);
    qtest_add_func("/idt-ntb/death/seen-by-two", test_kill_seen_by_two);
    qtest_add_func("/idt-ntb/death/while-sending", test_kill_while_sending);
    qtest_add_func("/idt-ntb/death/server", test_server_dies);
    qtest_add_func("/idt-ntb/death/server-restarted", test_server_restarts);
    qtest_add_func("/idt-ntb/death/server-returns", test_server_returns);
}
