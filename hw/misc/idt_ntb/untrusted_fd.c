/*
 * IDT 89HPESxNTx PCIe switch: descriptors that other processes hold too
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include "qemu/atomic.h"
#include "qemu/error-report.h"
#include "qemu/memfd.h"
#include "qemu/thread.h"
#include "untrusted_fd.h"

/* Limit how many threads close descriptors at the same time */
#define MAX_CLOSING 16

/* Empty the kernel's ring of completions after this many */
#define MAX_COMPLETIONS 64

/*
 * The kernel signals the eventfd of a completed AIO request and never blocks
 * in doing so.  write(2) can block: any holder of the eventfd may clear
 * O_NONBLOCK, and pwritev2(RWF_NOWAIT) does not work on eventfds.  The request
 * is a read of /dev/null, which completes at once.
 */
struct IdtNtbSignaller {
    aio_context_t context;      /* 0: the kernel has no AIO for us */
    int null_fd;
    unsigned completions;
};

static unsigned closing;

static bool fd_is_named(int fd, const char *prefix)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autofree char *target = g_file_read_link(path, NULL);

    return target && g_str_has_prefix(target, prefix);
}

bool idt_ntb_untrusted_fd_is_eventfd(int fd)
{
    return fd_is_named(fd, "anon_inode:[eventfd]");
}

/* Only files in memory have seals; the kernel does not ask the file system */
bool idt_ntb_untrusted_fd_is_memory(int fd)
{
    return fcntl(fd, F_GET_SEALS) >= 0;
}

static void *close_thread(void *opaque)
{
    close(GPOINTER_TO_INT(opaque));
    qatomic_dec(&closing);
    return NULL;
}

void idt_ntb_untrusted_fd_close(int fd)
{
    QemuThread thread;

    if (fd < 0) {
        return;
    }
    if (idt_ntb_untrusted_fd_is_eventfd(fd) ||
        idt_ntb_untrusted_fd_is_memory(fd) || fd_is_named(fd, "pipe:[")) {
        close(fd);
        return;
    }
    qatomic_inc(&closing);
    qemu_thread_create(&thread, "idt-ntb-close", close_thread,
                       GINT_TO_POINTER(fd), QEMU_THREAD_DETACHED);
}

bool idt_ntb_untrusted_fd_is_busy(void)
{
    return qatomic_read(&closing) >= MAX_CLOSING;
}

IdtNtbSignaller *idt_ntb_signaller_new(void)
{
    IdtNtbSignaller *signaller = g_new0(IdtNtbSignaller, 1);

    signaller->null_fd = qemu_open_old("/dev/null", O_RDONLY);
    if (signaller->null_fd >= 0) {
        /* On failure the context stays 0 */
        syscall(SYS_io_setup, MAX_COMPLETIONS, &signaller->context);
    }
    return signaller;
}

void idt_ntb_signaller_free(IdtNtbSignaller *signaller)
{
    if (!signaller) {
        return;
    }
    if (signaller->context) {
        syscall(SYS_io_destroy, signaller->context);
    }
    if (signaller->null_fd >= 0) {
        close(signaller->null_fd);
    }
    g_free(signaller);
}

static bool poll_eventfd(int fd, short event)
{
    struct pollfd pfd = { .fd = fd, .events = event };

    return RETRY_ON_EINTR(poll(&pfd, 1, 0)) == 1 && (pfd.revents & event);
}

static bool signal_by_aio(IdtNtbSignaller *signaller, int fd)
{
    struct iocb request = {
        .aio_lio_opcode = IOCB_CMD_PREAD,
        .aio_fildes = signaller->null_fd,
        .aio_flags = IOCB_FLAG_RESFD,
        .aio_resfd = fd,
    };
    struct iocb *requests[] = { &request };

    if (!signaller->context) {
        return false;
    }
    if (signaller->completions == MAX_COMPLETIONS) {
        struct io_event events[MAX_COMPLETIONS];
        struct timespec now = { };

        syscall(SYS_io_getevents, signaller->context, 0, MAX_COMPLETIONS,
                events, &now);
        signaller->completions = 0;
    }
    signaller->completions++;
    return syscall(SYS_io_submit, signaller->context, 1, requests) == 1;
}

void idt_ntb_signaller_signal(IdtNtbSignaller *signaller, int fd)
{
    const uint64_t one = 1;

    if (signal_by_aio(signaller, fd) || !poll_eventfd(fd, POLLOUT)) {
        return;
    }
    if (RETRY_ON_EINTR(write(fd, &one, sizeof(one))) < 0 && errno != EAGAIN) {
        error_report_once("idt-ntb: can't signal another port: %s",
                          strerror(errno));
    }
}

int idt_ntb_untrusted_fd_clear(int fd)
{
    uint64_t count;
    struct iovec iov = { .iov_base = &count, .iov_len = sizeof(count) };
    ssize_t ret;

    ret = RETRY_ON_EINTR(preadv2(fd, &iov, 1, -1, RWF_NOWAIT));
    if (ret < 0 && errno == EOPNOTSUPP && poll_eventfd(fd, POLLIN)) {
        /* Linux before 5.8 has no RWF_NOWAIT for eventfds */
        ret = RETRY_ON_EINTR(read(fd, &count, sizeof(count)));
    }
    return ret < 0 && errno != EAGAIN && errno != EOPNOTSUPP ? -errno : 0;
}
