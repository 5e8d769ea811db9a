/*
 * IDT 89HPESxNTx PCIe switch: the PCI-to-PCI bridge functions
 *
 * Every port has one, in the global address space only: what a guest has on its
 * bus is the NT function.  Its configuration space is laid out like that of the
 * NT function, with a type 1 header.
 *
 * All functions are called with the BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_BRIDGE_H
#define HW_MISC_IDT_NTB_BRIDGE_H

#include "switch.h"

/* True if the bridge function of @port has something at @offset. */
bool idt_ntb_bridge_has(const IdtNtbSwitch *sw, unsigned port, unsigned offset);

/* The dword at @offset of the bridge function of @port. */
uint32_t idt_ntb_bridge_read(const IdtNtbSwitch *sw, unsigned port,
                             unsigned offset);

/* What an EEPROM image writes there: PCIELSTS.SCLK only. */
void idt_ntb_bridge_boot_write(IdtNtbSwitch *sw, unsigned port, unsigned offset,
                               uint32_t value);

#endif
