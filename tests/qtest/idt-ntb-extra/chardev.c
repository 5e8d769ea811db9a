/*
 * QTest testcase for idt-ntb: chardevs and servers that a device refuses
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "qobject/qdict.h"
#include "extra.h"

/* A path that does not fit into the address of a socket */
static void test_chardev_path(NtbFixture *f)
{
    g_autofree char *name = g_strnfill(200, 'x');
    g_autofree char *path = g_strconcat("/", name, NULL);

    ntb_assert_socket_refused(path, ",reconnect-ms=100", "path|too long");
}

static void test_chardev_listens(NtbFixture *f)
{
    g_autofree char *path = ntb_tmp_path("socket");

    ntb_assert_socket_refused(path, ",server=on,wait=off", "server=on");
}

/* Make a socket like one that a killed server left */
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

static void test_no_server(NtbFixture *f)
{
    g_autofree char *path = ntb_tmp_path("socket");

    ntb_assert_socket_refused(path, "", "connect");
    /* One that reconnects would wait for ever if it were let */
    ntb_assert_socket_refused(path, ",reconnect-ms=100", "ivshmem-server|"
                              "No such file|Start the ivshmem-server first");
    make_dead_socket(path);
    ntb_assert_socket_refused(path, ",reconnect-ms=100",
                              "ivshmem-server|refused|remove the socket");
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
static void test_chardev_fd(NtbFixture *f)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    QTestState *qts;

    g_strlcpy(addr.sun_path, f->server->socket, sizeof(addr.sun_path));
    g_assert_cmpint(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), ==, 0);
    qts = qtest_initf("%s -device pcie-root-port,id=rp0,bus=pcie.0,addr=5.0,"
                      "chassis=1 -chardev socket,fd=%d,id=ntb",
                      ntb_next_machine(), fd);
    close(fd);
    assert_plug_refused(qts, "descriptor");
}

/* One client is served, then nobody is let in any more */
static void test_queue_full(NtbFixture *f)
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
static void test_chardev_once(NtbFixture *f)
{
    QTestState *qts;

    qts = qtest_initf("%s -device pcie-root-port,id=rp0,bus=pcie.0,addr=5.0,"
                      "chassis=1 -chardev socket,path=%s,id=ntb",
                      ntb_next_machine(), f->server->socket);
    ntb_device_add(qts);
    ntb_device_del(qts);
    g_unlink(f->server->socket);
    assert_plug_refused(qts, "connect");
}

/* Somebody sits on the lock that every attach needs: a bounded wait */
static void test_lock_held(NtbFixture *f)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
    int fd = shm_open(f->server->shm_name, O_RDWR, 0);

    g_assert_cmpint(fcntl(fd, F_OFD_SETLK, &lock), ==, 0);
    ntb_assert_refused_at(f->server, "lock|3000 ms", ",server-timeout=3000");
    close(fd);
    ntb_start(f, 0, NULL);
}

static const NtbTest tests[] = {
    { "options/refuse-a-long-path", test_chardev_path, .q35 = true,
      .needs = ntb_reconnects },
    { "options/refuse-a-listening-chardev", test_chardev_listens, .q35 = true },
    { "options/refuse-a-connected-descriptor", test_chardev_fd, .q35 = true },
    { "options/plug-without-server-fails", test_chardev_once, .q35 = true },
    { "options/plug-with-a-busy-server-fails", test_queue_full, .q35 = true },
    { "options/need-a-server", test_no_server, .q35 = true,
      .needs = ntb_reconnects },
    { "options/wait-for-the-lock-is-bounded", test_lock_held, .q35 = true },
};

ntb_tests(tests);
