/*
 * IDT 89HPESxNTx PCIe switch: client of the ivshmem-server
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/un.h>
#include "qapi/error.h"
#include "qemu/bswap.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/sockets.h"
#include "qemu/timer.h"
#include "chardev/char-socket.h"
#include "hw/misc/ivshmem.h"
#include "foreign.h"
#include "server.h"
#include "trace.h"

/* How long to sleep while the server has not accepted us */
#define CONNECT_RETRY_MS 10

/* Limit how many descriptors a broken server can make us keep */
#define MAX_CLIENTS 256

static void peers_close_fd(int *fd)
{
    idt_ntb_foreign_close(*fd);
    *fd = -1;
}

static void peers_free_eventfd(gpointer value)
{
    close(GPOINTER_TO_INT(value));
}

/*
 * QEMU's socket layer clears O_NONBLOCK of a descriptor that it receives, and
 * the flag is shared by all processes that hold it.  We don't depend on it, but
 * others may.
 */
static void peers_restore_nonblock(IdtNtbServer *peers)
{
    GHashTableIter iter;
    gpointer value;

    if (peers->eventfd >= 0) {
        g_unix_set_fd_nonblocking(peers->eventfd, true, NULL);
    }
    g_hash_table_iter_init(&iter, peers->eventfds);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        g_unix_set_fd_nonblocking(GPOINTER_TO_INT(value), true, NULL);
    }
}

static void peers_eventfd_readable(void *opaque)
{
    IdtNtbServer *peers = opaque;
    /* Clear first, then read state: a later signal makes it readable again */
    int ret = idt_ntb_eventfd_clear(peers->eventfd);

    if (ret < 0) {
        error_report("idt-ntb: can't read the eventfd of client %u: %s",
                     peers->id, strerror(-ret));
        qemu_set_fd_handler(peers->eventfd, NULL, NULL, NULL);
    }
    peers->ops->signalled(peers->opaque);
}

void idt_ntb_server_signal(IdtNtbServer *peers, unsigned id)
{
    gpointer value;

    if (peers->eventfds &&
        g_hash_table_lookup_extended(peers->eventfds, GUINT_TO_POINTER(id),
                                     NULL, &value)) {
        idt_ntb_eventfd_signal(peers->signaller, GPOINTER_TO_INT(value));
    }
}

void idt_ntb_server_signal_all(IdtNtbServer *peers)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, peers->eventfds);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        idt_ntb_eventfd_signal(peers->signaller, GPOINTER_TO_INT(value));
    }
}

/* Another client's eventfd, or (@fd < 0) the end of that client. */
static void peers_other(IdtNtbServer *peers, unsigned id, int *fd)
{
    gpointer key = GUINT_TO_POINTER(id);

    if (*fd < 0) {
        g_hash_table_remove(peers->eventfds, key);
        trace_idt_ntb_client_left(peers->id, id);
        if (peers->started) {
            peers->ops->left(peers->opaque, id);
        }
        return;
    }
    if (g_hash_table_contains(peers->eventfds, key)) {
        return;                     /* a further vector: one is enough */
    }
    if (g_hash_table_size(peers->eventfds) >= MAX_CLIENTS) {
        warn_report_once("idt-ntb: more than %d clients at one "
                         "ivshmem-server: some can't be signalled",
                         MAX_CLIENTS);
        return;
    }
    g_hash_table_insert(peers->eventfds, key, GINT_TO_POINTER(*fd));
    *fd = -1;
    trace_idt_ntb_client_joined(peers->id, id);
    if (peers->started) {
        peers->ops->joined(peers->opaque, id);
    }
}

static bool peers_eventfd_message(IdtNtbServer *peers, int64_t value, int *fd,
                                  Error **errp)
{
    if (value < 0 || value > IDT_NTB_MAX_CLIENT_ID) {
        error_setg(errp, "the server sent the client id %" PRId64
                   ", which is out of range", value);
        return false;
    }
    /* Anything else could block us, or spin the main loop */
    if (*fd >= 0 && !idt_ntb_foreign_is_eventfd(*fd)) {
        error_setg(errp, "the server sent a descriptor for client %" PRId64
                   " that is no eventfd", value);
        return false;
    }
    if (value != peers->id) {
        peers_other(peers, value, fd);
        return true;
    }
    if (*fd < 0) {
        error_setg(errp, "the server sent no eventfd for this client, but its "
                   "end");
        return false;
    }
    if (peers->eventfd < 0) {
        peers->eventfd = *fd;
        *fd = -1;
        peers->state = IDT_NTB_SERVER_READY;
    }
    return true;
}

/*
 * One message of the server.  Takes @fd over by setting it to -1.
 */
static bool peers_message(IdtNtbServer *peers, int64_t value, int *fd,
                          Error **errp)
{
    ERRP_GUARD();

    switch (peers->state) {
    case IDT_NTB_SERVER_VERSION:
        if (*fd >= 0) {
            error_setg(errp, "the server sent a descriptor with the protocol "
                       "version; connect to an ivshmem-server");
            return false;
        }
        if (value != IVSHMEM_PROTOCOL_VERSION) {
            error_setg(errp, "the server speaks version %" PRId64 " of the "
                       "ivshmem protocol, or another protocol, and only "
                       "version %d is known; connect to an ivshmem-server",
                       value, IVSHMEM_PROTOCOL_VERSION);
            return false;
        }
        peers->state = IDT_NTB_SERVER_ID;
        return true;
    case IDT_NTB_SERVER_ID:
        if (value < 0 || value > IDT_NTB_MAX_CLIENT_ID || *fd >= 0) {
            error_setg(errp, "the server sent the invalid client id %" PRId64
                       "%s", value, *fd >= 0 ? " with a descriptor" : "");
            return false;
        }
        peers->id = value;
        peers->state = IDT_NTB_SERVER_SHM;
        return true;
    case IDT_NTB_SERVER_SHM:
        if (value != -1 || *fd < 0) {
            error_setg(errp, "the server sent %" PRId64 " %s descriptor in "
                       "place of the shared memory", value,
                       *fd < 0 ? "without a" : "with a");
            return false;
        }
        /* Anything else could block us */
        if (!idt_ntb_foreign_is_memory(*fd)) {
            error_setg(errp, "the server's shared memory is no file in "
                       "memory");
            error_append_hint(errp, "Start ivshmem-server with -M NAME, or "
                              "with -m and a directory in tmpfs or "
                              "hugetlbfs.\n");
            return false;
        }
        peers->shm_fd = *fd;
        *fd = -1;
        peers->state = IDT_NTB_SERVER_EVENTFD;
        return true;
    case IDT_NTB_SERVER_EVENTFD:
    case IDT_NTB_SERVER_READY:
        return peers_eventfd_message(peers, value, fd, errp);
    case IDT_NTB_SERVER_CLOSED:
        return true;
    }
    g_assert_not_reached();
}

/*
 * Ends the connection, so that the next user connects anew.  A chardev that is
 * connecting is left alone: QEMU's yank code can't unregister it.
 */
static void peers_hang_up(IdtNtbServer *peers)
{
    if (qemu_chr_fe_backend_open(peers->chr)) {
        qemu_chr_fe_disconnect(peers->chr);
    }
}

static void peers_close_descriptors(IdtNtbServer *peers)
{
    if (peers->eventfd >= 0) {
        qemu_set_fd_handler(peers->eventfd, NULL, NULL, NULL);
    }
    peers_close_fd(&peers->eventfd);
    peers_close_fd(&peers->shm_fd);
    peers_close_fd(&peers->msg_fd);
    peers->msg_len = 0;
    g_hash_table_remove_all(peers->eventfds);
}

/*
 * The handshake failed: realize finds the reason in @error, later the user is
 * told, once for all tries of a chardev that reconnects.  Takes @err.
 */
static void peers_handshake_failed(IdtNtbServer *peers, Error *err)
{
    peers->state = IDT_NTB_SERVER_CLOSED;
    if (peers->started) {
        timer_del(peers->timer);
        peers_close_descriptors(peers);
        if (!peers->failure_told) {
            peers->failure_told = true;
            error_reportf_err(err, "idt-ntb: the new server is of no use: ");
        } else {
            error_free(err);
        }
    } else if (peers->error) {
        error_free(err);
    } else {
        peers->error = err;
    }
}

/* The silent server of a handshake in the main loop.  The chardev may retry. */
static void peers_handshake_timeout(void *opaque)
{
    IdtNtbServer *peers = opaque;
    Error *err = NULL;

    error_setg(&err, "no complete handshake within %u ms", peers->timeout_ms);
    peers_handshake_failed(peers, err);
    peers_hang_up(peers);
}

static void peers_arm_eventfd(IdtNtbServer *peers)
{
    qemu_set_fd_handler(peers->eventfd, peers_eventfd_readable, NULL, peers);
}

static bool peers_in_handshake(const IdtNtbServer *peers)
{
    return peers->state != IDT_NTB_SERVER_CLOSED &&
           peers->state != IDT_NTB_SERVER_READY;
}

/* Never more than the rest of one message: its descriptor comes with it. */
static int peers_can_read(void *opaque)
{
    IdtNtbServer *peers = opaque;

    if (idt_ntb_foreign_is_full()) {
        return 0;
    }
    return sizeof(peers->msg) - peers->msg_len;
}

/* A whole message is in @msg. */
static bool peers_take_message(IdtNtbServer *peers, Error **errp)
{
    bool handshake = peers_in_handshake(peers);
    int fd = peers->msg_fd;
    bool ok;

    peers->msg_len = 0;
    peers->msg_fd = -1;
    ok = peers_message(peers, ldq_le_p(peers->msg), &fd, errp);
    peers_close_fd(&fd);
    peers_restore_nonblock(peers);

    if (ok && handshake && peers->started &&
        peers->state == IDT_NTB_SERVER_READY) {
        timer_del(peers->timer);
        peers_arm_eventfd(peers);
        ok = peers->ops->server_ready(peers->opaque, errp);
        peers->failure_told = !ok && peers->failure_told;
    }
    return ok;
}

/* Takes all descriptors that came: what we leave QEMU closes, and may hang */
static void peers_take_descriptors(IdtNtbServer *peers)
{
    int fds[TCP_MAX_FDS];
    int count = qemu_chr_fe_get_msgfds(peers->chr, fds, ARRAY_SIZE(fds));

    for (int i = 0; i < count; i++) {
        if (peers->msg_fd < 0) {
            peers->msg_fd = fds[i];
        } else {
            peers_close_fd(&fds[i]);
        }
    }
}

static void peers_read(void *opaque, const uint8_t *buf, int size)
{
    IdtNtbServer *peers = opaque;
    bool handshake = peers_in_handshake(peers);
    Error *err = NULL;

    peers_take_descriptors(peers);
    assert(size <= sizeof(peers->msg) - peers->msg_len);
    memcpy(peers->msg + peers->msg_len, buf, size);
    peers->msg_len += size;
    if (peers->msg_len < sizeof(peers->msg)) {
        return;
    }
    if (peers_take_message(peers, &err)) {
        return;
    }
    if (handshake) {
        peers_handshake_failed(peers, err);
        peers_hang_up(peers);
    } else if (!peers->failure_told) {
        peers->failure_told = true;
        warn_reportf_err(err, "idt-ntb: message of the server ignored: ");
    } else {
        error_free(err);
    }
}

static void peers_opened(IdtNtbServer *peers)
{
    peers_close_descriptors(peers);
    peers->state = IDT_NTB_SERVER_VERSION;
    if (peers->started) {
        timer_mod(peers->timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                                peers->timeout_ms);
    }
}

static void peers_event(void *opaque, QEMUChrEvent event)
{
    IdtNtbServer *peers = opaque;
    bool handshake = peers_in_handshake(peers);
    Error *err = NULL;

    switch (event) {
    case CHR_EVENT_OPENED:
        peers_opened(peers);
        break;
    case CHR_EVENT_CLOSED:
        if (handshake || !peers->started) {
            error_setg(&err, "the server closed the connection in the "
                       "handshake; is it an ivshmem-server?");
            peers_handshake_failed(peers, err);
        } else if (peers->state == IDT_NTB_SERVER_READY) {
            peers->state = IDT_NTB_SERVER_CLOSED;
            peers->ops->server_lost(peers->opaque);
        }
        break;
    default:
        break;
    }
}

/* Say why @path can't be connected to, and what to do about it */
static void peers_connect_error(const char *path, int err, Error **errp)
{
    ERRP_GUARD();

    error_setg_errno(errp, err, "can't connect to an ivshmem-server at '%s'",
                     path);
    switch (err) {
    case ENOENT:
        error_append_hint(errp, "Start the ivshmem-server first, with this "
                          "path (-S).\n");
        break;
    case ECONNREFUSED:
        error_append_hint(errp, "The server that made this socket has ended: "
                          "remove the socket and start it again.\n");
        break;
    case EACCES:
    case EPERM:
        error_append_hint(errp, "Run ivshmem-server and QEMU as the same "
                          "user, in directories that both may enter.\n");
        break;
    case EAGAIN:
        error_append_hint(errp, "The server hangs: restart it.\n");
        break;
    default:
        break;
    }
}

/*
 * Connects to a UNIX socket.  connect(2) would wait without a bound for a place
 * in the queue of a server that does not accept.
 */
static int peers_connect_unix(const UnixSocketAddress *addr, int64_t deadline,
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
            peers_connect_error(addr->path, errno, errp);
            close(fd);
            return -1;
        }
        g_usleep(CONNECT_RETRY_MS * 1000);
    }
    return fd;
}

/*
 * A chardev that reconnects may be at it, in a thread that connect(2) can keep
 * without a bound.  When it is through it leaves a source in the main context,
 * which we take.
 */
static bool peers_chardev_settle(Chardev *cd, int64_t deadline, Error **errp)
{
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

static bool peers_chardev_check(Chardev *cd, Error **errp)
{
    SocketChardev *socket;

    if (!object_dynamic_cast(OBJECT(cd), TYPE_CHARDEV_SOCKET)) {
        error_setg(errp, "chardev '%s' is no socket; use -chardev "
                   "socket,id=ID,path=PATH with the path of an "
                   "ivshmem-server's socket", cd->label);
        return false;
    }
    socket = SOCKET_CHARDEV(cd);
    if (socket->is_listen) {
        error_setg(errp, "chardev '%s' is a server itself (server=on); it "
                   "must connect to an ivshmem-server", cd->label);
        return false;
    }
    if (socket->addr->type == SOCKET_ADDRESS_TYPE_FD) {
        error_setg(errp, "chardev '%s' is made from a descriptor and can't "
                   "connect again after an unplug; use path=PATH with the "
                   "path of the ivshmem-server's socket", cd->label);
        return false;
    }
    if (socket->addr->type != SOCKET_ADDRESS_TYPE_UNIX) {
        error_setg(errp, "chardev '%s' is no UNIX socket; use -chardev "
                   "socket,id=ID,path=PATH with the path of an "
                   "ivshmem-server's socket", cd->label);
        return false;
    }
    return true;
}

/* Makes sure that the chardev is connected. */
static bool peers_chardev_connect(IdtNtbServer *peers, Error **errp)
{
    Chardev *cd = qemu_chr_fe_get_driver(peers->chr);
    int64_t deadline = qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                       peers->timeout_ms;
    int fd;

    if (!peers_chardev_check(cd, errp) ||
        !peers_chardev_settle(cd, deadline, errp)) {
        return false;
    }
    if (qemu_chr_fe_backend_open(peers->chr)) {
        return true;
    }
    fd = peers_connect_unix(&SOCKET_CHARDEV(cd)->addr->u.q_unix, deadline,
                            errp);
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

static gboolean peers_realize_timeout(gpointer opaque)
{
    IdtNtbServer *peers = opaque;
    Error *err = NULL;

    if (peers->state == IDT_NTB_SERVER_EVENTFD) {
        error_setg(&err, "the server sent no eventfd for this client within "
                   "%u ms; start ivshmem-server with at least one vector "
                   "(-n 1)", peers->timeout_ms);
    } else {
        error_setg(&err, "the server sent no complete handshake within %u ms; "
                   "is it an ivshmem-server?", peers->timeout_ms);
    }
    peers_handshake_failed(peers, err);
    return G_SOURCE_REMOVE;
}

/*
 * Reads the handshake in a context of its own: the main loop must not run in
 * the middle of realize.
 */
static bool peers_handshake(IdtNtbServer *peers, Error **errp)
{
    g_autoptr(GMainContext) context = g_main_context_new();
    g_autoptr(GSource) timeout = g_timeout_source_new(peers->timeout_ms);

    g_source_set_callback(timeout, peers_realize_timeout, peers, NULL);
    g_source_attach(timeout, context);
    /* Sends CHR_EVENT_OPENED, which starts the state machine */
    qemu_chr_fe_set_handlers(peers->chr, peers_can_read, peers_read,
                             peers_event, NULL, peers, context, true);
    while (peers->state != IDT_NTB_SERVER_READY && !peers->error) {
        g_main_context_iteration(context, true);
    }
    qemu_chr_fe_set_handlers(peers->chr, NULL, NULL, NULL, NULL, NULL, NULL,
                             false);
    g_source_destroy(timeout);
    if (peers->error) {
        error_propagate(errp, peers->error);
        peers->error = NULL;
        return false;
    }
    return true;
}

bool idt_ntb_server_connect(IdtNtbServer *peers, CharBackend *chr,
                           const IdtNtbServerOps *ops, void *opaque,
                           unsigned timeout_ms, Error **errp)
{
    *peers = (IdtNtbServer) {
        .ops = ops,
        .opaque = opaque,
        .chr = chr,
        .msg_fd = -1,
        .shm_fd = -1,
        .eventfd = -1,
        .timeout_ms = timeout_ms,
    };
    if (!peers_chardev_connect(peers, errp)) {
        return false;
    }
    peers->eventfds = g_hash_table_new_full(NULL, NULL, NULL,
                                            peers_free_eventfd);
    peers->signaller = idt_ntb_signaller_new();
    peers->timer = timer_new_ms(QEMU_CLOCK_REALTIME, peers_handshake_timeout,
                                peers);
    if (!peers_handshake(peers, errp)) {
        idt_ntb_server_disconnect(peers);
        return false;
    }
    return true;
}

void idt_ntb_server_start(IdtNtbServer *peers)
{
    peers->started = true;
    peers_arm_eventfd(peers);
    /* No CHR_EVENT_OPENED for the connection that exists */
    qemu_chr_fe_set_handlers_full(peers->chr, peers_can_read, peers_read,
                                  peers_event, NULL, peers, NULL, true,
                                  false);
}

bool idt_ntb_server_knows(const IdtNtbServer *peers, unsigned id)
{
    return g_hash_table_contains(peers->eventfds, GUINT_TO_POINTER(id));
}

bool idt_ntb_server_have_server(const IdtNtbServer *peers)
{
    return peers->state == IDT_NTB_SERVER_READY;
}

void idt_ntb_server_disconnect(IdtNtbServer *peers)
{
    if (!peers->eventfds) {
        return;
    }
    peers->state = IDT_NTB_SERVER_CLOSED;
    qemu_chr_fe_set_handlers(peers->chr, NULL, NULL, NULL, NULL, NULL, NULL,
                             true);
    /* The server speaks at connect only */
    peers_hang_up(peers);
    peers_close_descriptors(peers);
    g_clear_pointer(&peers->eventfds, g_hash_table_destroy);
    g_clear_pointer(&peers->signaller, idt_ntb_signaller_free);
    g_clear_pointer(&peers->timer, timer_free);
}
