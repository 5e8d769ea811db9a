/*
 * QTest testcase for idt-ntb: death of a peer, death and return of the server
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <sys/wait.h>
#include "hw/misc/idt_ntb/shm.h"
#include "extra.h"

/*
 * Death of a peer
 */

static void check_death(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    unsigned port = b->port;

    ntb_dirty(b);
    ntb_listen_to_links(a);
    ntb_end_by_kill(f, 1);
    ntb_assert_link_events(a, 1 << port, 0);
    g_assert_false(ntb_link_up(a, port));
    ntb_assert_clean(a, port);
    /* Signals to a dead port fail, and do no harm */
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

static void test_kill(NtbFixture *f)
{
    volatile uint32_t *looks = &f->server->mem->slot[1].p.looks;
    NtbPort *a = f->ports[0];

    for (unsigned i = 0; i < 5; i++) {
        uint32_t before;
        NtbPort *b;

        ntb_listen_to_links(a);
        *looks += 100000;       /* the last owner has looked often */
        before = *looks;
        b = ntb_start(f, 1, NULL);
        g_assert_cmpuint(b->port, ==, 2);
        /* A value of the last owner would mean an unread signal */
        g_assert_cmpuint(*looks, >, before);
        ntb_assert_link_events(a, 0, 1 << 2);
        ntb_assert_talk(a, b);
        ntb_assert_talk(b, a);
        check_death(f);
    }
}

static void test_kill_without_server(NtbFixture *f)
{
    ntb_server_kill(f->server);
    check_death(f);
}

/* The next port finds what they left, and makes a new switch of it */
static void test_kill_all(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    ntb_dirty(a);
    ntb_dirty(b);
    ntb_gas_write(a, A_GIDBELLMSK0, 0xff);
    ntb_end_by_kill(f, 0);
    ntb_end_by_kill(f, 1);
    a = ntb_start(f, 0, ",partitions=2");
    b = ntb_start(f, 1, ",partitions=2");
    g_assert_cmphex(ntb_gas_read(a, A_GIDBELLMSK0), ==, 0);
    ntb_assert_talk(a, b);
    ntb_assert_talk(b, a);
}

/* @b has taken the port of a dead process and keeps it, for all others */
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

/* @c learns of the death when the port has a new owner already */
static void test_late_notice(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b, *c = f->ports[2];

    ntb_listen_to_links(a);
    ntb_freeze(c);
    ntb_end_by_kill(f, 1);
    ntb_assert_link_events(a, 1 << 2, 0);
    b = ntb_start(f, 1, NULL);
    g_assert_cmpuint(b->port, ==, 2);
    ntb_assert_link_events(a, 0, 1 << 2);
    ntb_write(b, A_NTSDATA, 0xb2);
    ntb_thaw(c);
    assert_kept(a, b, c);
}

/* All do: the new owner tells them of the death, and cleans up */
static void test_claim_before_notice(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1], *c = f->ports[2];
    IdtNtbShm *shm = f->server->mem;

    ntb_dirty(b);
    ntb_listen_to_links(a);
    ntb_freeze(a);
    ntb_freeze(c);
    ntb_end_by_kill(f, 1);
    b = ntb_start(f, 1, NULL);
    g_assert_cmpuint(b->port, ==, 2);
    /* The process may have died in a write of their interrupt registers */
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
}

/*
 * Another process holds the lock that the clean-up needs: no port waits for it,
 * and the clean-up comes when it is free.
 */
static void test_kill_while_locked(NtbFixture *f)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
    NtbPort *a = f->ports[0];
    int fd = shm_open(f->server->shm_name, O_RDWR, 0);

    ntb_listen_to_links(a);
    g_assert_cmpint(fcntl(fd, F_OFD_SETLK, &lock), ==, 0);
    ntb_end_by_kill(f, 1);
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
}

/* Two survivors, one clean-up */
static void test_kill_seen_by_two(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *c = ntb_start(f, 2, ",port=4");

    for (unsigned i = 0; i < 5; i++) {
        ntb_start(f, 1, NULL);
        ntb_listen_to_links(a);
        ntb_listen_to_links(c);
        ntb_end_by_kill(f, 1);
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
}

static void test_kill_while_sending(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    int64_t delay = 0;

    for (unsigned i = 0; i < 12; i++) {
        NtbPort *b = ntb_start(f, 1, NULL);
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
        ntb_end_by_kill(f, 1);
        waitpid(sender, NULL, 0);

        ntb_wait(ntb_gas_read(a, A_SELINKDNSTS) == 1 << 2);
        ntb_wait(!ntb_link_up(a, 2));
        ntb_assert_clean(a, 2);
        /* Its doorbells and messages are there, and can be cleared */
        ntb_gas_write(a, A_SEGSIGSTS, UINT32_MAX);
        ntb_write(a, A_INDBELLSTS, UINT32_MAX);
        ntb_write(a, A_MSGSTS, UINT32_MAX);
        ntb_write(a, A_NTINTSTS, UINT32_MAX);
        g_assert_cmphex(ntb_read(a, A_INDBELLSTS), ==, 0);
        g_assert_cmphex(ntb_read(a, A_MSGSTS), ==, 0);
        g_assert_cmphex(ntb_read(a, A_NTINTSTS), ==, 0);
    }
}

/*
 * Death of the server
 */

static void test_server_dies(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    ntb_server_kill(f->server);
    ntb_assert_talk(a, b);
    ntb_assert_talk(b, a);
    /* They still notice that a port detaches */
    ntb_listen_to_links(a);
    ntb_end(f, 1);
    ntb_assert_link_events(a, 1 << 2, 0);
}

/* The next server finds the memory of a killed one, with all in it */
static void test_server_restarts(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    ntb_dirty(a);
    ntb_dirty(b);
    ntb_server_kill(f->server);
    ntb_end_by_kill(f, 0);
    ntb_end_by_kill(f, 1);
    ntb_server_restart(f->server);
    a = ntb_start(f, 0, ",partitions=2");
    b = ntb_start(f, 1, ",partitions=2");
    g_assert_cmpuint(a->port, ==, 0);
    g_assert_cmpuint(b->port, ==, 2);
    ntb_assert_talk(a, b);
    ntb_assert_talk(b, a);
}

/* @props: also what follows on the command line */
static NtbPort *boot_reconnecting(NtbFixture *f, unsigned i, const char *props)
{
    f->ports[i] = ntb_boot(f->server, ntb_next_machine(), ",reconnect-ms=20",
                           props);
    return f->ports[i];
}

static void prepare_reconnecting(NtbFixture *f)
{
    for (unsigned i = 0; i < 2; i++) {
        boot_reconnecting(f, i, ",partitions=3");
    }
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
 * The next server has the memory that the killed one left.  Guests do not
 * notice it; nothing is lost meanwhile, only late.
 */
static void test_server_returns(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    NtbPort *c;

    for (unsigned i = 0; i < 3; i++) {
        mark(a);
        mark(b);
        ntb_server_kill(f->server);
        ntb_assert_talk(b, a);
        ntb_server_restart(f->server);
        for (unsigned k = 0; k < 20; k++) {
            ntb_assert_talk(a, b);
            ntb_assert_talk(b, a);
            g_usleep(2000);
        }
        assert_marked(a);
        assert_marked(b);
        g_assert_cmphex(ntb_gas_read(a, A_SELINKDNSTS), ==, 0);
        g_assert_cmphex(ntb_gas_read(a, A_SELINKUPSTS), ==, 0);

        /* They are at the new server: they learn of a new port */
        c = ntb_start(f, 2, ",partitions=3");
        g_assert_cmpuint(c->port, ==, 4);
        ntb_assert_talk(a, c);
        ntb_assert_talk(b, c);
        ntb_assert_talk(c, a);
        ntb_assert_talk(c, b);
        ntb_end_by_kill(f, 2);
        ntb_wait(!ntb_link_up(a, 4));
    }
}

static void test_server_returns_to_disabled(NtbFixture *f)
{
    const uint32_t nobody = 0xdead;     /* no client has this id */
    IdtNtbShmPort *p = &f->server->mem->slot[1].p;
    NtbPort *a = f->ports[0], *b = f->ports[1];

    ntb_gas_write(a, ntb_gas_portsts(2) - 4, IDT_PORT_MODE_DISABLED);
    ntb_wait(ntb_gas_read(a, ntb_gas_portsts(2)) & R_SWPORT0STS_OMCC_MASK);
    ntb_setup_function(b);
    mark(b);
    ntb_server_kill(f->server);
    qatomic_set_mb(&p->client, nobody);
    ntb_server_restart(f->server);
    ntb_wait(qatomic_read(&p->client) != nobody);
    ntb_settle(b->qts);
    assert_marked(b);
    g_assert_false(ntb_link_up(a, 2));
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, 0);
    ntb_assert_no_msi(b);
}

static bool is_up(NtbFixture *f, unsigned port)
{
    IdtNtbShm *shm = f->server->mem;

    return qatomic_read(&shm->slot[ntb_slot(port)].p.state) == IDT_NTB_PORT_UP;
}

/* The next server has new memory: the guests go on there */
static void test_server_returns_empty(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    for (unsigned i = 0; i < 3; i++) {
        mark(a);
        mark(b);
        ntb_server_kill(f->server);
        ntb_server_restart_empty(f->server);
        ntb_wait(is_up(f, 0) && is_up(f, 2));
        ntb_settle(a->qts);
        ntb_settle(b->qts);
        g_assert_true(ntb_link_up(a, 0) && ntb_link_up(a, 2));
        g_assert_true(ntb_link_up(b, 0) && ntb_link_up(b, 2));
        assert_marked(a);
        assert_marked(b);
        ntb_assert_talk(a, b);
        ntb_assert_talk(b, a);
    }
}

/*
 * On the new memory is a switch in which the reset image of @a is broken: @a
 * goes on without.
 */
static void test_server_returns_other(NtbFixture *f)
{
    g_autofree char *log = ntb_tmp_path("stderr");
    g_autofree char *redirect = g_strdup_printf(" 2>%s", log);
    NtbPort *a = boot_reconnecting(f, 0, redirect), *b;
    IdtNtbShm *shm;
    uint32_t barsetup;

    mark(a);
    ntb_freeze(a);
    ntb_server_kill(f->server);
    ntb_server_restart_empty(f->server);
    b = ntb_start(f, 1, ",port=2");
    shm = f->server->mem;
    barsetup = shm->reset_image[0].p.barsetup[1];
    shm->reset_image[0].p.barsetup[1] = R_BARSETUP0_EN_MASK;
    ntb_thaw(a);
    ntb_wait(ntb_is_logged(log, "port 0: BARSETUP1 = 0x80000000: SIZE"));
    assert_marked(a);
    g_assert_true(ntb_link_up(a, 0));
    g_assert_false(ntb_link_up(b, 0));
    /* Its port is free for others, and for itself when the switch fits */
    shm->reset_image[0].p.barsetup[1] = barsetup;
    ntb_wait(is_up(f, 0));
    ntb_settle(a->qts);
    assert_marked(a);
    ntb_assert_talk(a, b);
    ntb_assert_talk(b, a);
    g_unlink(log);
}

/*
 * A guest has enabled the port, and no image has it: it makes a switch like the
 * old one, and has its port there.
 */
static void test_server_returns_to_enabled(NtbFixture *f)
{
    NtbPort *a = boot_reconnecting(f, 0, ",partitions=3"), *b;

    ntb_gas_write(a, ntb_gas_portsts(2) - 4, IDT_PORT_MODE_DISABLED);
    ntb_gas_write(a, ntb_gas_portsts(4) - 4, IDT_PORT_MODE_DISABLED);
    ntb_gas_write(a, ntb_gas_portsts(12) - 4,
                  FIELD_DP32(IDT_PORT_MODE_NT, SWPORT0CTL, SWPART, 1));
    b = boot_reconnecting(f, 1, ",partitions=3");
    g_assert_cmpuint(b->port, ==, 12);
    ntb_end_by_kill(f, 0);
    mark(b);
    ntb_server_kill(f->server);
    ntb_server_restart_empty(f->server);
    ntb_wait(is_up(f, 12));
    ntb_settle(b->qts);
    assert_marked(b);
    g_assert_cmpint(ntb_qom_int(b, "partition"), ==, 1);
    a = ntb_start(f, 0, ",partitions=3");
    g_assert_cmpuint(a->port, ==, 0);
    ntb_assert_talk(a, b);
    ntb_assert_talk(b, a);
}

#define SERVER      .server = ntb_server_start_process, .q35 = true
#define RETURN      .needs = ntb_reconnects, SERVER

static const NtbTest tests[] = {
    { "death/of-a-peer-is-seen", test_kill, .ports = 1, .q35 = true },
    { "death/of-a-peer-is-seen-without-server", test_kill_without_server,
      .ports = 2, SERVER },
    { "death/of-all-leaves-a-usable-switch", test_kill_all, .ports = 2,
      .partitions = 3, .q35 = true },
    { "death/seen-late-keeps-the-next-owner", test_late_notice, .ports = 3,
      .q35 = true },
    { "death/is-told-by-the-next-owner", test_claim_before_notice, .ports = 3,
      .q35 = true },
    { "death/clean-up-waits-for-no-lock", test_kill_while_locked, .ports = 2,
      .q35 = true },
    { "death/seen-by-two-is-one-event", test_kill_seen_by_two, .ports = 1,
      .partitions = 3, .q35 = true },
    { "death/in-a-write-can-be-cleared", test_kill_while_sending, .ports = 1,
      .q35 = true },
    { "death/of-the-server-leaves-ports-at-work", test_server_dies,
      .ports = 2, SERVER },
    { "death/of-all-leaves-memory-for-a-server", test_server_restarts,
      .ports = 2, .partitions = 4, SERVER },
    { "server-return/is-no-event", test_server_returns,
      .prepare = prepare_reconnecting, RETURN },
    { "server-return/is-no-event-to-a-disabled-port",
      test_server_returns_to_disabled,
      .prepare = prepare_reconnecting, RETURN },
    { "server-return/to-new-memory-keeps-ports", test_server_returns_empty,
      .prepare = prepare_reconnecting, RETURN },
    { "server-return/to-a-broken-image-is-refused", test_server_returns_other,
      RETURN },
    { "server-return/keeps-a-port-that-a-guest-enabled",
      test_server_returns_to_enabled, RETURN },
};

ntb_tests(tests);
