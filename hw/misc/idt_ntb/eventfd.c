/*
 * IDT 89HPESxNTx PCIe switch: eventfds that other processes hold too
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include "qemu/error-report.h"
#include "eventfd.h"

/* Completions that are left in the kernel's ring before it is emptied */
#define MAX_COMPLETIONS 64

/*
 * The kernel signals the eventfd of a completed AIO request without ever
 * blocking, which write() can't be made to promise: O_NONBLOCK belongs to
 * everybody, and pwritev2(RWF_NOWAIT) does not work on eventfds.  The request
 * is a read of /dev/null, which completes at once.
 */
struct IdtNtbSignaller {
    aio_context_t context;      /* 0: none to be had */
    int null_fd;
    unsigned completions;
};

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

static bool eventfd_poll(int fd, short event)
{
    struct pollfd pfd = { .fd = fd, .events = event };

    return RETRY_ON_EINTR(poll(&pfd, 1, 0)) == 1 && (pfd.revents & event);
}

static bool eventfd_signal_aio(IdtNtbSignaller *signaller, int fd)
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

void idt_ntb_eventfd_signal(IdtNtbSignaller *signaller, int fd)
{
    const uint64_t one = 1;

    if (eventfd_signal_aio(signaller, fd) || !eventfd_poll(fd, POLLOUT)) {
        return;
    }
    if (RETRY_ON_EINTR(write(fd, &one, sizeof(one))) < 0 && errno != EAGAIN) {
        error_report_once("idt-ntb: can't signal another port: %s",
                          strerror(errno));
    }
}

int idt_ntb_eventfd_clear(int fd)
{
    uint64_t count;
    struct iovec iov = { .iov_base = &count, .iov_len = sizeof(count) };
    ssize_t ret;

    ret = RETRY_ON_EINTR(preadv2(fd, &iov, 1, -1, RWF_NOWAIT));
    if (ret < 0 && errno == EOPNOTSUPP && eventfd_poll(fd, POLLIN)) {
        /* Before Linux 5.8 */
        ret = RETRY_ON_EINTR(read(fd, &count, sizeof(count)));
    }
    return ret < 0 && errno != EAGAIN && errno != EOPNOTSUPP ? -errno : 0;
}
