/*
 * IDT 89HPESxNTx PCIe switch: changes of partition and port control
 *
 * SWPARTxCTL and SWPORTxCTL ask for a change; SWPARTxSTS and SWPORTxSTS show
 * what is in force.  From the write of a control register until the change is
 * applied, the ports that it affects have no link.  The owner of a port applies
 * its changes, after it has reset the function; a change of a port without an
 * owner is applied at once.
 *
 * Queries are in switch.h.  Call all functions with the BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_TOPOLOGY_H
#define HW_MISC_IDT_NTB_TOPOLOGY_H

#include "switch.h"

/*
 * Return true if the chip has the port with number @port and that can be in
 * @mode.  Any port of the register map can be disabled.
 */
bool idt_ntb_topology_can_have_mode(const IdtNtbSwitch *sw, unsigned port,
                                    unsigned mode);

/*
 * Write the bits in @mask of SWPORTxCTL, @port being a port number.  A write
 * that changes nothing completes at once.  If our own port changes, the caller
 * applies the change.
 *
 * Returns: false, with a message for the guest's developer, if the port can't
 * have that mode; nothing is written then.
 */
bool idt_ntb_topology_set_port(IdtNtbSwitch *sw, unsigned port, uint32_t mask,
                               uint32_t value);

/*
 * Write the bits in @mask of SWPARTxCTL.  If our own port is in @part, the
 * caller applies the change.
 *
 * Returns: false, with a message, if the state is reserved; nothing is written
 * then.
 */
bool idt_ntb_topology_set_partition(IdtNtbSwitch *sw, unsigned part,
                                    uint32_t mask, uint32_t value);

/*
 * Return SWPORTxSTS of the port with number @port, and SWPARTxSTS, as they
 * read.  Apply changes of ports whose owner has gone.
 */
uint32_t idt_ntb_topology_port_status(IdtNtbSwitch *sw, unsigned port);
uint32_t idt_ntb_topology_partition_status(IdtNtbSwitch *sw, unsigned part);

/*
 * Apply the changes of the port in @slot, if there are any.  The port is in
 * reset; it is our own, or has no owner.
 */
void idt_ntb_topology_apply(IdtNtbSwitch *sw, unsigned slot);

/*
 * Return true if the pending change of the port in @slot, whose link is up,
 * keeps the function as it is, without a reset: SWPORTxCTL.OMA says "no
 * action", and there is an NT function before and after the change.
 */
bool idt_ntb_topology_keeps_function(const IdtNtbSwitch *sw, unsigned slot);

#endif
