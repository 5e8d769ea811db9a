/*
 * IDT 89HPESxNTx PCIe switch: errors of the NT function
 *
 * The AER capability reports refused and unanswered accesses to the windows of
 * the function, and the errors that NTUEEM and NTCEEM emulate.  An error
 * message makes the root port send an interrupt, which can hit a register that
 * unplugs us.  So note an error where it is detected, and report it at the end
 * of the access.
 *
 * Call all functions with the BQL held, from the main loop or a vCPU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_ERRORS_H
#define HW_MISC_IDT_NTB_ERRORS_H

#include "hw/pci/pci_device.h"
#include "switch.h"

#define IDT_NTB_TLP_DWORDS 4

typedef struct IdtNtbErrors {
    /* Set by the owner */
    IdtNtbSwitch *sw;
    PCIDevice *pci;

    uint32_t noted;             /* PCI_ERR_UNC_* */
    bool noted_write;           /* the unsupported request was a write */
    uint32_t noted_tlp[IDT_NTB_TLP_DWORDS];
} IdtNtbErrors;

/*
 * Note that an access of @len bytes at bus address @addr was refused.  Do
 * nothing while the guest has not cleared an earlier one.
 */
void idt_ntb_errors_unsupported(IdtNtbErrors *e, uint64_t addr, unsigned len,
                                bool is_write);

/* Note that an access got no answer in time. */
void idt_ntb_errors_timeout(IdtNtbErrors *e);

/*
 * Report the noted errors, and those that were written to NTUEEM and NTCEEM.
 *
 * This can unplug the device.  If you go on, hold its object and check whether
 * @e->sw->shm is NULL.
 */
void idt_ntb_errors_report(IdtNtbErrors *e);

/*
 * Restore PCIELCAP: when QEMU's core injects an uncorrectable error, which a
 * user can ask it to, it writes DEVSTA as a dword, over the lower half.
 */
void idt_ntb_errors_repair(IdtNtbErrors *e);

/* Forget the noted errors. */
void idt_ntb_errors_reset(IdtNtbErrors *e);

#endif
