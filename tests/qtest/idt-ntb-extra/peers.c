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
#include "qemu/module.h"
#include "hw/misc/idt_ntb/shm.h"
#include "hw/pci/pci_regs.h"
#include "qobject/qdict.h"
#include "fake_server.h"
#include "idt-ntb/harness.h"
#include "peers.h"

static FakeServer *fake;
static NtbPort *a;          /* client 0 */

static IdtNtbShm *shm(void)
{
    return (IdtNtbShm *)fake->base.mem;
}

static void say(int64_t value, int fd)
{
    fake_send(fake->sockets[0], value, fd);
}

static int port_lock = -1;

/*
 * The test plays port 2, with its own eventfd: is client @id, and is signalled
 * as it should.  Who does not hold the lock of its port is taken for dead.
 */
static void play_port(unsigned id)
{
    struct flock lock = {
        .l_type = F_WRLCK,
        .l_whence = SEEK_SET,
        .l_start = offsetof(IdtNtbShm, slot[1]),
        .l_len = 1,
    };

    if (port_lock < 0) {
        g_autofree char *path = g_strdup_printf("/proc/self/fd/%d",
                                                fake->shm_fd);

        port_lock = open(path, O_RDWR | O_CLOEXEC);
        g_assert_cmpint(fcntl(port_lock, F_OFD_SETLK, &lock), ==, 0);
    }
    shm()->slot[1].p.client = id;
    shm()->slot[1].p.indbellmsk = 0;
    qatomic_set_mb(&shm()->slot[1].p.state, IDT_NTB_PORT_UP);
}

static void leave_port(void)
{
    if (port_lock >= 0) {
        qatomic_set_mb(&shm()->slot[1].p.state, IDT_NTB_PORT_FREE);
        close(port_lock);
        port_lock = -1;
    }
}

static void setup_fake(void)
{
    fake = fake_server_start(fake_serve, NULL);
    a = ntb_boot(&fake->base, NULL);
    ntb_write(a, A_NTINTMSK, 0);
    ntb_write(a, A_INDBELLMSK, 0);
}

static void teardown_fake(void)
{
    leave_port();
    ntb_quit(a);
    fake_server_stop(fake);
}

/* A QEMU that receives it makes the eventfd block, for all: poll first */
static bool was_signalled(int eventfd)
{
    struct pollfd pfd = { .fd = eventfd, .events = POLLIN };
    uint64_t count;

    return poll(&pfd, 1, 0) == 1 &&
           read(eventfd, &count, sizeof(count)) == sizeof(count);
}

static void assert_signals(unsigned id, int eventfd)
{
    play_port(id);
    was_signalled(eventfd);
    ntb_write(a, A_OUTDBELLSET, 1);
    g_assert_true(was_signalled(eventfd));
    ntb_assert_msi(a);
    ntb_write(a, A_INDBELLSTS, 1);
    leave_port();
}

/* It has survived, and a client that joins properly is served */
static void assert_fine(void)
{
    say(77, -1);
    fake_settle(fake, 0, a);
    say(77, fake->eventfds[3]);
    fake_settle(fake, 0, a);
    assert_signals(77, fake->eventfds[3]);
    say(77, -1);
    fake_settle(fake, 0, a);
}

static void test_fine(void)
{
    setup_fake();
    assert_fine();
    /* Gone is gone */
    play_port(77);
    ntb_write(a, A_OUTDBELLSET, 1);
    g_assert_false(was_signalled(fake->eventfds[3]));
    teardown_fake();
}

/* A client id that connects, disconnects and connects again, many times */
static void test_id_again(void)
{
    unsigned fds;

    setup_fake();
    fds = ntb_count_fds(a->qts);
    for (unsigned i = 0; i < 1000; i++) {
        say(5, fake->eventfds[1]);
        if (i % 3) {
            say(5, -1);
        }
    }
    say(5, -1);
    assert_fine();
    g_assert_cmpuint(ntb_count_fds(a->qts), ==, fds);
    /* Known again, it is signalled through its new descriptor */
    say(5, fake->eventfds[1]);
    say(5, -1);
    say(5, fake->eventfds[2]);
    fake_settle(fake, 0, a);
    was_signalled(fake->eventfds[1]);
    assert_signals(5, fake->eventfds[2]);
    g_assert_false(was_signalled(fake->eventfds[1]));
    teardown_fake();
}

/* Thousands of clients, two vectors each */
static void test_many_clients(void)
{
    setup_fake();
    for (unsigned id = 0; id < 3000; id++) {
        say(id, fake->eventfds[1]);
        say(id, fake->eventfds[1]);
    }
    fake_settle(fake, 0, a);
    g_assert_cmpuint(ntb_count_fds(a->qts), <, 2000);
    assert_signals(4, fake->eventfds[1]);
    for (unsigned id = 1; id < 3000; id++) {
        say(id, -1);
    }
    assert_fine();
    teardown_fake();
}

static void test_odd_ids(void)
{
    static const int64_t ids[] = {
        -1, -2, INT64_MIN, INT64_MAX, 65535, 65536, 1LL << 32, 0x100000000000,
    };
    unsigned fds;

    setup_fake();
    fds = ntb_count_fds(a->qts);
    for (unsigned i = 0; i < G_N_ELEMENTS(ids); i++) {
        say(ids[i], fake->eventfds[1]);
        say(ids[i], -1);
    }
    assert_fine();
    g_assert_cmpuint(ntb_count_fds(a->qts), ==, fds);
    teardown_fake();
}

/* Disconnects of those who never came, and of the client itself */
static void test_gone_twice(void)
{
    setup_fake();
    for (unsigned i = 0; i < 10; i++) {
        say(i, -1);
        say(i, -1);
    }
    assert_fine();
    teardown_fake();
}

/* The memory, again: the one that is in use stays */
static void test_memory_again(void)
{
    unsigned fds;

    setup_fake();
    fds = ntb_count_fds(a->qts);
    ntb_write(a, A_NTSDATA, 0x1234);
    say(-1, fake->shm_fd);
    say(-1, -1);
    assert_fine();
    g_assert_cmphex(ntb_read(a, A_NTSDATA), ==, 0x1234);
    g_assert_cmpuint(ntb_count_fds(a->qts), ==, fds);
    teardown_fake();
}

/* Descriptors that would block or spin whoever uses them as eventfds */
static void test_no_eventfds(void)
{
    int pipefd[2];
    unsigned fds;

    g_assert_true(g_unix_open_pipe(pipefd, FD_CLOEXEC, NULL));
    setup_fake();
    fds = ntb_count_fds(a->qts);
    say(9, pipefd[0]);
    say(10, pipefd[1]);
    say(11, fake->shm_fd);
    say(12, fake->sockets[0]);
    say(0, pipefd[1]);
    fake_settle(fake, 0, a);
    for (unsigned id = 9; id < 13; id++) {
        play_port(id);
        ntb_write(a, A_OUTDBELLSET, 1);
    }
    ntb_write(a, A_INDBELLSTS, 1);
    ntb_settle(a->qts);
    ntb_msi_clear(a);
    assert_fine();
    /* To close a socket can take a while, and does not keep QEMU */
    ntb_wait(ntb_count_fds(a->qts) == fds);
    teardown_fake();
    close(pipefd[0]);
    close(pipefd[1]);
}

/* Messages come in pieces, the descriptor with any of them */
static void test_pieces(void)
{
    setup_fake();
    for (unsigned at = 0; at < 8; at++) {
        unsigned id = 100 + at;

        fake_send_bytes(fake->sockets[0], id, fake->eventfds[1], at);
        fake_settle(fake, 0, a);
        assert_signals(id, fake->eventfds[1]);
        fake_send_bytes(fake->sockets[0], id, -1, 0);
    }
    assert_fine();
    teardown_fake();
}

/* Handshakes in pieces, too */
static void say_in_pieces(FakeServer *server, int client)
{
    unsigned at = *(const unsigned *)server->data;

    fake_send_bytes(client, 0, -1, 0);
    fake_send_bytes(client, 0, -1, 0);
    fake_send_bytes(client, -1, server->shm_fd, at);
    fake_send_bytes(client, 0, server->eventfds[0], at);
    fake_wait_close(client);
}

static void test_handshake_in_pieces(void)
{
    for (unsigned at = 0; at < 8; at += 3) {
        FakeServer *server = fake_server_start(say_in_pieces, &at);
        NtbPort *p = ntb_boot(&server->base, NULL);

        g_assert_cmpuint(p->port, ==, 0);
        ntb_quit(p);
        fake_server_stop(server);
    }
}

/* Bytes that mean nothing */
static void test_noise(void)
{
    uint32_t seed = g_test_rand_int();
    GRand *rng = g_rand_new_with_seed(seed);

    g_test_message("noise: seed 0x%x", seed);
    setup_fake();
    for (unsigned i = 0; i < 2000; i++) {
        uint64_t bytes = (uint64_t)g_rand_int(rng) << 32 | g_rand_int(rng);

        if (g_rand_boolean(rng)) {
            bytes &= 0xff;
        }
        fake_send_raw(fake->sockets[0], &bytes, 8,
                      g_rand_boolean(rng) ? fake->eventfds[1] : -1);
    }
    fake_settle(fake, 0, a);
    assert_fine();
    teardown_fake();
    g_rand_free(rng);
}

/* Half a message is the last that comes */
static void test_end_in_message(void)
{
    setup_fake();
    fake_send_raw(fake->sockets[0], "abc", 3, fake->eventfds[1]);
    fake_settle(fake, 0, a);
    shutdown(fake->sockets[0], SHUT_RDWR);
    ntb_settle(a->qts);
    ntb_write(a, A_OUTDBELLSET, 1);
    ntb_assert_msi(a);
    teardown_fake();
}

/*
 * Servers that come back, but not as they were
 */

static unsigned accepted;

/* How clients that come back are treated, @times in a row */
typedef struct BadReturn {
    unsigned times;
    unsigned timeout_ms;        /* longer than the good ones ever take */
    const char *greeting;       /* of no use, or NULL for none */
    bool bad_memory;            /* a handshake instead, with bad memory */
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

/* The log has it once, however often it happens */
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

static void check_bad_return(const BadReturn *bad, const char *reason)
{
    g_autofree char *log = ntb_tmp_path("stderr");
    QTestState *qts;

    accepted = 0;
    fake = fake_server_start(serve_badly, bad);
    qts = qtest_initf("%s -chardev socket,path=%s,id=ntb,reconnect-ms=20 "
                      "-device idt-ntb,id=ntb0,chardev=ntb,addr=4,"
                      "server-timeout=%u 2>%s", ntb_next_machine(),
                      fake->base.socket, bad->timeout_ms, log);
    a = ntb_open(qts, "ntb0", 0, 4 << 3, 0);
    a->owns_qemu = true;
    ntb_write(a, A_NTSDATA, 0x77);
    shutdown(fake->sockets[0], SHUT_RDWR);
    /* The registers answer all the time, and stay */
    do {
        g_assert_cmphex(ntb_read(a, A_NTSDATA), ==, 0x77);
    } while (qatomic_read(&fake->sockets[1]) < 0);
    fake_settle(fake, 1, a);
    g_assert_cmpuint(accepted, ==, bad->times + 2);
    assert_told_once(log, "handshake with the new server failed");
    assert_told_once(log, reason);
    g_assert_cmphex(ntb_read(a, A_NTSDATA), ==, 0x77);
    g_assert_true(ntb_qom_bool(a, "link"));
    g_assert_cmphex(shm()->slot[0].p.state, ==, IDT_NTB_PORT_UP);
    ntb_write(a, A_NTINTMSK, 0);
    ntb_write(a, A_INDBELLMSK, 0);
    fake_send(fake->sockets[1], 42, fake->eventfds[3]);
    fake_settle(fake, 1, a);
    assert_signals(42, fake->eventfds[3]);
    teardown_fake();
    g_unlink(log);
}

static void test_returns_silent(void)
{
    check_bad_return(&(BadReturn) { .times = 1, .timeout_ms = 3000 },
                     "3000 ms");
}

static void test_returns_with_garbage(void)
{
    check_bad_return(&(BadReturn) {
        .times = 3, .timeout_ms = 60000,
        .greeting = "220 mail.example.org ESMTP\r\n"
    }, "the ivshmem protocol");
}

static void test_returns_with_bad_memory(void)
{
    check_bad_return(&(BadReturn) {
        .times = 3, .timeout_ms = 60000, .bad_memory = true
    }, "port 0 can't attach");
}

/* The device is unplugged while a new server keeps it waiting */
static void test_unplug_in_handshake(void)
{
    const BadReturn silent = { .times = 1 };
    QTestState *qts;
    NtbPort *p;

    accepted = 0;
    fake = fake_server_start(serve_badly, &silent);
    qts = ntb_boot_root_port(&fake->base);
    ntb_device_add(qts);
    p = ntb_open_plugged(qts);
    shutdown(fake->sockets[0], SHUT_RDWR);
    ntb_wait(qatomic_read(&accepted) == 2);
    ntb_wait(fake_is_connected(qts));
    ntb_quit(p);
    ntb_device_del(qts);
    ntb_device_add(qts);
    p = ntb_open_plugged(qts);
    g_assert_cmpuint(p->port, ==, 0);
    ntb_write(p, A_OUTDBELLSET, 1);
    g_assert_cmphex(ntb_read(p, A_INDBELLSTS), ==, 1);
    ntb_quit(p);
    ntb_device_del(qts);
    qtest_quit(qts);
    fake_server_stop(fake);
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

static void test_queue_full(void)
{
    g_autofree char *path = ntb_tmp_path("socket");
    NtbServer full = { .socket = path };
    int listener = listen_full(path);
    g_autofree char *reconnects = g_strdup_printf(
        "-chardev socket,id=n,path=%s,reconnect-ms=100 "
        "-device idt-ntb,chardev=n,server-timeout=300", path);
    QTestState *qts;
    QDict *reply;
    NtbPort *p;

    ntb_assert_refused(reconnects, "accepts no connection");
    /* A guest that runs goes on, and the next server is a good one */
    qts = ntb_boot_root_port(&full);
    ntb_device_add_send(qts, ", 'server-timeout': 300");
    reply = qtest_qmp_receive(qts);
    g_assert_true(qdict_haskey(reply, "error"));
    qobject_unref(reply);
    fake = fake_server_start(fake_serve, NULL);
    g_assert_cmpint(g_rename(fake->base.socket, path), ==, 0);
    close(listener);
    ntb_device_add(qts);
    p = ntb_open_plugged(qts);
    g_assert_cmphex(ntb_read(p, A_BARSETUP0), ==, 0x800004c0);
    ntb_quit(p);
    ntb_device_del(qts);
    qtest_quit(qts);
    fake_server_stop(fake);
    g_unlink(path);
}

/*
 * The eventfd of a new port can come after its link is up and after the first
 * signals to it: then it is signalled once more.
 */
static void test_late_signal(void)
{
    setup_fake();
    play_port(5);
    ntb_write(a, A_OUTDBELLSET, 1);
    g_assert_false(was_signalled(fake->eventfds[1]));
    say(5, fake->eventfds[1]);
    fake_settle(fake, 0, a);
    g_assert_true(was_signalled(fake->eventfds[1]));
    /* Others that come are nothing to port 2 */
    say(6, fake->eventfds[2]);
    fake_settle(fake, 0, a);
    g_assert_false(was_signalled(fake->eventfds[1]));
    leave_port();
    teardown_fake();
}

static void test_late_eventfd(void)
{
    NtbPort *b;

    setup_fake();
    fake->silent = 1 << 0;
    b = ntb_boot(&fake->base, NULL);
    fake->silent = 0;
    ntb_write(b, A_NTINTMSK, 0);
    ntb_write(b, A_INDBELLMSK, 0);
    ntb_write(a, A_OUTDBELLSET, 1 << 3);
    g_assert_cmphex(ntb_read(b, A_INDBELLSTS), ==, 1 << 3);
    say(1, fake->eventfds[1]);
    ntb_assert_msi(b);
    ntb_write(b, A_INDBELLSTS, 1 << 3);
    ntb_assert_talk(a, b);
    ntb_quit(b);
    teardown_fake();
}

/*
 * All that another port has to look at is signalled to it before the guest's
 * write is over.  (A port looks by itself too, but not at once.)
 */
void ntb_test_signals(void)
{
    static const struct {
        uint32_t offset, value;
    } nt_writes[] = {
        { A_NTINTMSK, 0xbb }, { A_INDBELLMSK, 0 }, { A_INDBELLSTS, 1 },
        { A_MSGSTSMSK, 0 }, { A_MSGSTS, UINT32_MAX }, { A_NTINTSTS, 8 },
    };
    int eventfd;

    setup_fake();
    eventfd = fake->eventfds[1];
    say(5, eventfd);
    fake_settle(fake, 0, a);
    ntb_unmask_all(a);
    play_port(5);
    was_signalled(eventfd);

    ntb_write(a, A_OUTDBELLSET, 1 << 30);
    g_assert_true(was_signalled(eventfd));
    /* What it does not listen to need not wake it, but is there */
    shm()->slot[1].p.indbellmsk = 1 << 29;
    ntb_write(a, A_OUTDBELLSET, 1 << 29);
    g_assert_false(was_signalled(eventfd));
    g_assert_cmphex(shm()->slot[1].p.indbellsts, ==, 3u << 29);
    ntb_write(a, A_OUTDBELLSET, 3 << 28);
    g_assert_true(was_signalled(eventfd));
    ntb_route_message(a, 2, 1, 3);
    ntb_write(a, A_OUTMSG0 + 8, 1);
    g_assert_true(was_signalled(eventfd));
    ntb_write(a, A_NTGSIGNAL, 1);
    g_assert_true(was_signalled(eventfd));
    for (unsigned i = 0; i < G_N_ELEMENTS(nt_writes); i++) {
        ntb_gas_write(a, ntb_gas_nt(2, nt_writes[i].offset),
                      nt_writes[i].value);
        g_assert_true(was_signalled(eventfd));
    }
    ntb_cfg_writew(a, IDT_CAP_PCIE + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR);
    g_assert_true(was_signalled(eventfd));
    leave_port();
    teardown_fake();
}

/*
 * An eventfd that is filled to the brim, and blocking: the sender must not wait
 * for a port that does not look.
 */
void ntb_test_full_eventfd(void)
{
    const uint64_t brim = UINT64_MAX - 1;
    NtbPort *b;
    pid_t sender;
    int status;

    setup_fake();
    b = ntb_boot(&fake->base, NULL);
    ntb_write(b, A_NTINTMSK, 0);
    ntb_write(b, A_INDBELLMSK, 0);
    kill(qtest_pid(b->qts), SIGSTOP);
    g_assert_cmpint(waitpid(qtest_pid(b->qts), &status, WUNTRACED), >, 0);
    was_signalled(fake->eventfds[1]);
    g_assert_cmpint(write(fake->eventfds[1], &brim, sizeof(brim)), ==,
                    sizeof(brim));
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
    ntb_quit(b);
    teardown_fake();
}

/* Signals without a reason are no interrupts, and no work for ever */
void ntb_test_idle_signals(void)
{
    const uint64_t one = 1;

    setup_fake();
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
    g_assert_false(was_signalled(fake->eventfds[0]));
    teardown_fake();
}

/*
 * Another process writes anything into the shared memory.  The own port may be
 * of no use then, but the QEMU answers, and ends as it should.
 */
static void scribble(GRand *rng, unsigned words)
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
            /* Where something is */
            at = (IDT_NTB_SHM_BLOCK * g_rand_int_range(rng, 0, 5)) / 4 +
                 g_rand_int_range(rng, 0, sizeof(IdtNtbShmPort) / 4);
            break;
        }
        qatomic_set((uint32_t *)fake->base.mem + at, value);
    }
}

static void test_scribbled_memory(void)
{
    uint32_t seed = g_test_rand_int();
    GRand *rng = g_rand_new_with_seed(seed);
    NtbPort *b;

    g_test_message("scribbled memory: seed 0x%x", seed);
    setup_fake();
    b = ntb_boot(&fake->base, NULL);
    for (unsigned i = 0; i < 3000; i++) {
        NtbPort *p = i & 1 ? a : b;
        uint32_t offset = g_rand_int_range(rng, A_NTCTL, A_LUTUDATA) & ~3;

        scribble(rng, 20);
        ntb_write(p, offset, g_rand_int(rng));
        ntb_read(p, offset);
        offset = g_rand_int_range(rng, IDT_GAS_SWITCH, IDT_GAS_SIZE) & ~3;
        ntb_gas_write(p, offset, g_rand_int(rng));
        ntb_gas_read(p, offset);
        ntb_gas_read(p, ntb_gas_nt(2, g_rand_int_range(rng, 0, 0x1000) & ~3));
        if (i % 100 == 0) {
            say(1 + i % 2, i % 3 ? fake->eventfds[1] : -1);
        }
    }
    qtest_system_reset(a->qts);
    ntb_settle(a->qts);
    ntb_settle(b->qts);
    ntb_quit(b);
    teardown_fake();
    g_rand_free(rng);
}

/* The identity of a peer's port: none of it may be taken for granted */
static void test_lying_port(void)
{
    setup_fake();
    for (unsigned i = 0; i < 40; i++) {
        uint32_t lies[] = { 0, 1, 2, 3, 77, UINT32_MAX, 0x80000000, 65536 };

        shm()->slot[1].p.state = lies[i % 8];
        shm()->slot[1].p.client = lies[i / 5];
        shm()->slot[1].p.generation = lies[(i + 3) % 8];
        shm()->slot[1].p.ntmtbladdr = lies[(i + 1) % 8];
        shm()->sw.msgctl[0][0] = lies[(i + 2) % 8] << 4 | lies[i / 5];
        ntb_write(a, A_OUTDBELLSET, UINT32_MAX);
        ntb_write(a, A_OUTMSG0, i);
        ntb_write(a, A_NTGSIGNAL, 1);
        ntb_gas_read(a, ntb_gas_nt(2, A_NTMTBLDATA));
        ntb_gas_write(a, ntb_gas_nt(2, A_NTMTBLDATA), UINT32_MAX);
        ntb_gas_read(a, ntb_gas_portsts(2));
        say(lies[i / 5], -1);
    }
    fake_settle(fake, 0, a);
    g_assert_cmphex(ntb_read(a, A_BARSETUP0), ==, 0x800004c0);
    teardown_fake();
}

static void add_tests(void)
{
    if (!ntb_machine_is_q35()) {
        return;
    }
    qtest_add_func("/idt-ntb/server/fine", test_fine);
    qtest_add_func("/idt-ntb/server/id-again", test_id_again);
    qtest_add_func("/idt-ntb/server/many-clients", test_many_clients);
    qtest_add_func("/idt-ntb/server/odd-ids", test_odd_ids);
    qtest_add_func("/idt-ntb/server/gone-twice", test_gone_twice);
    qtest_add_func("/idt-ntb/server/memory-again", test_memory_again);
    qtest_add_func("/idt-ntb/server/no-eventfds", test_no_eventfds);
    qtest_add_func("/idt-ntb/server/pieces", test_pieces);
    qtest_add_func("/idt-ntb/server/handshake-in-pieces",
                   test_handshake_in_pieces);
    qtest_add_func("/idt-ntb/server/noise", test_noise);
    qtest_add_func("/idt-ntb/server/end-in-message", test_end_in_message);
    qtest_add_func("/idt-ntb/server/returns-silent", test_returns_silent);
    qtest_add_func("/idt-ntb/server/returns-with-garbage",
                   test_returns_with_garbage);
    qtest_add_func("/idt-ntb/server/returns-with-bad-memory",
                   test_returns_with_bad_memory);
    qtest_add_func("/idt-ntb/server/unplug-in-handshake",
                   test_unplug_in_handshake);
    ntb_add_reconnect_test("/idt-ntb/server/queue-full", test_queue_full);
    qtest_add_func("/idt-ntb/peer/signals", ntb_test_signals);
    qtest_add_func("/idt-ntb/peer/late-signal", test_late_signal);
    qtest_add_func("/idt-ntb/peer/late-eventfd", test_late_eventfd);
    qtest_add_func("/idt-ntb/peer/full-eventfd", ntb_test_full_eventfd);
    qtest_add_func("/idt-ntb/peer/idle-signals", ntb_test_idle_signals);
    qtest_add_func("/idt-ntb/peer/scribbled-memory", test_scribbled_memory);
    qtest_add_func("/idt-ntb/peer/lying-port", test_lying_port);
}

libqos_init(add_tests);
