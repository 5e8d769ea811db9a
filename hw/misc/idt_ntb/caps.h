/*
 * IDT 89HPESxNTx PCIe switch: capabilities of the NT function
 *
 * Call all functions with the BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_CAPS_H
#define HW_MISC_IDT_NTB_CAPS_H

#include "hw/pci/pci_device.h"
#include "hw/pci/pcie_regs.h"

/*
 * Add all capabilities to @pci in realize, and make the configuration space
 * behind the header read-only except for their writable bits.  @device_id is
 * the PCI device ID of the chip, a part of the serial number.  The offsets come
 * from the Linux driver; docs/specs/idt-ntb.rst says what is inferred.
 *
 * Returns: true, or false with @errp set; call idt_ntb_caps_exit() either way.
 */
bool idt_ntb_caps_init(PCIDevice *pci, uint16_t device_id, Error **errp);

/* Free what idt_ntb_caps_init() made, even if it failed half-way. */
void idt_ntb_caps_exit(PCIDevice *pci);

/* Width and speed of the link: x4, 5 GT/s */
#define IDT_NTB_MAX_LINK_WIDTH  QEMU_PCI_EXP_LNK_X4
#define IDT_NTB_MAX_LINK_SPEED  QEMU_PCI_EXP_LNK_5GT

/*
 * Show that a link of @width lanes and @speed was negotiated, as encoded in the
 * PCIe capability.
 */
void idt_ntb_caps_set_link(PCIDevice *pci, unsigned width, unsigned speed);

/* Kinds of reset.  Each also resets what the kinds before it reset. */
typedef enum IdtNtbResetKind {
    IDT_NTB_RESET_FUNCTION,     /* function level reset */
    IDT_NTB_RESET_HOT,
    IDT_NTB_RESET_FUNDAMENTAL,
} IdtNtbResetKind;

/* Return the kind of the reset in progress.  Call it in the hold phase. */
IdtNtbResetKind idt_ntb_caps_reset_kind(PCIDevice *pci);

/*
 * Reset the registers of the capabilities to @cfg, the reset values as dwords
 * by offset.  Registers that survive the reset in progress keep their values:
 * sticky error registers in a hot reset, in a function level reset also those
 * of the link and the virtual channel (PCI Express Base Specification).  Call
 * it in the hold phase.
 */
void idt_ntb_caps_reset(PCIDevice *pci, const uint32_t *cfg);

#endif
