/*
 * IDT 89HPESxNTx PCIe switch: eventfds that other processes hold too
 *
 * Any holder of an eventfd can make it blocking, fill its counter and read it.
 * These functions never block whatever the others do.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_EVENTFD_H
#define HW_MISC_IDT_NTB_EVENTFD_H

/* What signals are sent with; of one thread at a time. */
typedef struct IdtNtbSignaller IdtNtbSignaller;

/*
 * Never fails: where the kernel has no AIO to offer, a signal is sent as well
 * as it can be without.
 */
IdtNtbSignaller *idt_ntb_signaller_new(void);
void idt_ntb_signaller_free(IdtNtbSignaller *signaller);

/* Adds 1 to the counter, unless it is full: that is a signal too. */
void idt_ntb_eventfd_signal(IdtNtbSignaller *signaller, int fd);

/*
 * Clears the counter.
 *
 * Returns: 0, also when it was clear; a negative errno if @fd is of no use.
 */
int idt_ntb_eventfd_clear(int fd);

#endif
