/*
 * IDT 89HPESxNTx PCIe switch: descriptors that other processes hold too
 *
 * The ivshmem-server sends descriptors, and each QEMU of a switch holds the
 * eventfds of all others.  Both are untrusted:
 *
 * - A descriptor can refer to anything.  If its file system is a process (FUSE)
 *   or another host (NFS), then fstat(2), fallocate(2), a page fault and even
 *   close(2) can wait forever.
 * - Any holder of an eventfd can make it blocking, fill its counter and read
 *   it.
 *
 * Without AIO, or before Linux 5.8, another process can block a signal or a
 * clear.  Nothing else here blocks, whatever other processes do.  Call all
 * functions with the BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_UNTRUSTED_FD_H
#define HW_MISC_IDT_NTB_UNTRUSTED_FD_H

/* Return true if @fd is an eventfd. */
bool idt_ntb_untrusted_fd_is_eventfd(int fd);

/* Return true if @fd is a memfd, or a regular file in tmpfs or hugetlbfs. */
bool idt_ntb_untrusted_fd_is_memory(int fd);

/*
 * Close @fd; do nothing if it is -1.  If close(2) can block, a thread does it.
 * The kernel does not let a process end while such a thread is blocked.
 */
void idt_ntb_untrusted_fd_close(int fd);

/* Return true while too many threads are closing: accept no descriptors. */
bool idt_ntb_untrusted_fd_is_busy(void);

/* The kernel's AIO context that signals are sent through. */
typedef struct IdtNtbSignaller IdtNtbSignaller;

/*
 * Make a signaller.  Never fails: without AIO, an eventfd is signalled by
 * write(2), which can block if another process fills it at that moment.
 */
IdtNtbSignaller *idt_ntb_signaller_new(void);

/* Free @signaller, which may be NULL. */
void idt_ntb_signaller_free(IdtNtbSignaller *signaller);

/* Add 1 to the counter of eventfd @fd.  A full counter signals as well. */
void idt_ntb_signaller_signal(IdtNtbSignaller *signaller, int fd);

/*
 * Clear the counter of eventfd @fd.  Before Linux 5.8 this is a read(2), which
 * can block if another process makes the eventfd blocking and clears it at that
 * moment.
 *
 * Returns: 0, also if it was clear; a negative errno if @fd can't be read.
 */
int idt_ntb_untrusted_fd_clear(int fd);

#endif
