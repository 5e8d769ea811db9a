/*
 * IDT 89HPESxNTx PCIe switch: the PCI-to-PCI bridge functions
 *
 * Every port has a bridge function, which is reached through the global address
 * space only: a guest sees nothing but the NT function on its bus.  The
 * configuration space of a bridge has a type 1 header and the capabilities of
 * the NT function.
 *
 * Ports are named by their number.  Call all functions with the BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_BRIDGE_H
#define HW_MISC_IDT_NTB_BRIDGE_H

#include "switch.h"

/*
 * Return true if the bridge function of @port, any number, answers at @offset.
 */
bool idt_ntb_bridge_has(const IdtNtbSwitch *sw, unsigned port, unsigned offset);

/* Return the dword at @offset of the bridge function of @port. */
uint32_t idt_ntb_bridge_read(const IdtNtbSwitch *sw, unsigned port,
                             unsigned offset);

/*
 * Write the dword at @offset as a reset image does: PCIELSTS.SCLK changes, a
 * write elsewhere is logged.
 */
void idt_ntb_bridge_write_image(IdtNtbSwitch *sw, unsigned port,
                                unsigned offset, uint32_t value);

#endif
