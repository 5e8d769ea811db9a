/*
 * IDT 89HPESxNTx PCIe switch: translation of BAR offsets
 *
 * Call all functions with the BQL held, from the main loop or a vCPU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_TRANSLATE_H
#define HW_MISC_IDT_NTB_TRANSLATE_H

#include "hw/pci/pci_device.h"
#include "switch.h"

/*
 * The translation of an offset of a BAR.  All offsets from @start to @end
 * translate in the same way.
 */
typedef struct IdtNtbTranslation {
    bool ok;                    /* false: to nothing */
    int slot;                   /* of the port whose memory it is */
    uint64_t addr;              /* bus address there that belongs to @start */
    uint64_t start;
    uint64_t end;
} IdtNtbTranslation;

/* Translate @offset of BAR @bar of @pci by the registers of the function. */
void idt_ntb_translate_offset(const IdtNtbSwitch *sw, const PCIDevice *pci,
                              unsigned bar, uint64_t offset,
                              IdtNtbTranslation *t);

/* Return the bus address of BAR @bar of @pci. */
uint64_t idt_ntb_translate_bar_addr(const IdtNtbSwitch *sw,
                                    const PCIDevice *pci, unsigned bar);

#endif
