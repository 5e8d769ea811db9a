/*
 * QTest testcase for idt-ntb: a server or a peer sends a file that hangs
 *
 * A process is a file system (FUSE) with one file.  When that file is open, it
 * answers no more.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "standard-headers/linux/fuse.h"
#include "extra.h"
#include "fake_port.h"

#define ROOT_INODE  1
#define FILE_INODE  2
#define FILE_NAME   "file"
#define NOT_MOUNTED 77          /* exit status */

/* The file system ends then: what hangs goes on, and the test fails */
#define DEADLINE_S  100

/*
 * The file system
 */

typedef struct Fuse {
    pid_t pid;
    char *dir;
    int socket;                 /* where the file comes from */
    int fd;                     /* the file */
} Fuse;

static void set_attr(struct fuse_attr *attr, uint64_t inode)
{
    attr->ino = inode;
    attr->mode = inode == FILE_INODE ? S_IFREG | 0600 : S_IFDIR | 0700;
    attr->size = inode == FILE_INODE ? NTB_SHM_SIZE : 0;
    attr->nlink = 1;
    attr->uid = getuid();
    attr->gid = getgid();
}

static void answer(int dev, uint64_t unique, int error, const void *data,
                   size_t len)
{
    struct fuse_out_header out = {
        .len = sizeof(out) + (error ? 0 : len), .error = -error,
        .unique = unique,
    };
    struct iovec iov[] = {
        { &out, sizeof(out) }, { (void *)data, error ? 0 : len },
    };

    if (writev(dev, iov, 2) < 0) {
        _exit(1);
    }
}

/* Returns: false after the opener has closed the file */
static bool serve_one(int dev)
{
    union {
        struct fuse_in_header in;
        char room[FUSE_MIN_READ_BUFFER + 4096];
    } request;
    struct fuse_init_out init = {
        .major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION,
        .max_write = 4096,
    };
    struct fuse_entry_out entry = { .nodeid = FILE_INODE };
    struct fuse_attr_out attr = { };
    struct fuse_open_out open = { };

    if (RETRY_ON_EINTR(read(dev, &request, sizeof(request))) < 0) {
        return errno == ENOENT;     /* a request was taken back */
    }
    switch (request.in.opcode) {
    case FUSE_INIT:
        answer(dev, request.in.unique, 0, &init, sizeof(init));
        return true;
    case FUSE_LOOKUP:
        set_attr(&entry.attr, FILE_INODE);
        answer(dev, request.in.unique, 0, &entry, sizeof(entry));
        return true;
    case FUSE_GETATTR:
        set_attr(&attr.attr, request.in.nodeid);
        answer(dev, request.in.unique, 0, &attr, sizeof(attr));
        return true;
    case FUSE_OPEN:
        answer(dev, request.in.unique, 0, &open, sizeof(open));
        return true;
    case FUSE_FLUSH:
        answer(dev, request.in.unique, 0, NULL, 0);
        return false;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
        return true;
    default:
        answer(dev, request.in.unique, ENOSYS, NULL, 0);
        return true;
    }
}

/* Root may mount; other users may in a user namespace of their own */
static bool become_mounter(void)
{
    g_autofree char *uids = g_strdup_printf("0 %u 1", getuid());
    g_autofree char *gids = g_strdup_printf("0 %u 1", getgid());

    return unshare(CLONE_NEWNS) == 0 ||
           (unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
            g_file_set_contents_full("/proc/self/setgroups", "deny", -1,
                                     G_FILE_SET_CONTENTS_NONE, 0, NULL) &&
            g_file_set_contents_full("/proc/self/uid_map", uids, -1,
                                     G_FILE_SET_CONTENTS_NONE, 0, NULL) &&
            g_file_set_contents_full("/proc/self/gid_map", gids, -1,
                                     G_FILE_SET_CONTENTS_NONE, 0, NULL));
}

static int mount_fuse(const char *dir)
{
    g_autofree char *options = NULL;
    int dev;

    if (!become_mounter()) {
        return -1;
    }
    dev = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    options = g_strdup_printf("fd=%d,rootmode=40700,user_id=%u,group_id=%u",
                              dev, getuid(), getgid());
    if (dev < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("idt-ntb-test", dir, "fuse", MS_NOSUID | MS_NODEV,
              options) < 0) {
        return -1;
    }
    return dev;
}

typedef struct Opener {
    const char *dir;
    int socket;
} Opener;

static void *open_and_send(void *opaque)
{
    const Opener *opener = opaque;
    g_autofree char *path = g_build_filename(opener->dir, FILE_NAME, NULL);
    int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0) {
        _exit(1);
    }
    fake_send(opener->socket, 0, fd);
    close(fd);
    return NULL;
}

static void G_GNUC_NORETURN be_file_system(const char *dir, int socket,
                                           int ready)
{
    Opener opener = { dir, socket };
    int dev = mount_fuse(dir);
    GThread *thread;

    if (dev < 0) {
        _exit(NOT_MOUNTED);
    }
    alarm(DEADLINE_S);
    thread = g_thread_new("opener", open_and_send, &opener);
    while (serve_one(dev)) {
        /* Until it is on its way to the test, and closed here */
    }
    g_thread_join(thread);
    if (write(ready, "r", 1) != 1) {
        _exit(1);
    }
    for (;;) {
        pause();
    }
}

/* The file.  Start QEMU before: to start a program closes it, and hangs */
static int fuse_fd(Fuse *fuse)
{
    union {
        struct cmsghdr cmsg;
        char control[CMSG_SPACE(sizeof(int))];
    } control = { };
    uint64_t value;
    struct iovec iov = { &value, sizeof(value) };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1,
        .msg_control = &control, .msg_controllen = sizeof(control),
    };

    if (fuse->fd < 0) {
        g_assert_cmpint(recvmsg(fuse->socket, &msg, MSG_CMSG_CLOEXEC), >, 0);
        g_assert_nonnull(CMSG_FIRSTHDR(&msg));
        memcpy(&fuse->fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fuse->fd));
    }
    return fuse->fd;
}

/* Returns: false, and the test is skipped, where there is no FUSE */
static bool fuse_start(Fuse *fuse)
{
    int pair[2], ready[2];
    int status;
    char byte;

    fuse->fd = -1;
    fuse->dir = ntb_tmp_path("fuse");
    g_assert_cmpint(g_mkdir(fuse->dir, 0700), ==, 0);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair),
                    ==, 0);
    g_assert_true(g_unix_open_pipe(ready, FD_CLOEXEC, NULL));
    fuse->pid = ntb_fork();
    if (!fuse->pid) {
        close(pair[0]);
        close(ready[0]);
        be_file_system(fuse->dir, pair[1], ready[1]);
    }
    close(pair[1]);
    close(ready[1]);
    fuse->socket = pair[0];
    status = RETRY_ON_EINTR(read(ready[0], &byte, 1));
    close(ready[0]);
    if (status == 1) {
        return true;
    }
    g_assert_cmpint(waitpid(fuse->pid, &status, 0), ==, fuse->pid);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, NOT_MOUNTED);
    g_test_skip("this host lets us mount no FUSE file system");
    close(fuse->socket);
    g_rmdir(fuse->dir);
    g_free(fuse->dir);
    return false;
}

/* Every process that waits for it gets an error then */
static void fuse_stop(Fuse *fuse)
{
    int status;

    kill(fuse->pid, SIGKILL);
    g_assert_cmpint(waitpid(fuse->pid, &status, 0), ==, fuse->pid);
    g_assert_true(WIFSIGNALED(status));
    g_assert_cmpint(WTERMSIG(status), ==, SIGKILL);
    close(fuse->socket);
    if (fuse->fd >= 0) {
        close(fuse->fd);
    }
    g_rmdir(fuse->dir);
    g_free(fuse->dir);
}

/*
 * The servers
 */

static Fuse fuse;
static unsigned accepted;

static void say_fuse_as_memory(FakeServer *server, int client)
{
    fake_send(client, 0, -1);
    fake_send(client, 0, -1);
    fake_send(client, -1, fuse_fd(&fuse));
    fake_send(client, 0, server->eventfds[0]);
    fake_wait_close(client);
}

/*
 * The client gives up by itself.  Before the file system has gone, the kernel
 * does not let it close the file and end.
 */
static void say_fuse_and_end(FakeServer *server, int client)
{
    say_fuse_as_memory(server, client);
    fuse_stop(&fuse);
}

/* The first client is served well */
static void say_fuse_later(FakeServer *server, int client)
{
    if (qatomic_fetch_inc(&accepted) == 0) {
        fake_serve(server, client);
    } else {
        say_fuse_as_memory(server, client);
    }
}

/* A QEMU that starts says what is wrong, and ends */
static void test_memory(NtbFixture *f)
{
    if (!fuse_start(&fuse)) {
        return;
    }
    fake_server_prepare(f, say_fuse_and_end, NULL);
    ntb_assert_refused_at(f->server, "no file in memory", "%s", "");
}

/* A QEMU that runs goes on, however often it gets the file */
static void test_memory_later(NtbFixture *f)
{
    FakeServer *fake;
    NtbPort *a;

    if (!fuse_start(&fuse)) {
        return;
    }
    accepted = 0;
    fake = fake_server_prepare(f, say_fuse_later, NULL);
    a = f->ports[0] = win_boot(f->server, WIN_SHARED, NULL,
                               ",server-timeout=500");
    ntb_write(a, A_NTSDATA, 0x77);
    shutdown(fake->sockets[0], SHUT_RDWR);
    do {
        g_assert_cmphex(ntb_read(a, A_NTSDATA), ==, 0x77);
        ntb_settle(a->qts);
    } while (qatomic_read(&accepted) < 20);
    g_assert_cmpuint(ntb_count_fds(a->qts), <, 100);
    fuse_stop(&fuse);
}

/* The file comes as an eventfd, or as one descriptor more than is expected */
static void test_eventfd(NtbFixture *f)
{
    FakeServer *fake;
    NtbPort *a;

    if (!fuse_start(&fuse)) {
        return;
    }
    fake = fake_server_prepare(f, fake_serve, NULL);
    a = ntb_start(f, 0, NULL);
    for (unsigned i = 0; i < 12; i++) {
        fake_send(fake->sockets[0], 9, fuse_fd(&fuse));
        fake_send(fake->sockets[0], 9, -1);
        fake_settle(fake, 0, a);
        fake_send_raw(fake->sockets[0], "\x09\0\0\0", 4, fuse_fd(&fuse));
        fake_settle(fake, 0, a);
        fake_send_raw(fake->sockets[0], "\0\0\0\0", 4, fake->eventfds[1]);
        fake_settle(fake, 0, a);
        g_assert_cmphex(ntb_read(a, A_BARSETUP0), ==, 0x800004c0);
        if (i == 6) {
            /* QEMU closes them when it can, and takes more then */
            fuse_stop(&fuse);
            g_assert_true(fuse_start(&fuse));
        }
    }
    fuse_stop(&fuse);
}

/*
 * The peers
 */

static FakePort us;

/* Answer the next request, a read, with its number */
static void *answer_read(void *opaque)
{
    IdtNtbShmMailbox *in = fake_port_inbox(&us);
    uint32_t number = in->tail + 1;

    ntb_wait(qatomic_load_acquire(&in->head) == number);
    qatomic_set(&in->reply_data, number);
    qatomic_set(&in->reply_ok, 1);
    qatomic_store_release(&in->reply, number);
    qatomic_set_mb(&in->tail, number);
    fake_port_signal(&us);
    return NULL;
}

/* RAM that is still being opened is accessed by request: no read is lost */
static void test_ram(NtbFixture *f)
{
    IdtNtbShmRam lie = { .addr = WIN_X, .size = WIN_SIZE };

    if (!fuse_start(&fuse)) {
        return;
    }
    fake_port_start(&us, ",completion-timeout=6000");
    win_open(us.a, 1, 1, WIN_X);
    lie.fd = fuse_fd(&fuse);
    fake_port_publish(&us, 0, -1, &lie);
    for (unsigned i = 1; i < 5; i++) {
        GThread *thread = g_thread_new("answer", answer_read, NULL);

        g_assert_cmphex(qtest_readq(us.a->qts, us.base), ==, i);
        g_thread_join(thread);
    }
    g_assert_cmpuint(win_mappings(us.a), ==, 0);
    fuse_stop(&fuse);
    fake_port_stop(&us);
}

#define OWN_SERVER  .server = ntb_no_server, .q35 = true

static const NtbTest tests[] = {
    { "hanging-file/as-ram-loses-no-read", test_ram, OWN_SERVER },
    { "hanging-file/as-memory-is-refused", test_memory, OWN_SERVER },
    { "hanging-file/as-new-memory-is-refused", test_memory_later,
      .needs = ntb_reconnects, OWN_SERVER },
    { "hanging-file/as-eventfd-is-refused", test_eventfd, OWN_SERVER },
};

ntb_tests(tests);
