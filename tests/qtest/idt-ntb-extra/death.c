/*
 * QTest testcase for idt-ntb: death of a peer, of the server
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <sys/wait.h>
#include "qemu/module.h"
#include "hw/misc/idt_ntb/shm.h"
#include "idt-ntb/harness.h"

/*
 * Death of a peer
 */

static void check_death(NtbPort *a, NtbPort *b)
{
    unsigned port = b->port;

    ntb_dirty(b);
    ntb_listen_to_links(a);
    ntb_kill(b);
    ntb_assert_link_events(a, 1 << port, 0);
    g_assert_false(ntb_link_up(a, port));
    ntb_assert_clean(a, port);
    /* Sending to the dead fails, and does no harm */
    ntb_write(a, A_OUTDBELLSET, UINT32_MAX);
    ntb_write(a, A_INDBELLSTS, UINT32_MAX);
    ntb_route_message(a, 0, 1, 0);
    ntb_write(a, A_OUTMSG0, 1);
    g_assert_cmphex(ntb_read(a, A_MSGSTS), ==, 1);
    ntb_write(a, A_MSGSTS, UINT32_MAX);
    ntb_settle(a->qts);
    ntb_msi_clear(a);
    ntb_assert_clean(a, port);
}

static void test_kill(void)
{
    NtbServer *server = ntb_server_start();
    NtbPort *a = ntb_boot(server, NULL);

    for (unsigned i = 0; i < 5; i++) {
        NtbPort *b;

        ntb_listen_to_links(a);
        b = ntb_boot(server, NULL);
        g_assert_cmpuint(b->port, ==, 2);
        ntb_assert_link_events(a, 0, 1 << 2);
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

    ntb_dirty(a);
    ntb_dirty(b);
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

/* @b took the port of a dead one and holds it, with all others looking on */
static void assert_kept(NtbPort *a, NtbPort *b, NtbPort *c)
{
    for (unsigned i = 0; i < 20; i++) {
        ntb_settle(a->qts);
        ntb_settle(c->qts);
        g_usleep(2000);
    }
    g_assert_true(ntb_link_up(a, 2));
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

    ntb_listen_to_links(a);
    ntb_freeze(c);
    ntb_kill(b);
    ntb_assert_link_events(a, 1 << 2, 0);
    b = ntb_boot(server, ",partitions=3");
    g_assert_cmpuint(b->port, ==, 2);
    ntb_assert_link_events(a, 0, 1 << 2);
    ntb_write(b, A_NTSDATA, 0xb2);
    ntb_thaw(c);
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
    IdtNtbShm *shm = (IdtNtbShm *)server->mem;

    ntb_dirty(b);
    ntb_listen_to_links(a);
    ntb_freeze(a);
    ntb_freeze(c);
    ntb_kill(b);
    b = ntb_boot(server, ",partitions=3");
    g_assert_cmpuint(b->port, ==, 2);
    /* The dead may have been writing their interrupt registers */
    g_assert_cmphex(qatomic_read(&shm->slot[ntb_slot(a->port)].p.irq_low), ==,
                    UINT32_MAX);
    g_assert_cmphex(qatomic_read(&shm->slot[ntb_slot(c->port)].p.irq_low), ==,
                    UINT32_MAX);
    g_assert_cmphex(ntb_read(b, A_INDBELLSTS), ==, 0);
    g_assert_cmphex(ntb_read(b, A_NTSDATA), ==, 0);
    ntb_write(b, A_NTSDATA, 0xb2);
    ntb_thaw(a);
    ntb_thaw(c);
    ntb_assert_link_events(a, 1 << 2, 1 << 2);
    assert_kept(a, b, c);
    ntb_quit(a);
    ntb_quit(b);
    ntb_quit(c);
    ntb_server_stop(server);
}

/*
 * Another process sits on the lock that a clean-up needs: nobody waits for it,
 * and the clean-up comes when it is free.
 */
static void test_kill_while_locked(void)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
    NtbServer *server = ntb_server_start();
    NtbPort *a = ntb_boot(server, NULL);
    NtbPort *b = ntb_boot(server, NULL);
    int fd = shm_open(server->shm_name, O_RDWR, 0);

    ntb_listen_to_links(a);
    g_assert_cmpint(fcntl(fd, F_OFD_SETLK, &lock), ==, 0);
    ntb_kill(b);
    for (unsigned i = 0; i < 20; i++) {
        g_usleep(2000);
        ntb_write(a, A_OUTDBELLSET, 1);
        ntb_assert_msi(a);
        ntb_write(a, A_INDBELLSTS, 1);
    }
    g_assert_cmphex(ntb_gas_read(a, A_SELINKDNSTS), ==, 0);
    close(fd);
    ntb_assert_link_events(a, 1 << 2, 0);
    ntb_assert_clean(a, 2);
    ntb_quit(a);
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

        ntb_listen_to_links(a);
        ntb_listen_to_links(c);
        ntb_kill(b);
        ntb_assert_link_events(a, 1 << 2, 0);
        ntb_assert_msi(c);
        ntb_listen_to_links(c);
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
        ntb_listen_to_links(a);
        sender = ntb_start_sender(b, i);
        ntb_wait(ntb_gas_read(a, A_SEGSIGSTS));
        delay = (delay * 7 + 1313) % 5000;
        g_usleep(delay);
        ntb_write(a, A_INDBELLSTS, UINT32_MAX);
        ntb_write(a, A_MSGSTS, UINT32_MAX);
        ntb_kill(b);
        waitpid(sender, NULL, 0);

        ntb_wait(ntb_gas_read(a, A_SELINKDNSTS) == 1 << 2);
        ntb_wait(!ntb_link_up(a, 2));
        ntb_assert_clean(a, 2);
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
    ntb_listen_to_links(a);
    ntb_quit(b);
    ntb_assert_link_events(a, 1 << 2, 0);
    ntb_quit(a);
    ntb_server_stop(server);
}

/* The memory of a killed server is found by the next one, with all in it */
static void test_server_restarts(void)
{
    NtbServer *server = ntb_server_start_process();
    NtbPort *a = ntb_boot(server, ",partitions=4");
    NtbPort *b = ntb_boot(server, ",partitions=4");

    ntb_dirty(a);
    ntb_dirty(b);
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
                      "-device idt-ntb,id=ntb0,chardev=ntb,bus=pcie.0,addr=4,"
                      "partitions=3",
                      ntb_next_machine(), server->socket);
    p = ntb_open(qts, "ntb0", 0, 4 << 3, 0);
    p->owns_qemu = true;
    return p;
}

#define MARK 0x1d7

static void mark(NtbPort *p)
{
    ntb_write(p, A_NTSDATA, MARK);
    ntb_listen_to_links(p);
}

/* @p was not reset */
static void assert_marked(NtbPort *p)
{
    g_assert_cmphex(ntb_read(p, A_NTSDATA), ==, MARK);
}

/*
 * Guests that go on do not notice that the server is another one, on the memory
 * that the killed one left.  Nothing is lost meanwhile, only late.
 */
static void test_server_returns(void)
{
    NtbServer *server = ntb_server_start_process();
    NtbPort *a = boot_reconnecting(server);
    NtbPort *b = boot_reconnecting(server);
    NtbPort *c;

    for (unsigned i = 0; i < 3; i++) {
        mark(a);
        mark(b);
        ntb_server_kill(server);
        ntb_assert_talk(b, a);
        ntb_server_restart(server);
        for (unsigned k = 0; k < 20; k++) {
            ntb_assert_talk(a, b);
            ntb_assert_talk(b, a);
            g_usleep(2000);
        }
        assert_marked(a);
        assert_marked(b);
        g_assert_cmphex(ntb_gas_read(a, A_SELINKDNSTS), ==, 0);
        g_assert_cmphex(ntb_gas_read(a, A_SELINKUPSTS), ==, 0);

        /* Newcomers are known to them: they are at the new server */
        c = ntb_boot(server, ",partitions=3");
        g_assert_cmpuint(c->port, ==, 4);
        ntb_assert_talk(a, c);
        ntb_assert_talk(b, c);
        ntb_assert_talk(c, a);
        ntb_assert_talk(c, b);
        ntb_kill(c);
        ntb_wait(!ntb_link_up(a, 4));
    }
    ntb_quit(a);
    ntb_quit(b);
    ntb_server_stop(server);
}

/* A port whose link is down by the topology: nothing has happened to it */
static void test_server_returns_to_disabled(void)
{
    const uint32_t nobody = 0xdead;     /* no client has this id */
    NtbServer *server = ntb_server_start_process();
    IdtNtbShmPort *p = &((IdtNtbShm *)server->mem)->slot[1].p;
    NtbPort *a = boot_reconnecting(server);
    NtbPort *b = boot_reconnecting(server);

    ntb_gas_write(a, ntb_gas_portsts(2) - 4, IDT_PORT_MODE_DISABLED);
    ntb_wait(ntb_gas_read(a, ntb_gas_portsts(2)) & R_SWPORT0STS_OMCC_MASK);
    ntb_setup_function(b);
    mark(b);
    ntb_server_kill(server);
    qatomic_set_mb(&p->client, nobody);
    ntb_server_restart(server);
    ntb_wait(qatomic_read(&p->client) != nobody);
    ntb_settle(b->qts);
    assert_marked(b);
    g_assert_false(ntb_link_up(a, 2));
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, 0);
    ntb_assert_no_msi(b);
    ntb_quit(a);
    ntb_quit(b);
    ntb_server_stop(server);
}

static bool is_up_in(NtbServer *server, unsigned port)
{
    IdtNtbShm *shm = (IdtNtbShm *)server->mem;

    return qatomic_read(&shm->slot[ntb_slot(port)].p.state) == IDT_NTB_PORT_UP;
}

/* The new server has new memory: the guests go on there */
static void test_server_returns_empty(void)
{
    NtbServer *server = ntb_server_start_process();
    NtbPort *a = boot_reconnecting(server);
    NtbPort *b = boot_reconnecting(server);

    for (unsigned i = 0; i < 3; i++) {
        mark(a);
        mark(b);
        ntb_server_kill(server);
        ntb_server_restart_empty(server);
        ntb_wait(is_up_in(server, 0) && is_up_in(server, 2));
        ntb_settle(a->qts);
        ntb_settle(b->qts);
        g_assert_true(ntb_link_up(a, 0) && ntb_link_up(a, 2));
        g_assert_true(ntb_link_up(b, 0) && ntb_link_up(b, 2));
        assert_marked(a);
        assert_marked(b);
        ntb_assert_talk(a, b);
        ntb_assert_talk(b, a);
    }
    ntb_quit(a);
    ntb_quit(b);
    ntb_server_stop(server);
}

static bool is_logged(const char *log, const char *what)
{
    g_autofree char *text = NULL;

    return g_file_get_contents(log, &text, NULL, NULL) && strstr(text, what);
}

/*
 * Others have made a switch on the new memory in which our reset image is
 * broken: we can't go on there, but without.
 */
static void test_server_returns_other(void)
{
    g_autofree char *log = ntb_tmp_path("stderr");
    NtbServer *server = ntb_server_start_process();
    IdtNtbShm *shm;
    uint32_t barsetup;
    QTestState *qts;
    NtbPort *a, *b;

    qts = qtest_initf("%s -chardev socket,path=%s,id=ntb,reconnect-ms=20 "
                      "-device idt-ntb,id=ntb0,chardev=ntb,bus=pcie.0,addr=4 "
                      "2>%s", ntb_next_machine(), server->socket, log);
    a = ntb_open(qts, "ntb0", 0, 4 << 3, 0);
    a->owns_qemu = true;
    mark(a);
    ntb_freeze(a);
    ntb_server_kill(server);
    ntb_server_restart_empty(server);
    b = ntb_boot(server, ",port=2");
    shm = (IdtNtbShm *)server->mem;
    barsetup = shm->reset_image[0].p.barsetup[1];
    shm->reset_image[0].p.barsetup[1] = R_BARSETUP0_EN_MASK;
    ntb_thaw(a);
    ntb_wait(is_logged(log, "port 0: BARSETUP1 = 0x80000000: SIZE"));
    assert_marked(a);
    g_assert_true(ntb_link_up(a, 0));
    g_assert_false(ntb_link_up(b, 0));
    /* The port is free for others, and for us when the switch fits again */
    shm->reset_image[0].p.barsetup[1] = barsetup;
    ntb_wait(is_up_in(server, 0));
    ntb_settle(a->qts);
    assert_marked(a);
    ntb_assert_talk(a, b);
    ntb_assert_talk(b, a);
    ntb_quit(a);
    ntb_quit(b);
    ntb_server_stop(server);
    g_unlink(log);
}

/*
 * A port that was enabled by a guest, and that no image knows: it makes a
 * switch like the old one, and has its port there
 */
static void test_server_returns_to_enabled(void)
{
    NtbServer *server = ntb_server_start_process();
    NtbPort *a = boot_reconnecting(server);
    NtbPort *b;

    ntb_gas_write(a, ntb_gas_portsts(2) - 4, IDT_PORT_MODE_DISABLED);
    ntb_gas_write(a, ntb_gas_portsts(4) - 4, IDT_PORT_MODE_DISABLED);
    ntb_gas_write(a, ntb_gas_portsts(12) - 4,
                  FIELD_DP32(IDT_PORT_MODE_NT, SWPORT0CTL, SWPART, 1));
    b = boot_reconnecting(server);
    g_assert_cmpuint(b->port, ==, 12);
    ntb_kill(a);
    mark(b);
    ntb_server_kill(server);
    ntb_server_restart_empty(server);
    ntb_wait(is_up_in(server, 12));
    ntb_settle(b->qts);
    assert_marked(b);
    g_assert_cmpint(ntb_qom_int(b, "partition"), ==, 1);
    a = ntb_boot(server, ",partitions=3");
    g_assert_cmpuint(a->port, ==, 0);
    ntb_assert_talk(a, b);
    ntb_assert_talk(b, a);
    ntb_quit(a);
    ntb_quit(b);
    ntb_server_stop(server);
}

static void add_tests(void)
{
    if (!ntb_machine_is_q35()) {
        return;
    }
    qtest_add_func("/idt-ntb/death/peer", test_kill);
    qtest_add_func("/idt-ntb/death/peer-without-server",
                   test_kill_without_server);
    qtest_add_func("/idt-ntb/death/all", test_kill_all);
    qtest_add_func("/idt-ntb/death/late-notice", test_late_notice);
    qtest_add_func("/idt-ntb/death/claim-before-notice",
                   test_claim_before_notice);
    qtest_add_func("/idt-ntb/death/while-locked", test_kill_while_locked);
    qtest_add_func("/idt-ntb/death/seen-by-two", test_kill_seen_by_two);
    qtest_add_func("/idt-ntb/death/while-sending", test_kill_while_sending);
    qtest_add_func("/idt-ntb/death/server", test_server_dies);
    qtest_add_func("/idt-ntb/death/server-restarted", test_server_restarts);
    ntb_add_reconnect_test("/idt-ntb/death/server-returns",
                           test_server_returns);
    ntb_add_reconnect_test("/idt-ntb/death/server-returns-other",
                           test_server_returns_other);
    ntb_add_reconnect_test("/idt-ntb/death/server-returns-to-disabled",
                           test_server_returns_to_disabled);
    ntb_add_reconnect_test("/idt-ntb/death/server-returns-empty",
                           test_server_returns_empty);
    ntb_add_reconnect_test("/idt-ntb/death/server-returns-to-enabled",
                           test_server_returns_to_enabled);
}

libqos_init(add_tests);
