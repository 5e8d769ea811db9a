/*
 * IDT 89HPESxNTx PCIe switch: errors of the NT function
 *
 * What the function detects is reported through its AER capability: refused
 * and unanswered accesses to its windows, and what NTUEEM and NTCEEM emulate.
 * An error message can make the root port interrupt, and where that is aimed at
 * may be our own function or slot.  So errors are noted where they are detected
 * and reported as the last thing of an access.
 *
 * All functions are called with the BQL held, from the main loop or a vCPU.
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
    bool noted_write;           /* what the unsupported request was */
    uint32_t noted_tlp[IDT_NTB_TLP_DWORDS];
} IdtNtbErrors;

/*
 * Notes that an access of @len bytes at bus address @addr was refused.  Cheap
 * as long as the last such error is not cleared: that one stands for all.
 */
void idt_ntb_errors_unsupported(IdtNtbErrors *e, uint64_t addr, unsigned len,
                                bool is_write);

/* Notes that an access got no answer in time; cheap likewise. */
void idt_ntb_errors_timeout(IdtNtbErrors *e);

/*
 * Reports what was noted, and what NTUEEM and NTCEEM were written with.
 *
 * The device may be unplugged on return: who goes on with it holds its object,
 * and looks whether @e->sw->shm is NULL.
 */
void idt_ntb_errors_report(IdtNtbErrors *e);

/* Forgets what was noted. */
void idt_ntb_errors_reset(IdtNtbErrors *e);

#endif
