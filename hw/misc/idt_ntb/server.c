/*
 * IDT 89HPESxNTx PCIe switch: client of the ivshmem-server
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/un.h>
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/bswap.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/sockets.h"
#include "qemu/timer.h"
#include "chardev/char-socket.h"
#include "hw/misc/ivshmem.h"
#include "server.h"
#include "trace.h"

/* Poll this often until the server accepts the connection */
#define CONNECT_RETRY_MS 10

/* Limit how many descriptors a broken server can make us keep */
#define MAX_CLIENTS 256

#define NO_SERVER_HINT \
    "Give the chardev the path of an ivshmem-server's socket.\n"

/* Another client of the server */
typedef struct Client {
    int eventfd;
    const uint32_t *looks;      /* its counter, when we signalled it last */
    uint32_t seen;              /* the value that this had then */
} Client;

static void close_fd(int *fd)
{
    idt_ntb_untrusted_fd_close(*fd);
    *fd = -1;
}

static void free_client(gpointer value)
{
    Client *client = value;

    close(client->eventfd);
    g_free(client);
}

static void handle_eventfd(void *opaque)
{
    IdtNtbServer *server = opaque;
    /* Clear before state is read: a later signal makes it readable again */
    int ret = idt_ntb_untrusted_fd_clear(server->eventfd);

    if (ret < 0) {
        error_report("idt-ntb: can't read the eventfd of client %u: %s",
                     server->id, strerror(-ret));
        qemu_set_fd_handler(server->eventfd, NULL, NULL, NULL);
    }
    server->ops->signalled(server->opaque);
}

/*
 * Modelled in docs/spin/idt-ntb-order.promela: a client clears its eventfd,
 * counts the look, reads the state.
 */
void idt_ntb_server_signal(IdtNtbServer *server, unsigned id,
                           const uint32_t *looks)
{
    Client *client = server->clients ?
        g_hash_table_lookup(server->clients, GUINT_TO_POINTER(id)) : NULL;
    uint32_t seen;

    if (!client) {
        return;
    }
    smp_mb();                   /* pairs with idt_ntb_switch_begin_look() */
    seen = qatomic_load_acquire(looks);
    if (client->looks == looks && client->seen == seen) {
        trace_idt_ntb_signal_unread(server->id, id);
        return;
    }
    client->looks = looks;
    client->seen = seen;
    idt_ntb_signaller_signal(server->signaller, client->eventfd);
}

void idt_ntb_server_signal_all(IdtNtbServer *server)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, server->clients);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Client *client = value;

        idt_ntb_signaller_signal(server->signaller, client->eventfd);
    }
}

/* Add another client with its eventfd @fd, or remove it if @fd is -1. */
static void receive_client(IdtNtbServer *server, unsigned id, int *fd)
{
    gpointer key = GUINT_TO_POINTER(id);
    Client *client;

    if (*fd < 0) {
        g_hash_table_remove(server->clients, key);
        trace_idt_ntb_client_left(server->id, id);
        if (server->started) {
            server->ops->left(server->opaque, id);
        }
        return;
    }
    if (g_hash_table_contains(server->clients, key)) {
        return;                     /* a further vector: ignore it */
    }
    if (g_hash_table_size(server->clients) >= MAX_CLIENTS) {
        warn_report_once("idt-ntb: more than %d clients at one "
                         "ivshmem-server: some can't be signalled",
                         MAX_CLIENTS);
        return;
    }
    client = g_new0(Client, 1);
    client->eventfd = *fd;
    g_hash_table_insert(server->clients, key, client);
    *fd = -1;
    trace_idt_ntb_client_joined(server->id, id);
    if (server->started) {
        server->ops->joined(server->opaque, id);
    }
}

static bool receive_eventfd(IdtNtbServer *server, int64_t value, int *fd,
                            Error **errp)
{
    if (value < 0 || value > IDT_NTB_MAX_CLIENT_ID) {
        error_setg(errp, "the server sent client id %" PRId64
                   ", which is out of range", value);
        return false;
    }
    if (*fd >= 0) {
        /* Any other descriptor could block, or be readable forever */
        if (!idt_ntb_untrusted_fd_is_eventfd(*fd)) {
            error_setg(errp, "the server sent a descriptor for client %" PRId64
                       " that is no eventfd", value);
            return false;
        }
        /*
         * QEMU's socket layer clears O_NONBLOCK of a descriptor that it
         * receives, for all processes that hold it.  They may depend on it.
         */
        g_unix_set_fd_nonblocking(*fd, true, NULL);
    }
    if (value != server->id) {
        receive_client(server, value, fd);
        return true;
    }
    if (*fd < 0) {
        error_setg(errp, "the server sent no eventfd for this client, but "
                   "said that it has left");
        return false;
    }
    if (server->eventfd < 0) {
        server->eventfd = *fd;
        *fd = -1;
        server->state = IDT_NTB_SERVER_READY;
    }
    return true;
}

/*
 * Process one message of the server: @value and a descriptor, or -1.  If @fd is
 * set to -1, the descriptor is kept; else the caller closes it.
 */
static bool receive_message(IdtNtbServer *server, int64_t value, int *fd,
                            Error **errp)
{
    ERRP_GUARD();

    switch (server->state) {
    case IDT_NTB_SERVER_VERSION:
        if (*fd >= 0) {
            error_setg(errp, "the server sent a descriptor with the protocol "
                       "version");
            error_append_hint(errp, NO_SERVER_HINT);
            return false;
        }
        if (value != IVSHMEM_PROTOCOL_VERSION) {
            error_setg(errp, "the server speaks version %" PRId64 " of the "
                       "ivshmem protocol, or another protocol; only version "
                       "%d is supported", value, IVSHMEM_PROTOCOL_VERSION);
            error_append_hint(errp, NO_SERVER_HINT);
            return false;
        }
        server->state = IDT_NTB_SERVER_ID;
        return true;
    case IDT_NTB_SERVER_ID:
        if (value < 0 || value > IDT_NTB_MAX_CLIENT_ID || *fd >= 0) {
            error_setg(errp, "the server sent invalid client id %" PRId64
                       "%s", value, *fd >= 0 ? " with a descriptor" : "");
            return false;
        }
        server->id = value;
        server->state = IDT_NTB_SERVER_SHM;
        return true;
    case IDT_NTB_SERVER_SHM:
        if (value != -1 || *fd < 0) {
            error_setg(errp, "the server sent %" PRId64 " %s a descriptor "
                       "instead of the shared memory", value,
                       *fd < 0 ? "without" : "with");
            return false;
        }
        /* A page fault in any other file could block */
        if (!idt_ntb_untrusted_fd_is_memory(*fd)) {
            error_setg(errp, "the server's shared memory is no file in "
                       "memory");
            error_append_hint(errp, "Start ivshmem-server with -M NAME, or "
                              "with -m and a directory in tmpfs or "
                              "hugetlbfs.\n");
            return false;
        }
        server->shm_fd = *fd;
        *fd = -1;
        server->state = IDT_NTB_SERVER_EVENTFD;
        return true;
    case IDT_NTB_SERVER_EVENTFD:
    case IDT_NTB_SERVER_READY:
        return receive_eventfd(server, value, fd, errp);
    case IDT_NTB_SERVER_CLOSED:
        return true;
    }
    g_assert_not_reached();
}

/*
 * End the connection, so that the next device on this chardev makes a new one.
 * Do not disconnect a chardev that is connecting: QEMU's yank code would fail.
 */
static void hang_up(IdtNtbServer *server)
{
    if (qemu_chr_fe_backend_open(server->chr)) {
        qemu_chr_fe_disconnect(server->chr);
    }
}

static void close_descriptors(IdtNtbServer *server)
{
    if (server->eventfd >= 0) {
        qemu_set_fd_handler(server->eventfd, NULL, NULL, NULL);
    }
    close_fd(&server->eventfd);
    close_fd(&server->shm_fd);
    close_fd(&server->msg_fd);
    server->msg_len = 0;
    g_hash_table_remove_all(server->clients);
}

/*
 * End a handshake that failed, and take over @err.  In realize, keep it for
 * read_handshake().  Later, report it, but once only: a chardev that reconnects
 * may fail again and again.
 */
static void fail_handshake(IdtNtbServer *server, Error *err)
{
    server->state = IDT_NTB_SERVER_CLOSED;
    if (server->started) {
        timer_del(server->timer);
        close_descriptors(server);
        if (!server->failure_told) {
            server->failure_told = true;
            error_reportf_err(err, "idt-ntb: the handshake with the new server "
                              "failed: ");
        } else {
            error_free(err);
        }
    } else if (server->error) {
        error_free(err);
    } else {
        server->error = err;
    }
}

/* Give up a handshake in the main loop; the chardev may connect again. */
static void handle_timeout(void *opaque)
{
    IdtNtbServer *server = opaque;
    Error *err = NULL;

    error_setg(&err, "no complete handshake within %u ms", server->timeout_ms);
    fail_handshake(server, err);
    hang_up(server);
}

static void watch_eventfd(IdtNtbServer *server)
{
    qemu_set_fd_handler(server->eventfd, handle_eventfd, NULL, server);
}

static bool is_in_handshake(const IdtNtbServer *server)
{
    return server->state != IDT_NTB_SERVER_CLOSED &&
           server->state != IDT_NTB_SERVER_READY;
}

/*
 * Ask for no more than the rest of one message, so that the descriptor that
 * comes with it is not mistaken for that of another one.
 */
static int can_receive(void *opaque)
{
    IdtNtbServer *server = opaque;

    if (idt_ntb_untrusted_fd_is_busy()) {
        return 0;
    }
    return sizeof(server->msg) - server->msg_len;
}

/* Process the complete message in @server->msg. */
static bool complete_message(IdtNtbServer *server, Error **errp)
{
    bool handshake = is_in_handshake(server);
    int fd = server->msg_fd;
    bool ok;

    server->msg_len = 0;
    server->msg_fd = -1;
    ok = receive_message(server, ldq_le_p(server->msg), &fd, errp);
    close_fd(&fd);

    if (ok && handshake && server->started &&
        server->state == IDT_NTB_SERVER_READY) {
        timer_del(server->timer);
        watch_eventfd(server);
        ok = server->ops->server_ready(server->opaque, errp);
        server->failure_told = !ok && server->failure_told;
    }
    return ok;
}

/*
 * Take all descriptors that came with the bytes.  QEMU would close those that
 * are left, and could block in that.
 */
static void take_descriptors(IdtNtbServer *server)
{
    int fds[TCP_MAX_FDS];
    int count = qemu_chr_fe_get_msgfds(server->chr, fds, ARRAY_SIZE(fds));

    for (int i = 0; i < count; i++) {
        if (server->msg_fd < 0) {
            server->msg_fd = fds[i];
        } else {
            close_fd(&fds[i]);
        }
    }
}

static void receive_bytes(void *opaque, const uint8_t *buf, int size)
{
    IdtNtbServer *server = opaque;
    bool handshake = is_in_handshake(server);
    Error *err = NULL;

    take_descriptors(server);
    assert(size <= sizeof(server->msg) - server->msg_len);
    memcpy(server->msg + server->msg_len, buf, size);
    server->msg_len += size;
    if (server->msg_len < sizeof(server->msg)) {
        return;
    }
    if (complete_message(server, &err)) {
        return;
    }
    if (handshake) {
        fail_handshake(server, err);
        hang_up(server);
    } else if (!server->failure_told) {
        server->failure_told = true;
        warn_reportf_err(err, "idt-ntb: ignored a message of the server: ");
    } else {
        error_free(err);
    }
}

static void start_handshake(IdtNtbServer *server)
{
    close_descriptors(server);
    server->state = IDT_NTB_SERVER_VERSION;
    if (server->started) {
        timer_mod(server->timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                                 server->timeout_ms);
    }
}

static void handle_chardev_event(void *opaque, QEMUChrEvent event)
{
    IdtNtbServer *server = opaque;
    bool handshake = is_in_handshake(server);
    Error *err = NULL;

    switch (event) {
    case CHR_EVENT_OPENED:
        start_handshake(server);
        break;
    case CHR_EVENT_CLOSED:
        if (handshake || !server->started) {
            error_setg(&err, "the server closed the connection in the "
                       "handshake");
            error_append_hint(&err, NO_SERVER_HINT);
            fail_handshake(server, err);
        } else if (server->state == IDT_NTB_SERVER_READY) {
            server->state = IDT_NTB_SERVER_CLOSED;
            server->ops->server_lost(server->opaque);
        }
        break;
    default:
        break;
    }
}

/* Set @errp: connect(2) to @path failed with @err. */
static void set_connect_error(const char *path, int err, Error **errp)
{
    ERRP_GUARD();
    static const struct {
        int err;
        const char *hint;
    } hints[] = {
        { ENOENT, "Start the ivshmem-server first, with -S and this path." },
        { ECONNREFUSED, "The server that made this socket has ended: remove "
          "the socket and start the server again." },
        { EACCES, "Give QEMU access to the socket and its directory." },
        { EPERM, "Give QEMU access to the socket and its directory." },
        { EAGAIN, "The server hangs; restart it." },
    };

    error_setg_errno(errp, err, "can't connect to an ivshmem-server at '%s'",
                     path);
    for (unsigned i = 0; i < ARRAY_SIZE(hints); i++) {
        if (hints[i].err == err) {
            error_append_hint(errp, "%s\n", hints[i].hint);
        }
    }
}

/*
 * Connect to a UNIX socket until @deadline.  If a server does not accept and
 * its queue is full, connect(2) on a blocking socket would wait forever.
 *
 * Returns: the connected socket, or -1 with @errp set.
 */
static int connect_unix(const UnixSocketAddress *addr, int64_t deadline,
                        Error **errp)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    /* The name of an abstract socket starts with a NUL byte */
    char *path = un.sun_path + (addr->has_abstract && addr->abstract);
    socklen_t len = sizeof(un);
    int fd;

    if (path + strlen(addr->path) >= un.sun_path + sizeof(un.sun_path)) {
        error_setg(errp, "the path of the socket is too long");
        return -1;
    }
    strcpy(path, addr->path);
    if (path > un.sun_path && (!addr->has_tight || addr->tight)) {
        len = path + strlen(path) - (char *)&un;
    }
    fd = qemu_socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        error_setg_errno(errp, errno, "can't make a socket");
        return -1;
    }
    while (RETRY_ON_EINTR(connect(fd, (struct sockaddr *)&un, len)) < 0) {
        if (errno != EAGAIN ||
            qemu_clock_get_ms(QEMU_CLOCK_REALTIME) >= deadline) {
            set_connect_error(addr->path, errno, errp);
            close(fd);
            return -1;
        }
        g_usleep(CONNECT_RETRY_MS * 1000);
    }
    return fd;
}

/*
 * Wait until @deadline for a chardev that is connecting.  It connects in a
 * thread, which connect(2) can block forever.  When the thread ends, it leaves
 * a source in the main context: run that here.
 */
static bool wait_for_chardev(Chardev *cd, int64_t deadline, Error **errp)
{
    ERRP_GUARD();
    SocketChardev *socket = SOCKET_CHARDEV(cd);
    QIOTask *task = socket->connect_task;

    if (socket->state != TCP_CHARDEV_STATE_CONNECTING || !task) {
        return true;
    }
    while (!g_main_context_find_source_by_user_data(cd->gcontext, task)) {
        if (qemu_clock_get_ms(QEMU_CLOCK_REALTIME) >= deadline) {
            error_setg(errp, "the server of chardev '%s' accepts no "
                       "connection", cd->label);
            error_append_hint(errp, "Restart the ivshmem-server.\n");
            return false;
        }
        g_usleep(CONNECT_RETRY_MS * 1000);
    }
    g_main_context_acquire(cd->gcontext);
    qio_task_wait_thread(task);
    g_main_context_release(cd->gcontext);
    return true;
}

static bool check_chardev(Chardev *cd, Error **errp)
{
    ERRP_GUARD();
    const char *problem;

    if (!object_dynamic_cast(OBJECT(cd), TYPE_CHARDEV_SOCKET)) {
        problem = "is no socket";
    } else if (SOCKET_CHARDEV(cd)->is_listen) {
        problem = "is a server itself (server=on)";
    } else if (SOCKET_CHARDEV(cd)->addr->type == SOCKET_ADDRESS_TYPE_FD) {
        problem = "has a descriptor, so it can't connect again after an unplug";
    } else if (SOCKET_CHARDEV(cd)->addr->type != SOCKET_ADDRESS_TYPE_UNIX) {
        problem = "is no UNIX socket";
    } else {
        return true;
    }
    error_setg(errp, "chardev '%s' %s", cd->label, problem);
    error_append_hint(errp, "Use -chardev socket,id=%s,path=PATH with the path "
                      "of an ivshmem-server's socket.\n", cd->label);
    return false;
}

/* Connect the chardev, unless it is connected. */
static bool connect_chardev(IdtNtbServer *server, Error **errp)
{
    Chardev *cd = qemu_chr_fe_get_driver(server->chr);
    int64_t deadline = qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                       server->timeout_ms;
    int fd;

    if (!check_chardev(cd, errp) || !wait_for_chardev(cd, deadline, errp)) {
        return false;
    }
    if (qemu_chr_fe_backend_open(server->chr)) {
        return true;
    }
    fd = connect_unix(&SOCKET_CHARDEV(cd)->addr->u.q_unix, deadline, errp);
    if (fd < 0) {
        return false;
    }
    if (qemu_chr_add_client(cd, fd) < 0) {
        error_setg(errp, "chardev '%s' can't connect again", cd->label);
        close(fd);
        return false;
    }
    return true;
}

static gboolean handle_realize_timeout(gpointer opaque)
{
    IdtNtbServer *server = opaque;
    Error *err = NULL;

    if (server->state == IDT_NTB_SERVER_EVENTFD) {
        error_setg(&err, "the server sent no eventfd for this client within "
                   "%u ms", server->timeout_ms);
        error_append_hint(&err, "Start ivshmem-server with at least one vector "
                          "(-n 1).\n");
    } else {
        error_setg(&err, "the server sent no complete handshake within %u ms",
                   server->timeout_ms);
        error_append_hint(&err, NO_SERVER_HINT);
    }
    fail_handshake(server, err);
    return G_SOURCE_REMOVE;
}

/*
 * Read the handshake in realize.  Use another context than the main loop's, so
 * that nothing else runs meanwhile.
 */
static bool read_handshake(IdtNtbServer *server, Error **errp)
{
    g_autoptr(GMainContext) context = g_main_context_new();
    g_autoptr(GSource) timeout = g_timeout_source_new(server->timeout_ms);

    g_source_set_callback(timeout, handle_realize_timeout, server, NULL);
    g_source_attach(timeout, context);
    /* Sends CHR_EVENT_OPENED: see start_handshake() */
    qemu_chr_fe_set_handlers(server->chr, can_receive, receive_bytes,
                             handle_chardev_event, NULL, server, context, true);
    while (server->state != IDT_NTB_SERVER_READY && !server->error) {
        g_main_context_iteration(context, true);
    }
    qemu_chr_fe_set_handlers(server->chr, NULL, NULL, NULL, NULL, NULL, NULL,
                             false);
    g_source_destroy(timeout);
    if (server->error) {
        error_propagate(errp, server->error);
        server->error = NULL;
        return false;
    }
    return true;
}

bool idt_ntb_server_connect(IdtNtbServer *server, CharBackend *chr,
                            const IdtNtbServerOps *ops, void *opaque,
                            unsigned timeout_ms, Error **errp)
{
    *server = (IdtNtbServer) {
        .ops = ops,
        .opaque = opaque,
        .chr = chr,
        .msg_fd = -1,
        .shm_fd = -1,
        .eventfd = -1,
        .timeout_ms = timeout_ms,
    };
    if (!connect_chardev(server, errp)) {
        return false;
    }
    server->clients = g_hash_table_new_full(NULL, NULL, NULL, free_client);
    server->signaller = idt_ntb_signaller_new();
    server->timer = timer_new_ms(QEMU_CLOCK_REALTIME, handle_timeout, server);
    if (!read_handshake(server, errp)) {
        idt_ntb_server_disconnect(server);
        return false;
    }
    return true;
}

void idt_ntb_server_start(IdtNtbServer *server)
{
    server->started = true;
    watch_eventfd(server);
    /* Do not send CHR_EVENT_OPENED: the handshake is over */
    qemu_chr_fe_set_handlers_full(server->chr, can_receive, receive_bytes,
                                  handle_chardev_event, NULL, server, NULL,
                                  true, false);
}

bool idt_ntb_server_knows(const IdtNtbServer *server, unsigned id)
{
    return g_hash_table_contains(server->clients, GUINT_TO_POINTER(id));
}

bool idt_ntb_server_is_connected(const IdtNtbServer *server)
{
    return server->state == IDT_NTB_SERVER_READY;
}

void idt_ntb_server_disconnect(IdtNtbServer *server)
{
    if (!server->clients) {
        return;
    }
    server->state = IDT_NTB_SERVER_CLOSED;
    qemu_chr_fe_set_handlers(server->chr, NULL, NULL, NULL, NULL, NULL, NULL,
                             true);
    /* A server sends the handshake only once for each connection */
    hang_up(server);
    close_descriptors(server);
    g_clear_pointer(&server->clients, g_hash_table_destroy);
    g_clear_pointer(&server->signaller, idt_ntb_signaller_free);
    g_clear_pointer(&server->timer, timer_free);
}
