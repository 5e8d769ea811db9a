/*
 * QTest testcase for idt-ntb: a server that a port does not connect to
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "extra.h"
#include "fake_server.h"

/* The two ways to fill the address of a socket that has no file */
static void test_chardev_abstract(NtbFixture *f)
{
    for (unsigned tight = 0; tight < 2; tight++) {
        FakeServer *fake = fake_server_start_abstract(fake_serve, NULL, tight);
        QTestState *qts;

        qts = qtest_initf("%s -device pcie-root-port,id=rp0,bus=pcie.0,"
                          "addr=5.0,chassis=1 -chardev socket,path=%s,id=ntb,"
                          "abstract=on,tight=%s", ntb_next_machine(),
                          fake->base.socket, tight ? "on" : "off");
        /* The second time it is the device that connects */
        for (unsigned i = 0; i < 2; i++) {
            NtbPort *p;

            ntb_device_add(qts);
            p = ntb_open_plugged(qts);
            g_assert_cmpuint(p->port, ==, 0);
            ntb_quit(p);
            ntb_device_del(qts);
        }
        g_assert_cmpuint(fake->clients, ==, 2);
        qtest_quit(qts);
        fake_server_stop(fake);
    }
}

/*
 * Server
 */

/* Deviations of a script from the handshake */
typedef struct Handshake {
    const char *name;
    const char *words;
    FakeScript *script;
} Handshake;

static void say_garbage(FakeServer *fake, int client)
{
    fake_send_raw(client, "HTTP/1.0 400 Bad request\r\n\r\n", 28, -1);
    fake_wait_close(client);
}

static void say_version_1(FakeServer *fake, int client)
{
    fake_send(client, 1, -1);
    fake_wait_close(client);
}

static void say_version_with_fd(FakeServer *fake, int client)
{
    fake_send(client, 0, fake->shm_fd);
    fake_wait_close(client);
}

static void say_bad_id(FakeServer *fake, int client)
{
    fake_send(client, 0, -1);
    fake_send(client, -5, -1);
    fake_wait_close(client);
}

static void say_huge_id(FakeServer *fake, int client)
{
    fake_send(client, 0, -1);
    fake_send(client, INT64_MAX, -1);
    fake_wait_close(client);
}

static void say_eventfd_first(FakeServer *fake, int client)
{
    fake_send(client, 0, -1);
    fake_send(client, 0, -1);
    fake_send(client, 0, fake->eventfds[0]);
    fake_send(client, -1, fake->shm_fd);
    fake_wait_close(client);
}

static void say_no_memory(FakeServer *fake, int client)
{
    fake_send(client, 0, -1);
    fake_send(client, 0, -1);
    fake_send(client, -1, -1);
    fake_send(client, 0, fake->eventfds[0]);
    fake_wait_close(client);
}

static void say_eventfd_as_memory(FakeServer *fake, int client)
{
    fake_send(client, 0, -1);
    fake_send(client, 0, -1);
    fake_send(client, -1, fake->eventfds[0]);
    fake_send(client, 0, fake->eventfds[0]);
    fake_wait_close(client);
}

static void say_socket_as_memory(FakeServer *fake, int client)
{
    fake_send(client, 0, -1);
    fake_send(client, 0, -1);
    fake_send(client, -1, client);
    fake_send(client, 0, fake->eventfds[0]);
    fake_wait_close(client);
}

static void say_memory_as_eventfd(FakeServer *fake, int client)
{
    fake_send(client, 0, -1);
    fake_send(client, 0, -1);
    fake_send(client, -1, fake->shm_fd);
    fake_send(client, 0, fake->shm_fd);
    fake_wait_close(client);
}

static void say_no_eventfd(FakeServer *fake, int client)
{
    fake_send(client, 0, -1);
    fake_send(client, 0, -1);
    fake_send(client, -1, fake->shm_fd);
    fake_send(client, 0, -1);
    fake_wait_close(client);
}

static void say_id_out_of_range(FakeServer *fake, int client)
{
    fake_send(client, 0, -1);
    fake_send(client, 0, -1);
    fake_send(client, -1, fake->shm_fd);
    fake_send(client, 70000, fake->eventfds[1]);
    fake_wait_close(client);
}

static const Handshake handshakes[] = {
    { "garbage", "version|ivshmem-server", say_garbage },
    { "version-1", "version 1", say_version_1 },
    { "version-with-fd", "version", say_version_with_fd },
    { "bad-id", "-5", say_bad_id },
    { "huge-id", "id", say_huge_id },
    { "eventfd-first", "memory", say_eventfd_first },
    { "no-memory", "memory", say_no_memory },
    { "eventfd-as-memory", "memory", say_eventfd_as_memory },
    { "socket-as-memory", "memory", say_socket_as_memory },
    { "memory-as-eventfd", "eventfd", say_memory_as_eventfd },
    { "no-eventfd", "server sent", say_no_eventfd },
    { "id-out-of-range", "70000", say_id_out_of_range },
};

static void test_handshake(NtbFixture *f)
{
    const Handshake *handshake = f->test->data;
    FakeServer *fake = fake_server_start(handshake->script, NULL);

    ntb_assert_refused_at(&fake->base, handshake->words, "%s", "");
    fake_server_stop(fake);
}

/* As much of a good handshake as *data says, in bytes; then silence or end */
typedef struct Partial {
    unsigned bytes;
    bool close;
} Partial;

static void say_part(FakeServer *fake, int client)
{
    static const int64_t values[] = { 0, 0, -1, 0 };
    const Partial *partial = fake->data;

    for (unsigned i = 0; i < partial->bytes; i++) {
        int64_t le = cpu_to_le64(values[i / 8]);
        int fd = -1;

        if (i == 16) {
            fd = fake->shm_fd;
        } else if (i == 24) {
            fd = fake->eventfds[0];
        }
        fake_send_raw(client, (uint8_t *)&le + i % 8, 1, fd);
    }
    if (!partial->close) {
        fake_wait_close(client);
    }
}

/* The server closes after each message, and in the middle of one */
static void test_server_closes(NtbFixture *f)
{
    for (unsigned bytes = 0; bytes < 32; bytes += 4) {
        Partial partial = { .bytes = bytes, .close = true };
        FakeServer *fake = fake_server_start(say_part, &partial);

        ntb_assert_refused_at(&fake->base, "closed|ivshmem-server", "%s", "");
        fake_server_stop(fake);
    }
}

/* ... or says no more: the wait ends, and the error says how long it was */
static void test_server_is_silent(NtbFixture *f)
{
    for (unsigned bytes = 0; bytes < 32; bytes += 4) {
        Partial partial = { .bytes = bytes };
        FakeServer *fake = fake_server_start(say_part, &partial);

        ntb_assert_refused_at(&fake->base, "123 ms", ",server-timeout=123");
        fake_server_stop(fake);
    }
}

/* ivshmem-server -n 0 */
static void say_no_vectors(FakeServer *fake, int client)
{
    fake_send(client, 0, -1);
    fake_send(client, 0, -1);
    fake_send(client, -1, fake->shm_fd);
    fake_wait_close(client);
}

static void test_no_vectors(NtbFixture *f)
{
    FakeServer *fake = fake_server_start(say_no_vectors, NULL);

    ntb_assert_refused_at(&fake->base, "3000 ms|vector",
                          ",server-timeout=3000");
    fake_server_stop(fake);
}

/* A file that is no memory: QEMU does not even look at it, it could hang */
static void say_file_as_memory(FakeServer *fake, int client)
{
    int fd = open("/proc/version", O_RDONLY | O_CLOEXEC);

    fake_send(client, 0, -1);
    fake_send(client, 0, -1);
    fake_send(client, -1, fd);
    fake_send(client, 0, fake->eventfds[0]);
    fake_wait_close(client);
    close(fd);
}

static void test_memory_is_file(NtbFixture *f)
{
    FakeServer *fake = fake_server_start(say_file_as_memory, NULL);

    ntb_assert_refused_at(&fake->base, "no file in memory|tmpfs", "%s", "");
    fake_server_stop(fake);
}

/* Memory that the server does not want to be written, or nobody can write */
static void say_guarded_memory(FakeServer *fake, int client)
{
    const unsigned *seals = fake->data;
    int fd = memfd_create("guarded", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    int given;

    g_assert_cmpint(ftruncate(fd, NTB_SHM_SIZE), ==, 0);
    g_assert_cmpint(fcntl(fd, F_ADD_SEALS, *seals), ==, 0);
    given = open(path, *seals ? O_RDWR | O_CLOEXEC : O_RDONLY | O_CLOEXEC);
    fake_send(client, 0, -1);
    fake_send(client, 0, -1);
    fake_send(client, -1, given);
    fake_send(client, 0, fake->eventfds[0]);
    fake_wait_close(client);
    close(given);
    close(fd);
}

static void check_memory(unsigned seals, const char *words)
{
    FakeServer *fake = fake_server_start(say_guarded_memory, &seals);

    ntb_assert_refused_at(&fake->base, words, "%s", "");
    fake_server_stop(fake);
}

static void test_memory_read_only(NtbFixture *f)
{
    check_memory(0, "not open for reading and writing");
}

static void test_memory_sealed(NtbFixture *f)
{
    check_memory(F_SEAL_WRITE, "can't map");
}

static const NtbTest tests[] = {
    { "handshake/by-an-abstract-socket", test_chardev_abstract,
      .server = ntb_no_server, .q35 = true },
    { "handshake/server-closes-at-any-byte", test_server_closes,
      .server = ntb_no_server, .q35 = true },
    { "handshake/wait-for-a-silent-server-is-bounded", test_server_is_silent,
      .server = ntb_no_server, .q35 = true },
    { "handshake/needs-a-vector", test_no_vectors,
      .server = ntb_no_server, .q35 = true },
    { "handshake/refuses-a-file-as-memory", test_memory_is_file,
      .server = ntb_no_server, .q35 = true },
    { "handshake/refuses-read-only-memory", test_memory_read_only,
      .server = ntb_no_server, .q35 = true },
    { "handshake/refuses-sealed-memory", test_memory_sealed,
      .server = ntb_no_server, .q35 = true },
};

ntb_tests(tests);

static void add_handshakes(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(handshakes); i++) {
        g_autofree char *path = g_strdup_printf("handshake/refuses-%s",
                                                handshakes[i].name);

        ntb_add_test(&(NtbTest) {
            .path = path, .run = test_handshake, .server = ntb_no_server,
            .q35 = true, .data = &handshakes[i]
        });
    }
}

libqos_init(add_handshakes);
