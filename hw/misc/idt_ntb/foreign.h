/*
 * IDT 89HPESxNTx PCIe switch: descriptors that a server sends
 *
 * They can be anything.  Where the file system is a process (FUSE) or another
 * host (NFS), each call that it has to answer can wait for ever: fstat(2),
 * fallocate(2), a page fault, and even close(2).  These functions never do.
 *
 * All functions are called with the BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_FOREIGN_H
#define HW_MISC_IDT_NTB_FOREIGN_H

/* True when @fd is an eventfd. */
bool idt_ntb_foreign_is_eventfd(int fd);

/* True when @fd is a regular file in tmpfs or hugetlbfs, or a memfd. */
bool idt_ntb_foreign_is_memory(int fd);

/*
 * Closes @fd, in a thread if that can take a while; no-op for -1.  A process
 * that has such a descriptor can't end before its file system answers or ends:
 * that is the kernel's way.
 */
void idt_ntb_foreign_close(int fd);

/* True while too many wait to be closed: take no more of them. */
bool idt_ntb_foreign_is_full(void);

#endif
