/*
 * IDT 89HPESxNTx PCIe switch: access to the registers
 *
 * One table, one decoder for configuration cycles, BAR0 and the global address
 * space.  All functions are called with the BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_REGS_ACCESS_H
#define HW_MISC_IDT_NTB_REGS_ACCESS_H

#include "hw/pci/pci.h"
#include "idt_ntb_switch.h"

/* What the decoder works on: one NT function and its switch. */
typedef struct IdtNtbRegs {
    IdtNtbSwitch *sw;
    PCIDevice *pci;             /* header and capabilities */
    uint32_t gasaaddr;
} IdtNtbRegs;

/* Builds the tables that the decoder looks into; call it once. */
void idt_ntb_regs_init(void);

/* Returns the registers of an NT function to their reset values. */
void idt_ntb_regs_reset_port(IdtNtbShmPort *port);

/* Returns the registers of the switch to their reset values. */
void idt_ntb_regs_reset_switch(IdtNtbShmSwitch *sw);

/*
 * Accesses @size (1 to 8) bytes at @offset of the NT function, at any
 * alignment, as byte lanes of the dwords that they touch.  What lies beyond
 * IDT_NT_CFG_SIZE reads as zero and ignores writes.
 *
 * After a write the caller publishes the configuration space, evaluates the
 * interrupt and looks for a function level reset.
 */
uint64_t idt_ntb_regs_read(IdtNtbRegs *regs, uint32_t offset, unsigned size);
void idt_ntb_regs_write(IdtNtbRegs *regs, uint32_t offset, uint64_t value,
                        unsigned size);

#endif
