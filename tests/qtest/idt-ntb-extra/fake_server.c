/*
 * QTest testcase for idt-ntb: an ivshmem-server that does what a test says
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/sockios.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "qemu/bswap.h"
#include "qemu/memfd.h"
#include "fake_server.h"

void fake_send_raw(int client, const void *data, size_t len, int fd)
{
    struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
    union {
        struct cmsghdr cmsg;
        char control[CMSG_SPACE(sizeof(int))];
    } control = { };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (fd >= 0) {
        struct cmsghdr *cmsg;

        msg.msg_control = &control;
        msg.msg_controllen = sizeof(control);
        cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
    }
    /* The client may have gone: that is for the test to see */
    while (len && RETRY_ON_EINTR(sendmsg(client, &msg, MSG_NOSIGNAL)) < 0) {
        /* Its queue of descriptors in flight is limited */
        if (errno != ETOOMANYREFS && errno != EAGAIN) {
            return;
        }
        g_usleep(1000);
    }
}

void fake_send(int client, int64_t value, int fd)
{
    int64_t le = cpu_to_le64(value);

    fake_send_raw(client, &le, sizeof(le), fd);
}

void fake_send_bytes(int client, int64_t value, int fd, unsigned at)
{
    int64_t le = cpu_to_le64(value);

    for (unsigned i = 0; i < sizeof(le); i++) {
        int64_t end = g_get_monotonic_time() + NTB_DEADLINE_US;
        int unread = 0;

        fake_send_raw(client, (uint8_t *)&le + i, 1, i == at ? fd : -1);
        /* Let it be read alone */
        while (ioctl(client, SIOCOUTQ, &unread) == 0 && unread &&
               g_get_monotonic_time() < end) {
            g_usleep(100);
        }
    }
}

void fake_wait_close(int client)
{
    char byte;

    while (RETRY_ON_EINTR(read(client, &byte, 1)) > 0) {
        /* The protocol knows no message of a client */
    }
}

/* Tell client @to about client @id; @fd < 0: that it has gone */
static void tell(FakeServer *fake, unsigned to, unsigned id, int fd)
{
    if (!(fake->silent & 1u << to) && fake->sockets[to] >= 0) {
        fake_send(fake->sockets[to], id, fd);
    }
}

void fake_serve(FakeServer *fake, int client)
{
    unsigned id;

    g_mutex_lock(&fake->lock);
    id = fake->clients++;
    g_assert_cmpuint(id, <, FAKE_CLIENTS);
    fake->sockets[id] = client;
    fake_send(client, 0, -1);
    fake_send(client, id, -1);
    fake_send(client, -1, fake->shm_fd);
    for (unsigned i = 0; i < id; i++) {
        if (fake->sockets[i] >= 0) {
            tell(fake, i, id, fake->eventfds[id]);
            tell(fake, id, i, fake->eventfds[i]);
        }
    }
    fake_send(client, id, fake->eventfds[id]);
    g_mutex_unlock(&fake->lock);

    fake_wait_close(client);

    g_mutex_lock(&fake->lock);
    fake->sockets[id] = -1;
    for (unsigned i = 0; i < fake->clients; i++) {
        tell(fake, i, id, -1);
    }
    g_mutex_unlock(&fake->lock);
}

bool fake_is_connected(QTestState *qts)
{
    g_autofree char *text = qtest_hmp(qts, "info chardev");
    const char *entry = strstr(text, "ntb: filename=");

    return entry && !g_str_has_prefix(entry, "ntb: filename=disconnected:");
}

void fake_settle(FakeServer *fake, unsigned id, NtbPort *p)
{
    int unread;

    do {
        g_assert_cmpint(ioctl(fake->sockets[id], SIOCOUTQ, &unread), ==, 0);
        ntb_settle(p->qts);
    } while (unread);
}

typedef struct Client {
    FakeServer *fake;
    int fd;
} Client;

static void *client_thread(void *opaque)
{
    Client *client = opaque;

    client->fake->script(client->fake, client->fd);
    close(client->fd);
    g_free(client);
    return NULL;
}

static void *listener_thread(void *opaque)
{
    FakeServer *fake = opaque;
    GList *threads = NULL;
    int fd;

    while ((fd = RETRY_ON_EINTR(accept4(fake->listener, NULL, NULL,
                                        SOCK_CLOEXEC))) >= 0) {
        Client *client = g_new(Client, 1);

        client->fake = fake;
        client->fd = fd;
        threads = g_list_prepend(threads, g_thread_new("fake-client",
                                                       client_thread, client));
    }
    g_list_free_full(threads, (GDestroyNotify)g_thread_join);
    return NULL;
}

static FakeServer *server_new(FakeScript *script, const void *data)
{
    FakeServer *fake = g_new0(FakeServer, 1);

    fake->script = script;
    fake->data = data;
    g_mutex_init(&fake->lock);
    fake->base.size = NTB_SHM_SIZE;
    fake->base.socket = ntb_tmp_path("socket");
    fake->base.shm_name = g_strdup("memfd:idt-ntb-test");
    fake->base.mem = qemu_memfd_alloc("idt-ntb-test", fake->base.size, 0,
                                      &fake->shm_fd, NULL);
    for (unsigned i = 0; i < FAKE_CLIENTS; i++) {
        fake->eventfds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        fake->sockets[i] = -1;
    }

    g_assert_nonnull(fake->base.mem);
    return fake;
}

static void server_listen(FakeServer *fake, const struct sockaddr_un *addr,
                          socklen_t len)
{
    fake->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(fake->listener, (const struct sockaddr *)addr, len),
                    ==, 0);
    g_assert_cmpint(listen(fake->listener, 10), ==, 0);
    fake->thread = g_thread_new("fake-server", listener_thread, fake);
}

FakeServer *fake_server_start(FakeScript *script, const void *data)
{
    FakeServer *fake = server_new(script, data);
    struct sockaddr_un addr = { .sun_family = AF_UNIX };

    g_strlcpy(addr.sun_path, fake->base.socket, sizeof(addr.sun_path));
    server_listen(fake, &addr, sizeof(addr));
    return fake;
}

FakeServer *fake_server_start_abstract(FakeScript *script, const void *data,
                                       bool tight)
{
    FakeServer *fake = server_new(script, data);
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    size_t len = g_strlcpy(addr.sun_path + 1, fake->base.socket,
                           sizeof(addr.sun_path) - 1);

    server_listen(fake, &addr, tight ?
                  offsetof(struct sockaddr_un, sun_path) + 1 + len :
                  sizeof(addr));
    return fake;
}

static void stop_base(NtbServer *base)
{
    fake_server_stop(container_of(base, FakeServer, base));
}

FakeServer *fake_server_prepare(NtbFixture *f, FakeScript *script,
                                const void *data)
{
    FakeServer *fake = fake_server_start(script, data);

    fake->base.stop = stop_base;
    f->server = &fake->base;
    return fake;
}

void fake_server_stop(FakeServer *fake)
{
    shutdown(fake->listener, SHUT_RDWR);
    g_thread_join(fake->thread);
    close(fake->listener);
    for (unsigned i = 0; i < FAKE_CLIENTS; i++) {
        close(fake->eventfds[i]);
    }
    qemu_memfd_free(fake->base.mem, fake->base.size, fake->shm_fd);
    unlink(fake->base.socket);
    g_free(fake->base.socket);
    g_free(fake->base.shm_name);
    g_free(fake);
}
