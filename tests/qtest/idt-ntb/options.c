/*
 * QTest testcase for idt-ntb: wrong use ends QEMU with a reason
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "qemu/bswap.h"
#include "qemu/module.h"
#include "hw/misc/idt_ntb/shm.h"
#include "qobject/qdict.h"
#include "fake_server.h"
#include "harness.h"

/*
 * Chardev
 */

static void test_no_chardev(void)
{
    ntb_assert_refused("-device idt-ntb", "chardev|ivshmem-server");
}

static void test_chardev_not_socket(void)
{
    g_autofree char *pipe = ntb_tmp_path("pipe");
    g_autofree char *args = NULL;

    ntb_assert_refused("-chardev null,id=n -device idt-ntb,chardev=n",
                       "socket|ivshmem-server");
    args = g_strdup_printf("-chardev file,id=n,path=%s "
                           "-device idt-ntb,chardev=n", pipe);
    ntb_assert_refused(args, "socket|ivshmem-server");
    ntb_assert_refused("-chardev udp,id=n,port=9 -device idt-ntb,chardev=n",
                       "socket|ivshmem-server");
    ntb_assert_refused("-chardev socket,id=n,host=127.0.0.1,port=9,"
                       "reconnect-ms=100 -device idt-ntb,chardev=n",
                       "no UNIX socket|ivshmem-server");
}

/* A path that does not fit into the address of a socket */
static void test_chardev_path(void)
{
    g_autofree char *name = g_strnfill(200, 'x');
    g_autofree char *args = g_strdup_printf(
        "-chardev socket,id=n,path=/%s,reconnect-ms=100 "
        "-device idt-ntb,chardev=n", name);

    ntb_assert_refused(args, "path|too long");
}

/* The two ways to fill the address of a socket that has no file */
static void test_chardev_abstract(void)
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

static void test_chardev_listens(void)
{
    g_autofree char *path = ntb_tmp_path("socket");
    g_autofree char *args = NULL;

    args = g_strdup_printf("-chardev socket,id=n,path=%s,server=on,wait=off "
                           "-device idt-ntb,chardev=n", path);
    ntb_assert_refused(args, "server=on");
}

/* What a server leaves that is killed */
static void make_dead_socket(const char *path)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpuint(strlen(path), <, sizeof(un.sun_path));
    strcpy(un.sun_path, path);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&un, sizeof(un)), ==, 0);
    close(fd);
}

static void test_no_server(void)
{
    g_autofree char *path = ntb_tmp_path("socket");
    g_autofree char *args = NULL;

    args = g_strdup_printf("-chardev socket,id=n,path=%s "
                           "-device idt-ntb,chardev=n", path);
    ntb_assert_refused(args, "connect");
    /* One that reconnects would wait for ever if it were let */
    g_free(args);
    args = g_strdup_printf("-chardev socket,id=n,path=%s,reconnect-ms=100 "
                           "-device idt-ntb,chardev=n", path);
    ntb_assert_refused(args, "ivshmem-server|No such file|Start the "
                       "ivshmem-server first");
    make_dead_socket(path);
    ntb_assert_refused(args, "ivshmem-server|refused|remove the socket");
    g_unlink(path);
}

static void assert_plug_refused(QTestState *qts, const char *word)
{
    QDict *error;

    error = qtest_qmp_assert_failure_ref(qts, "{'execute': 'device_add',"
                                         "'arguments': {'driver': 'idt-ntb',"
                                         "'id': 'ntb1', 'bus': 'rp0',"
                                         "'server-timeout': 200,"
                                         "'chardev': 'ntb'}}");
    g_test_message("%s", qdict_get_str(error, "desc"));
    g_assert_nonnull(strstr(qdict_get_str(error, "desc"), word));
    qobject_unref(error);
}

/*
 * A chardev made from a connected descriptor could not connect again after an
 * unplug
 */
static void test_chardev_fd(void)
{
    NtbServer *server = ntb_server_start();
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    QTestState *qts;

    g_strlcpy(addr.sun_path, server->socket, sizeof(addr.sun_path));
    g_assert_cmpint(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), ==, 0);
    qts = qtest_initf("%s -device pcie-root-port,id=rp0,bus=pcie.0,addr=5.0,"
                      "chassis=1 -chardev socket,fd=%d,id=ntb",
                      ntb_next_machine(), fd);
    close(fd);
    assert_plug_refused(qts, "descriptor");
    qtest_quit(qts);
    ntb_server_stop(server);
}

/* One client is served, then nobody is let in any more */
static void test_queue_full(void)
{
    g_autofree char *path = ntb_tmp_path("socket");
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int queued[64];
    unsigned count = 0;
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    QTestState *qts;

    g_strlcpy(addr.sun_path, path, sizeof(addr.sun_path));
    g_assert_cmpint(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), ==,
                    0);
    g_assert_cmpint(listen(listener, 1), ==, 0);
    qts = qtest_initf("%s -device pcie-root-port,id=rp0,bus=pcie.0,addr=5.0,"
                      "chassis=1 -chardev socket,path=%s,id=ntb",
                      ntb_next_machine(), path);
    close(accept(listener, NULL, NULL));
    while (count < G_N_ELEMENTS(queued)) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        queued[count++] = fd;
        if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
            break;
        }
    }
    g_assert_cmpint(errno, ==, EAGAIN);
    ntb_settle(qts);
    assert_plug_refused(qts, "connect");
    qtest_quit(qts);
    while (count--) {
        close(queued[count]);
    }
    close(listener);
}

/* The server is not there any more when the device is plugged again */
static void test_chardev_once(void)
{
    NtbServer *server = ntb_server_start();
    QTestState *qts;

    qts = qtest_initf("%s -device pcie-root-port,id=rp0,bus=pcie.0,addr=5.0,"
                      "chassis=1 -chardev socket,path=%s,id=ntb",
                      ntb_next_machine(), server->socket);
    ntb_device_add(qts);
    ntb_device_del(qts);
    g_unlink(server->socket);
    assert_plug_refused(qts, "connect");
    qtest_quit(qts);
    ntb_server_stop(server);
}

/*
 * Server
 */

/* What a script does differently in the handshake */
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

static void test_handshake(const void *opaque)
{
    const Handshake *handshake = opaque;
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
static void test_server_closes(void)
{
    for (unsigned bytes = 0; bytes < 32; bytes += 4) {
        Partial partial = { .bytes = bytes, .close = true };
        FakeServer *fake = fake_server_start(say_part, &partial);

        ntb_assert_refused_at(&fake->base, "closed|ivshmem-server", "%s", "");
        fake_server_stop(fake);
    }
}

/* ... or says no more: the wait ends, and the error says how long it was */
static void test_server_is_silent(void)
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

static void test_no_vectors(void)
{
    FakeServer *fake = fake_server_start(say_no_vectors, NULL);

    ntb_assert_refused_at(&fake->base, "3000 ms|vector",
                          ",server-timeout=3000");
    fake_server_stop(fake);
}

static void test_memory_too_small(void)
{
    g_autofree char *need = g_strdup_printf("%zu", sizeof(IdtNtbShm));
    NtbServer *server = ntb_server_start_size(16 * KiB);

    ntb_assert_refused_at(server, need, "%s", "");
    ntb_server_stop(server);
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

static void test_memory_is_file(void)
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

static void test_memory_read_only(void)
{
    check_memory(0, "not open for reading and writing");
}

static void test_memory_sealed(void)
{
    check_memory(F_SEAL_WRITE, "can't map");
}

/*
 * Topology
 */

static void test_port(void)
{
    NtbServer *server = ntb_server_start();
    NtbPort *a;

    ntb_assert_refused_at(server, "port=1|89HPES24NT6AG2|0 2", ",port=1");
    ntb_assert_refused_at(server, "port=24|0 2", ",port=24");
    ntb_assert_refused_at(server, "port=-2", ",port=-2");
    ntb_assert_refused_at(server, "port=8|partitions=5",
                          ",port=8,partitions=2");
    ntb_assert_refused_at(server, "port=4|partitions=3", ",port=4");
    a = ntb_boot(server, ",port=2");
    ntb_assert_refused_at(server, "port 2|taken", ",port=2");
    ntb_assert_no_msi(a);
    g_assert_cmphex(ntb_gas_read(a, ntb_gas_portsts(2)), ==, 0x4d0);
    ntb_quit(a);
    ntb_server_stop(server);
}

static void test_all_taken(void)
{
    NtbServer *server = ntb_server_start();
    NtbPort *a = ntb_boot(server, NULL);
    NtbPort *b = ntb_boot(server, NULL);

    ntb_assert_refused_at(server, "2 ports|taken|partitions", "%s", "");
    ntb_assert_talk(a, b);
    ntb_quit(a);
    ntb_quit(b);
    ntb_server_stop(server);
}

static void test_partitions(void)
{
    NtbServer *server = ntb_server_start();
    NtbPort *a;

    ntb_assert_refused_at(server, "partitions=1|2 to 6", ",partitions=1");
    ntb_assert_refused_at(server, "partitions=7|2 to 6", ",partitions=7");
    ntb_assert_refused_at(server, "partitions=0|2 to 6", ",partitions=0");
    a = ntb_boot(server, NULL);
    ntb_assert_refused_at(server, "partitions=3|partitions=2", ",partitions=3");
    ntb_quit(a);
    a = ntb_boot(server, ",partitions=3");
    ntb_assert_refused_at(server, "partitions=3|partitions=2", "%s", "");
    ntb_quit(a);
    ntb_server_stop(server);
}

static void test_completion_timeout(void)
{
    NtbServer *server = ntb_server_start();

    ntb_assert_refused_at(server, "completion-timeout=0|1 to 64000",
                          ",completion-timeout=0");
    ntb_assert_refused_at(server, "completion-timeout=64001|1 to 64000",
                          ",completion-timeout=64001");
    ntb_quit(ntb_boot(server, ",completion-timeout=64000"));
    ntb_server_stop(server);
}

/* It is the switch's, which is not known when properties are set */
static void test_temperature(void)
{
    NtbServer *server = ntb_server_start();

    ntb_assert_refused_at(server, "no switch yet|qom-set",
                          ",temperature=50000");
    ntb_server_stop(server);
}

static void test_only_migratable(void)
{
    NtbServer *server = ntb_server_start();
    g_autofree char *args = g_strdup_printf(
        "-only-migratable -chardev socket,path=%s,id=ntb "
        "-device idt-ntb,chardev=ntb", server->socket);

    ntb_assert_refused(args, "only-migratable|do not migrate");
    ntb_server_stop(server);
}

static void test_not_express(void)
{
    NtbServer *server = ntb_server_start();
    g_autofree char *args = NULL;

    args = g_strdup_printf("-chardev socket,path=%s,id=ntb "
                           "-device pcie-pci-bridge,id=br0 "
                           "-device idt-ntb,chardev=ntb,bus=br0,addr=1",
                           server->socket);
    ntb_assert_refused(args, "PCI Express|q35");
    ntb_server_stop(server);
}

/*
 * What others left in the memory, while one of them is attached.  Without, it
 * does not matter.
 */
static void test_other_switch(void)
{
    NtbServer *server = ntb_server_start();
    IdtNtbShm *shm = (IdtNtbShm *)server->mem;
    NtbPort *a = ntb_boot(server, NULL);
    IdtNtbShmHeader good = shm->header;
    uint32_t barsetup;

    shm->header.magic ^= 1;
    ntb_assert_refused_at(server, "no idt-ntb switch", "%s", "");
    shm->header = good;
    shm->header.version++;
    ntb_assert_refused_at(server, "version 5|version 4", "%s", "");
    shm->header = good;
    shm->header.size += 4096;
    ntb_assert_refused_at(server, "version", "%s", "");
    shm->header = good;
    shm->header.device_id = 0x808f;
    ntb_assert_refused_at(server, "0x808f|0x8091", "%s", "");
    shm->header = good;
    shm->header.partitions = 200;
    ntb_assert_refused_at(server, "partitions=200|partitions=2", "%s", "");
    shm->header = good;
    /* The layout of its BARs: BAR1 of 1 byte */
    barsetup = shm->reset_image[1].p.barsetup[1];
    shm->reset_image[1].p.barsetup[1] = R_BARSETUP0_EN_MASK;
    ntb_assert_refused_at(server, "port 2: |BARSETUP1", "%s", "");
    shm->reset_image[1].p.barsetup[1] = barsetup;
    ntb_quit(ntb_boot(server, NULL));
    ntb_quit(a);

    memset(server->mem, 0xff, sizeof(*shm));
    a = ntb_boot(server, NULL);
    g_assert_cmphex(ntb_gas_read(a, A_GIDBELLMSK0), ==, 0);
    ntb_quit(a);
    ntb_server_stop(server);
}

/* Somebody sits on the lock that every attach needs: a bounded wait */
static void test_lock_held(void)
{
    NtbServer *server = ntb_server_start();
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
    int fd = shm_open(server->shm_name, O_RDWR, 0);

    g_assert_cmpint(fcntl(fd, F_OFD_SETLK, &lock), ==, 0);
    ntb_assert_refused_at(server, "lock|3000 ms", ",server-timeout=3000");
    close(fd);
    ntb_quit(ntb_boot(server, NULL));
    ntb_server_stop(server);
}

static void add_tests(void)
{
    if (!ntb_machine_is_q35()) {
        return;
    }
    qtest_add_func("/idt-ntb/options/no-chardev", test_no_chardev);
    qtest_add_func("/idt-ntb/options/chardev-not-socket",
                   test_chardev_not_socket);
    ntb_add_reconnect_test("/idt-ntb/options/chardev-path", test_chardev_path);
    qtest_add_func("/idt-ntb/options/chardev-abstract", test_chardev_abstract);
    qtest_add_func("/idt-ntb/options/chardev-listens", test_chardev_listens);
    qtest_add_func("/idt-ntb/options/chardev-fd", test_chardev_fd);
    qtest_add_func("/idt-ntb/options/chardev-once", test_chardev_once);
    qtest_add_func("/idt-ntb/options/queue-full", test_queue_full);
    ntb_add_reconnect_test("/idt-ntb/options/no-server", test_no_server);
    qtest_add_func("/idt-ntb/options/port", test_port);
    qtest_add_func("/idt-ntb/options/all-taken", test_all_taken);
    qtest_add_func("/idt-ntb/options/partitions", test_partitions);
    qtest_add_func("/idt-ntb/options/completion-timeout",
                   test_completion_timeout);
    qtest_add_func("/idt-ntb/options/temperature", test_temperature);
    qtest_add_func("/idt-ntb/options/only-migratable", test_only_migratable);
    qtest_add_func("/idt-ntb/options/not-express", test_not_express);
    qtest_add_func("/idt-ntb/options/other-switch", test_other_switch);
    qtest_add_func("/idt-ntb/options/lock-held", test_lock_held);
    for (unsigned i = 0; i < G_N_ELEMENTS(handshakes); i++) {
        g_autofree char *path = g_strdup_printf("/idt-ntb/handshake/%s",
                                                handshakes[i].name);

        qtest_add_data_func(path, &handshakes[i], test_handshake);
    }
    qtest_add_func("/idt-ntb/handshake/closes", test_server_closes);
    qtest_add_func("/idt-ntb/handshake/silent", test_server_is_silent);
    qtest_add_func("/idt-ntb/handshake/no-vectors", test_no_vectors);
    qtest_add_func("/idt-ntb/memory/too-small", test_memory_too_small);
    qtest_add_func("/idt-ntb/memory/is-file", test_memory_is_file);
    qtest_add_func("/idt-ntb/memory/read-only", test_memory_read_only);
    qtest_add_func("/idt-ntb/memory/sealed", test_memory_sealed);
}

libqos_init(add_tests);
