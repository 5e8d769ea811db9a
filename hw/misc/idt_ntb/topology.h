/*
 * IDT 89HPESxNTx PCIe switch: partition and port control
 *
 * What SWPARTxCTL and SWPORTxCTL ask for and SWPARTxSTS and SWPORTxSTS show.
 * From the moment a register is written until the change has taken place the
 * ports that it concerns have no link.  A change takes place when the owner of
 * the port has reset its function; at once, where nobody owns it.
 *
 * All functions are called with the BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_TOPOLOGY_H
#define HW_MISC_IDT_NTB_TOPOLOGY_H

#include "switch.h"

/* The mode that @port is in: IDT_PORT_MODE_*, or a value without meaning. */
unsigned idt_ntb_topology_mode(const IdtNtbSwitch *sw, unsigned port);

/* True for a mode of SWPORTxCTL with an NT function. */
bool idt_ntb_topology_mode_has_nt(unsigned mode);

/*
 * True if @port can be in @mode: the chip has the port, and can give it an NT
 * function if the mode has one; or it is to be disabled.
 */
bool idt_ntb_topology_mode_is_valid(const IdtNtbSwitch *sw, unsigned port,
                                    unsigned mode);

/*
 * Writes SWPORTxCTL of @port, whose mode is valid.  A write of what is there
 * completes at once.  For our own port the caller then looks whether it is
 * settled.
 */
void idt_ntb_topology_set_port(IdtNtbSwitch *sw, unsigned port, uint32_t ctl);

/* Writes SWPARTxCTL of @partition, likewise. */
void idt_ntb_topology_set_partition(IdtNtbSwitch *sw, unsigned partition,
                                    uint32_t ctl);

/* SWPORTxSTS and SWPARTxSTS as they read. */
uint32_t idt_ntb_topology_port_status(IdtNtbSwitch *sw, unsigned port);
uint32_t idt_ntb_topology_partition_status(IdtNtbSwitch *sw,
                                           unsigned partition);

/*
 * True if no change of @port is to take place: of what SWPORTxCTL says, or of
 * the state of its partition.
 */
bool idt_ntb_topology_is_settled(const IdtNtbSwitch *sw, unsigned port);

/*
 * Lets changes of @port take place, which is in reset: our own, or nobody's.
 */
void idt_ntb_topology_settle(IdtNtbSwitch *sw, unsigned port);

/*
 * True if the function of @port, whose link is up, is not to be reset by the
 * change that is to take place: SWPORTxCTL.OMA says so, and it had an NT
 * function before and has one after.
 */
bool idt_ntb_topology_keeps_function(const IdtNtbSwitch *sw, unsigned port);

/* True while an attached @port has a link. */
bool idt_ntb_topology_allows_link(const IdtNtbSwitch *sw, unsigned port);

#endif
