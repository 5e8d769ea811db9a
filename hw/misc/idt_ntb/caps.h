/*
 * IDT 89HPESxNTx PCIe switch: capabilities of the NT function
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_CAPS_H
#define HW_MISC_IDT_NTB_CAPS_H

#include "hw/pci/pci_device.h"
#include "switch.h"

/*
 * Adds the capabilities of a function of @chip; what they don't open is
 * read-only.  Called at realize, with the BQL held.
 *
 * Returns: true, or false with @errp set; idt_ntb_caps_exit() is to be called
 * either way.
 */
bool idt_ntb_caps_init(PCIDevice *pci, const IdtNtbChip *chip, Error **errp);
void idt_ntb_caps_exit(PCIDevice *pci);

/* What resets the function; each does what those before it do. */
typedef enum IdtNtbResetKind {
    IDT_NTB_RESET_FUNCTION,     /* a function level reset */
    IDT_NTB_RESET_HOT,
    IDT_NTB_RESET_FUNDAMENTAL,
} IdtNtbResetKind;

/* The reset in progress; from the hold phase, with the BQL held. */
IdtNtbResetKind idt_ntb_caps_reset_kind(PCIDevice *pci);

/*
 * Returns the registers of the capabilities to @cfg, their dwords in reset,
 * those excepted that the reset in progress leaves alone: error registers stay
 * in a hot reset, and links and virtual channels in a function level reset too.
 * Called in the hold phase, with the BQL held.
 */
void idt_ntb_caps_reset(PCIDevice *pci, const uint32_t *cfg);

#endif
