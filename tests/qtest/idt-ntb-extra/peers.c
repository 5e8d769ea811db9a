/*
 * QTest testcase for idt-ntb: a server, or another process at the shared
 * memory, that is broken or hostile
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <poll.h>
#include <glib/gstdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "hw/misc/idt_ntb/shm.h"
#include "hw/pci/pci_regs.h"
#include "qobject/qdict.h"
#include "fake_server.h"
#include "extra.h"
#include "peers.h"

/* Send a message of the server to port 0, which is client 0 */
static void say(NtbFixture *f, int64_t value, int fd)
{
    fake_send(fake_of(f)->sockets[0], value, fd);
}

static void settle(NtbFixture *f)
{
    fake_settle(fake_of(f), 0, f->ports[0]);
}

static int port_lock = -1;

/*
 * Take port 2 as client @id.  A port whose lock is not held is taken for dead.
 */
static void play_port(NtbFixture *f, unsigned id)
{
    struct flock lock = {
        .l_type = F_WRLCK,
        .l_whence = SEEK_SET,
        .l_start = offsetof(IdtNtbShm, slot[1]),
        .l_len = 1,
    };

    if (port_lock < 0) {
        g_autofree char *path = g_strdup_printf("/proc/self/fd/%d",
                                                fake_of(f)->shm_fd);

        port_lock = open(path, O_RDWR | O_CLOEXEC);
        g_assert_cmpint(fcntl(port_lock, F_OFD_SETLK, &lock), ==, 0);
    }
    f->server->mem->slot[1].p.client = id;
    f->server->mem->slot[1].p.indbellmsk = 0;
    f->server->mem->slot[1].p.ntintmsk = 0;
    qatomic_set_mb(&f->server->mem->slot[1].p.state, IDT_NTB_PORT_UP);
}

static void leave_port(NtbFixture *f)
{
    if (port_lock >= 0) {
        qatomic_set_mb(&f->server->mem->slot[1].p.state, IDT_NTB_PORT_FREE);
        close(port_lock);
        port_lock = -1;
    }
}

static NtbPort *boot_unmasked(NtbFixture *f, unsigned i)
{
    NtbPort *p = ntb_start(f, i, NULL);

    ntb_write(p, A_NTINTMSK, 0);
    ntb_write(p, A_INDBELLMSK, 0);
    return p;
}

void peers_prepare(NtbFixture *f)
{
    fake_server_prepare(f, fake_serve, NULL);
    boot_unmasked(f, 0);
}

/*
 * Read our signals as the port of play_port() does, which then looks.  Poll
 * first: a QEMU that receives the eventfd makes it block, for all.
 *
 * Returns: how many there were.
 */
static uint64_t take_signals(NtbFixture *f, int eventfd)
{
    struct pollfd pfd = { .fd = eventfd, .events = POLLIN };
    uint64_t count = 0;

    if (poll(&pfd, 1, 0) == 1) {
        g_assert_cmpint(read(eventfd, &count, sizeof(count)), ==,
                        sizeof(count));
    }
    qatomic_inc(&f->server->mem->slot[1].p.looks);
    return count;
}

static void assert_signals(NtbFixture *f, unsigned id, int eventfd)
{
    NtbPort *a = f->ports[0];

    play_port(f, id);
    take_signals(f, eventfd);
    ntb_write(a, A_OUTDBELLSET, 1);
    g_assert_cmpuint(take_signals(f, eventfd), >, 0);
    ntb_assert_msi(a);
    ntb_write(a, A_INDBELLSTS, 1);
    leave_port(f);
}

/* The QEMU has survived, and signals a client that joins as it should */
static void assert_works(NtbFixture *f)
{
    int eventfd = fake_of(f)->eventfds[3];

    say(f, 77, -1);
    settle(f);
    say(f, 77, eventfd);
    settle(f);
    assert_signals(f, 77, eventfd);
    say(f, 77, -1);
    settle(f);
}

static void test_left_client(NtbFixture *f)
{
    assert_works(f);
    play_port(f, 77);
    ntb_write(f->ports[0], A_OUTDBELLSET, 1);
    g_assert_cmpuint(take_signals(f, fake_of(f)->eventfds[3]), ==, 0);
    leave_port(f);
}

/* A client id that connects, disconnects and connects again, many times */
static void test_id_again(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    FakeServer *fake = fake_of(f);
    unsigned fds = ntb_count_fds(a->qts);

    for (unsigned i = 0; i < 1000; i++) {
        say(f, 5, fake->eventfds[1]);
        if (i % 3) {
            say(f, 5, -1);
        }
    }
    say(f, 5, -1);
    assert_works(f);
    g_assert_cmpuint(ntb_count_fds(a->qts), ==, fds);
    /* Known again, it is signalled through its new descriptor */
    say(f, 5, fake->eventfds[1]);
    say(f, 5, -1);
    say(f, 5, fake->eventfds[2]);
    settle(f);
    take_signals(f, fake->eventfds[1]);
    assert_signals(f, 5, fake->eventfds[2]);
    g_assert_cmpuint(take_signals(f, fake->eventfds[1]), ==, 0);
}

/* Thousands of clients, two vectors each */
static void test_many_clients(NtbFixture *f)
{
    FakeServer *fake = fake_of(f);

    for (unsigned id = 0; id < 3000; id++) {
        say(f, id, fake->eventfds[1]);
        say(f, id, fake->eventfds[1]);
    }
    settle(f);
    g_assert_cmpuint(ntb_count_fds(f->ports[0]->qts), <, 2000);
    assert_signals(f, 4, fake->eventfds[1]);
    for (unsigned id = 1; id < 3000; id++) {
        say(f, id, -1);
    }
    assert_works(f);
}

static void test_odd_ids(NtbFixture *f)
{
    static const int64_t ids[] = {
        -1, -2, INT64_MIN, INT64_MAX, 65535, 65536, 1LL << 32, 0x100000000000,
    };
    NtbPort *a = f->ports[0];
    unsigned fds = ntb_count_fds(a->qts);

    for (unsigned i = 0; i < G_N_ELEMENTS(ids); i++) {
        say(f, ids[i], fake_of(f)->eventfds[1]);
        say(f, ids[i], -1);
    }
    assert_works(f);
    g_assert_cmpuint(ntb_count_fds(a->qts), ==, fds);
}

/* Disconnects of clients that never came, and of the client itself */
static void test_gone_twice(NtbFixture *f)
{
    for (unsigned i = 0; i < 10; i++) {
        say(f, i, -1);
        say(f, i, -1);
    }
    assert_works(f);
}

/* The memory once more: the one that is in use stays */
static void test_memory_again(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    unsigned fds = ntb_count_fds(a->qts);

    ntb_write(a, A_NTSDATA, 0x1234);
    say(f, -1, fake_of(f)->shm_fd);
    say(f, -1, -1);
    assert_works(f);
    g_assert_cmphex(ntb_read(a, A_NTSDATA), ==, 0x1234);
    g_assert_cmpuint(ntb_count_fds(a->qts), ==, fds);
}

/* Descriptors that block or spin a QEMU that uses them as eventfds */
static void test_no_eventfds(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    FakeServer *fake = fake_of(f);
    int pipefd[2];
    unsigned fds;

    g_assert_true(g_unix_open_pipe(pipefd, FD_CLOEXEC, NULL));
    fds = ntb_count_fds(a->qts);
    say(f, 9, pipefd[0]);
    say(f, 10, pipefd[1]);
    say(f, 11, fake->shm_fd);
    say(f, 12, fake->sockets[0]);
    say(f, 0, pipefd[1]);
    settle(f);
    for (unsigned id = 9; id < 13; id++) {
        play_port(f, id);
        ntb_write(a, A_OUTDBELLSET, 1);
    }
    ntb_write(a, A_INDBELLSTS, 1);
    ntb_settle(a->qts);
    ntb_msi_clear(a);
    assert_works(f);
    /* QEMU does not wait for the end of a close, which can take a while */
    ntb_wait(ntb_count_fds(a->qts) == fds);
    close(pipefd[0]);
    close(pipefd[1]);
}

/* The descriptor comes with any piece */
static void test_pieces(NtbFixture *f)
{
    FakeServer *fake = fake_of(f);

    for (unsigned at = 0; at < 8; at++) {
        unsigned id = 100 + at;

        fake_send_bytes(fake->sockets[0], id, fake->eventfds[1], at);
        settle(f);
        assert_signals(f, id, fake->eventfds[1]);
        fake_send_bytes(fake->sockets[0], id, -1, 0);
    }
    assert_works(f);
}

static void say_in_pieces(FakeServer *server, int client)
{
    unsigned at = *(const unsigned *)server->data;

    fake_send_bytes(client, 0, -1, 0);
    fake_send_bytes(client, 0, -1, 0);
    fake_send_bytes(client, -1, server->shm_fd, at);
    fake_send_bytes(client, 0, server->eventfds[0], at);
    fake_wait_close(client);
}

static void test_handshake_in_pieces(NtbFixture *f)
{
    for (unsigned at = 0; at < 8; at += 3) {
        FakeServer *fake = fake_server_start(say_in_pieces, &at);
        NtbPort *p = ntb_boot(&fake->base, ntb_next_machine(), "", "");

        g_assert_cmpuint(p->port, ==, 0);
        ntb_quit(p);
        fake_server_stop(fake);
    }
}

/* Bytes that mean nothing */
static void test_noise(NtbFixture *f)
{
    FakeServer *fake = fake_of(f);
    GRand *rng = ntb_random("noise");

    for (unsigned i = 0; i < 2000; i++) {
        uint64_t bytes = (uint64_t)g_rand_int(rng) << 32 | g_rand_int(rng);

        if (g_rand_boolean(rng)) {
            bytes &= 0xff;
        }
        fake_send_raw(fake->sockets[0], &bytes, 8,
                      g_rand_boolean(rng) ? fake->eventfds[1] : -1);
    }
    settle(f);
    assert_works(f);
    g_rand_free(rng);
}

/* Half a message is the last that comes */
static void test_end_in_message(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    FakeServer *fake = fake_of(f);

    fake_send_raw(fake->sockets[0], "abc", 3, fake->eventfds[1]);
    settle(f);
    shutdown(fake->sockets[0], SHUT_RDWR);
    ntb_settle(a->qts);
    ntb_write(a, A_OUTDBELLSET, 1);
    ntb_assert_msi(a);
}

/*
 * A server that comes back, but not as it was
 */

static unsigned accepted;

/* Messages to a client that comes back, @times in a row */
typedef struct BadReturn {
    unsigned times;
    unsigned timeout_ms;        /* longer than the good ones ever take */
    const char *greeting;       /* useless, or NULL for none */
    bool bad_memory;            /* a handshake instead, with bad memory */
    const char *reason;         /* what the QEMU says */
} BadReturn;

static void say_bad_memory(FakeServer *server, int client, unsigned id)
{
    int fd = memfd_create("small", MFD_CLOEXEC);

    fake_send(client, 0, -1);
    fake_send(client, id, -1);
    fake_send(client, -1, fd);
    fake_send(client, id, server->eventfds[3]);
    close(fd);
}

static void serve_badly(FakeServer *server, int client)
{
    const BadReturn *bad = server->data;
    unsigned n = qatomic_fetch_inc(&accepted);

    if (n == 0 || n > bad->times) {
        fake_serve(server, client);
        return;
    }
    if (bad->bad_memory) {
        say_bad_memory(server, client, n);
    } else if (bad->greeting) {
        fake_send_raw(client, bad->greeting, strlen(bad->greeting), -1);
    }
    fake_wait_close(client);
}

/* The log has @what once, however often it happens */
static void assert_told_once(const char *log, const char *what)
{
    g_autofree char *text = NULL;
    const char *first;

    g_assert_true(g_file_get_contents(log, &text, NULL, NULL));
    first = strstr(text, what);
    if (!first || strstr(first + 1, what)) {
        ntb_fail("'%s' is not once in: %s", what, text);
    }
}

static void test_bad_return(NtbFixture *f)
{
    const BadReturn *bad = f->test->data;
    g_autofree char *log = ntb_tmp_path("stderr");
    FakeServer *fake = fake_server_prepare(f, serve_badly, bad);
    QTestState *qts;
    NtbPort *a;

    accepted = 0;
    qts = qtest_initf("%s -chardev socket,path=%s,id=ntb,reconnect-ms=20 "
                      "-device idt-ntb,id=ntb0,chardev=ntb,addr=4,"
                      "server-timeout=%u 2>%s", ntb_next_machine(),
                      fake->base.socket, bad->timeout_ms, log);
    a = f->ports[0] = ntb_open(qts, "ntb0", 0, QPCI_DEVFN(4, 0), 0);
    a->owns_qemu = true;
    ntb_write(a, A_NTSDATA, 0x77);
    shutdown(fake->sockets[0], SHUT_RDWR);
    /* The registers answer all the time, and keep their values */
    do {
        g_assert_cmphex(ntb_read(a, A_NTSDATA), ==, 0x77);
    } while (qatomic_read(&fake->sockets[1]) < 0);
    fake_settle(fake, 1, a);
    g_assert_cmpuint(accepted, ==, bad->times + 2);
    assert_told_once(log, "handshake with the new server failed");
    assert_told_once(log, bad->reason);
    g_assert_cmphex(ntb_read(a, A_NTSDATA), ==, 0x77);
    g_assert_true(ntb_qom_bool(a, "link"));
    g_assert_cmphex(f->server->mem->slot[0].p.state, ==, IDT_NTB_PORT_UP);
    ntb_write(a, A_NTINTMSK, 0);
    ntb_write(a, A_INDBELLMSK, 0);
    fake_send(fake->sockets[1], 42, fake->eventfds[3]);
    fake_settle(fake, 1, a);
    assert_signals(f, 42, fake->eventfds[3]);
    g_unlink(log);
}

static const BadReturn returns_silent = {
    .times = 1, .timeout_ms = 3000, .reason = "3000 ms",
};

static const BadReturn returns_with_garbage = {
    .times = 3, .timeout_ms = 60000,
    .greeting = "220 mail.example.org ESMTP\r\n",
    .reason = "the ivshmem protocol",
};

static const BadReturn returns_with_bad_memory = {
    .times = 3, .timeout_ms = 60000, .bad_memory = true,
    .reason = "port 0 can't attach",
};

/* The device is unplugged while a new server keeps it waiting */
static void test_unplug_in_handshake(NtbFixture *f)
{
    static const BadReturn silent = { .times = 1 };
    FakeServer *fake = fake_server_prepare(f, serve_badly, &silent);
    NtbPort *p;

    accepted = 0;
    f->root = ntb_boot_root_port(f->server, ntb_next_machine());
    ntb_plug(f, 0, NULL);
    shutdown(fake->sockets[0], SHUT_RDWR);
    ntb_wait(qatomic_read(&accepted) == 2);
    ntb_wait(fake_is_connected(f->root));
    ntb_unplug(f, 0);
    p = ntb_plug(f, 0, NULL);
    g_assert_cmpuint(p->port, ==, 0);
    ntb_write(p, A_OUTDBELLSET, 1);
    g_assert_cmphex(ntb_read(p, A_INDBELLSTS), ==, 1);
    ntb_unplug(f, 0);
}

/* A socket whose queue of connections is full: connect(2) waits for a place */
static int listen_full(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int client;

    g_strlcpy(addr.sun_path, path, sizeof(addr.sun_path));
    g_assert_cmpint(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), ==,
                    0);
    g_assert_cmpint(listen(listener, 0), ==, 0);
    do {
        client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    } while (connect(client, (struct sockaddr *)&addr, sizeof(addr)) == 0);
    g_assert_cmpint(errno, ==, EAGAIN);
    close(client);
    return listener;
}

static void test_queue_full(NtbFixture *f)
{
    g_autofree char *path = ntb_tmp_path("socket");
    NtbServer full = { .socket = path };
    int listener = listen_full(path);
    g_autofree char *reconnects = g_strdup_printf(
        "-chardev socket,id=n,path=%s,reconnect-ms=100 "
        "-device idt-ntb,chardev=n,server-timeout=300", path);
    QDict *reply;

    ntb_assert_refused(reconnects, "accepts no connection");
    /* A guest that runs goes on, and the next server is a good one */
    f->root = ntb_boot_root_port(&full, ntb_next_machine());
    ntb_device_add_send(f->root, ", 'server-timeout': 300");
    reply = qtest_qmp_receive(f->root);
    g_assert_true(qdict_haskey(reply, "error"));
    qobject_unref(reply);
    fake_server_prepare(f, fake_serve, NULL);
    g_assert_cmpint(g_rename(f->server->socket, path), ==, 0);
    close(listener);
    g_assert_cmphex(ntb_read(ntb_plug(f, 0, NULL), A_BARSETUP0), ==,
                    0x800004c0);
    ntb_unplug(f, 0);
    g_unlink(path);
}

/*
 * The eventfd of a new port can come after its link is up and after the first
 * signals to it: then it is signalled once more.
 */
static void test_late_signal(NtbFixture *f)
{
    FakeServer *fake = fake_of(f);

    play_port(f, 5);
    ntb_write(f->ports[0], A_OUTDBELLSET, 1);
    g_assert_cmpuint(take_signals(f, fake->eventfds[1]), ==, 0);
    say(f, 5, fake->eventfds[1]);
    settle(f);
    g_assert_cmpuint(take_signals(f, fake->eventfds[1]), >, 0);
    /* It is not signalled for another client that comes */
    say(f, 6, fake->eventfds[2]);
    settle(f);
    g_assert_cmpuint(take_signals(f, fake->eventfds[1]), ==, 0);
    leave_port(f);
}

static void test_late_eventfd(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    FakeServer *fake = fake_of(f);
    NtbPort *b;

    fake->silent = 1 << 0;
    b = boot_unmasked(f, 1);
    fake->silent = 0;
    ntb_write(a, A_OUTDBELLSET, 1 << 3);
    g_assert_cmphex(ntb_read(b, A_INDBELLSTS), ==, 1 << 3);
    say(f, 1, fake->eventfds[1]);
    ntb_assert_msi(b);
    ntb_write(b, A_INDBELLSTS, 1 << 3);
    ntb_assert_talk(a, b);
}

/*
 * A port is signalled what it has to look at before the guest's write ends.
 * (It looks by itself too, but not at once.)
 */
void peers_test_signals(NtbFixture *f)
{
    static const struct {
        uint32_t offset, value;
    } nt_writes[] = {
        { A_NTINTMSK, 0xbb }, { A_INDBELLMSK, 0 }, { A_INDBELLSTS, 1 },
        { A_MSGSTSMSK, 0 }, { A_MSGSTS, UINT32_MAX }, { A_NTINTSTS, 8 },
    };
    int eventfd = fake_of(f)->eventfds[1];
    IdtNtbShmPort *us = &f->server->mem->slot[1].p;
    NtbPort *a = f->ports[0];

    say(f, 5, eventfd);
    settle(f);
    ntb_unmask_all(a);
    play_port(f, 5);
    take_signals(f, eventfd);

    ntb_write(a, A_OUTDBELLSET, 1 << 30);
    g_assert_cmpuint(take_signals(f, eventfd), >, 0);
    /* A masked doorbell need not wake it, but is there */
    us->indbellmsk = 1 << 29;
    ntb_write(a, A_OUTDBELLSET, 1 << 29);
    g_assert_cmpuint(take_signals(f, eventfd), ==, 0);
    g_assert_cmphex(us->indbellsts, ==, 3u << 29);
    ntb_write(a, A_OUTDBELLSET, 3 << 28);
    g_assert_cmpuint(take_signals(f, eventfd), >, 0);
    us->ntintmsk = R_NTINTSTS_DBELL_MASK;
    ntb_write(a, A_OUTDBELLSET, 1 << 28);
    g_assert_cmpuint(take_signals(f, eventfd), ==, 0);
    us->ntintmsk = 0;

    /* So with a message */
    ntb_route_message(a, 2, 1, 3);
    us->msgstsmsk = R_MSGSTS_INMSGSTS_MASK;
    ntb_write(a, A_OUTMSG0 + 8, 1);
    g_assert_cmpuint(take_signals(f, eventfd), ==, 0);
    g_assert_cmphex(us->inmsg[3] & R_SHM_INMSG_DATA_MASK, ==, 1);
    us->msgstsmsk = 0;
    us->inmsg[3] = 0;
    ntb_write(a, A_OUTMSG0 + 8, 2);
    g_assert_cmpuint(take_signals(f, eventfd), >, 0);

    /* One signal until it has looked */
    us->inmsg[3] = 0;
    ntb_write(a, A_OUTMSG0 + 8, 3);
    ntb_write(a, A_OUTDBELLSET, 1 << 28);
    ntb_write(a, A_NTGSIGNAL, 1);
    g_assert_cmpuint(take_signals(f, eventfd), ==, 1);

    ntb_write(a, A_NTGSIGNAL, 1);
    g_assert_cmpuint(take_signals(f, eventfd), >, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(nt_writes); i++) {
        ntb_gas_write(a, ntb_gas_nt(2, nt_writes[i].offset),
                      nt_writes[i].value);
        g_assert_cmpuint(take_signals(f, eventfd), >, 0);
    }
    ntb_cfg_writew(a, IDT_CAP_PCIE + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR);
    g_assert_cmpuint(take_signals(f, eventfd), >, 0);
    leave_port(f);
}

/*
 * The eventfd is full, and blocks: the sender must not wait for a port that
 * does not look.
 */
void peers_test_full_eventfd(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    FakeServer *fake = fake_of(f);
    const uint64_t full = UINT64_MAX - 1;
    NtbPort *b = boot_unmasked(f, 1);
    pid_t sender;
    int status;

    kill(qtest_pid(b->qts), SIGSTOP);
    g_assert_cmpint(waitpid(qtest_pid(b->qts), &status, WUNTRACED), >, 0);
    take_signals(f, fake->eventfds[1]);
    g_assert_cmpint(write(fake->eventfds[1], &full, sizeof(full)), ==,
                    sizeof(full));
    g_assert_true(g_unix_set_fd_nonblocking(fake->eventfds[1], false, NULL));

    sender = ntb_fork();
    if (!sender) {
        for (unsigned n = 0; n < IDT_NUM_DOORBELLS; n++) {
            ntb_write(a, A_OUTDBELLSET, 1u << n);
        }
        ntb_write(a, A_NTGSIGNAL, 1);
        _exit(0);
    }
    ntb_wait(waitpid(sender, &status, WNOHANG) == sender);
    g_assert_cmpint(status, ==, 0);
    kill(qtest_pid(b->qts), SIGCONT);
    ntb_assert_msi(b);
    g_assert_cmphex(ntb_read(b, A_INDBELLSTS), ==, UINT32_MAX);
    ntb_write(b, A_INDBELLSTS, UINT32_MAX);
    ntb_assert_talk(a, b);
}

/* A signal without a reason is no interrupt, and no work for ever */
void peers_test_idle_signals(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    FakeServer *fake = fake_of(f);
    const uint64_t one = 1;

    for (unsigned i = 0; i < 1000; i++) {
        g_assert_cmpint(write(fake->eventfds[0], &one, sizeof(one)), ==,
                        sizeof(one));
    }
    ntb_assert_no_msi(a);
    /* A pending level and a stray signal: no second edge */
    ntb_write(a, A_OUTDBELLSET, 1);
    ntb_assert_msi(a);
    g_assert_cmpint(write(fake->eventfds[0], &one, sizeof(one)), ==,
                    sizeof(one));
    ntb_assert_no_msi(a);
    g_assert_cmpuint(take_signals(f, fake->eventfds[0]), ==, 0);
}

/*
 * Write anything into the shared memory.  A port may be useless then, but its
 * QEMU answers, and ends as it should.
 */
static void scribble(NtbFixture *f, GRand *rng, unsigned words)
{
    for (unsigned i = 0; i < words; i++) {
        uint32_t at = g_rand_int_range(rng, 0, sizeof(IdtNtbShm) / 4);
        uint32_t value = g_rand_int(rng);

        switch (g_rand_int_range(rng, 0, 4)) {
        case 0:
            value = UINT32_MAX;
            break;
        case 1:
            value &= 7;
            break;
        case 2:
            /* In the block of a port */
            at = (IDT_NTB_SHM_BLOCK * g_rand_int_range(rng, 0, 5)) / 4 +
                 g_rand_int_range(rng, 0, sizeof(IdtNtbShmPort) / 4);
            break;
        }
        qatomic_set((uint32_t *)f->server->mem + at, value);
    }
}

static void test_scribbled_memory(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = ntb_start(f, 1, NULL);
    GRand *rng = ntb_random("scribbled memory");

    for (unsigned i = 0; i < 3000; i++) {
        NtbPort *p = i & 1 ? a : b;
        uint32_t offset = g_rand_int_range(rng, A_NTCTL, A_LUTUDATA) & ~3;

        scribble(f, rng, 20);
        ntb_write(p, offset, g_rand_int(rng));
        ntb_read(p, offset);
        offset = g_rand_int_range(rng, IDT_GAS_SWITCH, IDT_GAS_SIZE) & ~3;
        ntb_gas_write(p, offset, g_rand_int(rng));
        ntb_gas_read(p, offset);
        ntb_gas_read(p, ntb_gas_nt(2, g_rand_int_range(rng, 0, 0x1000) & ~3));
        if (i % 100 == 0) {
            say(f, 1 + i % 2, i % 3 ? fake_of(f)->eventfds[1] : -1);
        }
    }
    qtest_system_reset(a->qts);
    ntb_settle(a->qts);
    ntb_settle(b->qts);
    g_rand_free(rng);
}

/* A port trusts nothing that identifies another port */
static void test_lying_port(NtbFixture *f)
{
    NtbPort *a = f->ports[0];

    for (unsigned i = 0; i < 40; i++) {
        uint32_t lies[] = { 0, 1, 2, 3, 77, UINT32_MAX, 0x80000000, 65536 };

        f->server->mem->slot[1].p.state = lies[i % 8];
        f->server->mem->slot[1].p.client = lies[i / 5];
        f->server->mem->slot[1].p.generation = lies[(i + 3) % 8];
        f->server->mem->slot[1].p.ntmtbladdr = lies[(i + 1) % 8];
        f->server->mem->sw.msgctl[0][0] = lies[(i + 2) % 8] << 4 | lies[i / 5];
        ntb_write(a, A_OUTDBELLSET, UINT32_MAX);
        ntb_write(a, A_OUTMSG0, i);
        ntb_write(a, A_NTGSIGNAL, 1);
        ntb_gas_read(a, ntb_gas_nt(2, A_NTMTBLDATA));
        ntb_gas_write(a, ntb_gas_nt(2, A_NTMTBLDATA), UINT32_MAX);
        ntb_gas_read(a, ntb_gas_portsts(2));
        say(f, lies[i / 5], -1);
    }
    settle(f);
    g_assert_cmphex(ntb_read(a, A_BARSETUP0), ==, 0x800004c0);
}

#define OWN_SERVER  .server = ntb_no_server, .q35 = true
#define FAKE_SERVER .prepare = peers_prepare, OWN_SERVER

static const NtbTest tests[] = {
    { "server/client-that-left-is-not-signalled", test_left_client,
      FAKE_SERVER },
    { "server/client-id-can-return", test_id_again, FAKE_SERVER },
    { "server/many-clients-use-few-descriptors", test_many_clients,
      FAKE_SERVER },
    { "server/odd-client-ids-are-ignored", test_odd_ids, FAKE_SERVER },
    { "server/client-can-leave-twice", test_gone_twice, FAKE_SERVER },
    { "server/second-memory-is-ignored", test_memory_again, FAKE_SERVER },
    { "server/useless-descriptors-are-closed", test_no_eventfds, FAKE_SERVER },
    { "server/message-can-come-in-pieces", test_pieces, FAKE_SERVER },
    { "server/handshake-can-come-in-pieces", test_handshake_in_pieces,
      OWN_SERVER },
    { "server/noise-is-survived", test_noise, FAKE_SERVER },
    { "server/can-end-in-a-message", test_end_in_message, FAKE_SERVER },
    { "server/silent-return-is-survived", test_bad_return,
      OWN_SERVER, .data = &returns_silent },
    { "server/return-with-garbage-is-survived", test_bad_return,
      OWN_SERVER, .data = &returns_with_garbage },
    { "server/return-with-bad-memory-is-survived", test_bad_return,
      OWN_SERVER, .data = &returns_with_bad_memory },
    { "server/unplug-ends-a-handshake", test_unplug_in_handshake, OWN_SERVER },
    { "server/with-a-full-queue-fails-a-plug", test_queue_full,
      OWN_SERVER, .needs = ntb_reconnects },
    { "peer/is-signalled-before-a-write-ends", peers_test_signals,
      FAKE_SERVER },
    { "peer/is-signalled-when-its-eventfd-comes", test_late_signal,
      FAKE_SERVER },
    { "peer/loses-no-doorbell-by-a-late-eventfd", test_late_eventfd,
      FAKE_SERVER },
    { "peer/with-a-full-eventfd-blocks-no-sender", peers_test_full_eventfd,
      FAKE_SERVER },
    { "peer/cannot-signal-without-a-reason", peers_test_idle_signals,
      FAKE_SERVER },
    { "peer/can-scribble-into-the-memory", test_scribbled_memory, FAKE_SERVER },
    { "peer/can-lie-about-its-port", test_lying_port, FAKE_SERVER },
};

ntb_tests(tests);
