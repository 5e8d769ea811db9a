/*
 * IDT 89HPESxNTx PCIe switch: which port may reach the memory behind another
 *
 * A request of one port reaches the memory behind another one while the gate
 * between them is open.  When a gate closes, the closing port counts an epoch,
 * so that requests sent before are not executed later, and asks the ports that
 * have that memory mapped to check their mappings (mapping.h).
 *
 * Call all functions with the BQL held, from the main loop or a vCPU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_GATE_H
#define HW_MISC_IDT_NTB_GATE_H

#include "switch.h"

/*
 * Return true while the port in @slot may send requests through its windows:
 * its NTCTL.IDPROTDIS is set, or the mapping table has a valid entry for its
 * partition with requester ID 0 (user manual, p. 26-14).
 */
bool idt_ntb_gate_is_admitted(const IdtNtbSwitch *sw, unsigned slot);

/*
 * Return true while requests of @from reach the memory behind @to, both slots:
 * @from is admitted, both links are up, and the function of @to is a bus
 * master.
 */
bool idt_ntb_gate_is_open(const IdtNtbSwitch *sw, unsigned from, unsigned to);

/*
 * Return a number that changes whenever idt_ntb_gate_is_open() ends.  A request
 * carries it, so that the receiver drops what was sent before such an end.
 */
uint32_t idt_ntb_gate_epoch(const IdtNtbSwitch *sw, unsigned from,
                            unsigned to);

/*
 * Return true while reads of the port in @slot get an answer: its NTCTL.CPEN is
 * set (user manual, p. 14-14).  Writes need no answer.
 */
bool idt_ntb_gate_has_completions(const IdtNtbSwitch *sw, unsigned slot);

/* Count an epoch if the port in @slot is not admitted any more. */
void idt_ntb_gate_check_admission(IdtNtbSwitch *sw, unsigned slot);

/*
 * Count both epochs of the port in @slot, which ends accesses that are on their
 * way through its windows and to the memory behind it, and ask the holders of
 * that memory to check.  First make the end visible, in a state or control
 * register.  Do not wait for the holders.
 */
void idt_ntb_gate_close(IdtNtbSwitch *sw, unsigned slot);

/*
 * Return the slots that have memory behind one of @targets mapped, a bit each.
 */
uint32_t idt_ntb_gate_holders(const IdtNtbSwitch *sw, uint32_t targets);

/*
 * Ask the port in @slot to check its mappings.
 *
 * Returns: the value that close_ack of its block has reached when it is done.
 */
uint32_t idt_ntb_gate_ask_close(IdtNtbSwitch *sw, unsigned slot);

#endif
