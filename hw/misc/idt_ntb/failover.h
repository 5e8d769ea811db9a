/*
 * IDT 89HPESxNTx PCIe switch: failover
 *
 * A failover capability, when triggered, changes ports and partitions as
 * prepared: those that follow it (FEN and FCAPSEL of SWPORTxCTL and SWPARTxCTL)
 * take the mode or state that SWPORTxFCTL and SWPARTxFCTL hold for a primary or
 * a secondary failover, as if software had written the control register.
 * Source: user manual, p. 6-1.
 *
 * Call all functions with the BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_FAILOVER_H
#define HW_MISC_IDT_NTB_FAILOVER_H

#include "switch.h"

/*
 * Trigger a failover by capability @cap.  Afterwards apply changes of our own
 * port, and evaluate our interrupt: notify_guest(), or schedule look_bh.
 */
void idt_ntb_failover_trigger(IdtNtbSwitch *sw, unsigned cap, bool secondary);

/*
 * Signal the completion of failovers whose changes are all applied.  Call it
 * after a change of our port is applied and, since other processes apply
 * changes too, about once a second.
 */
void idt_ntb_failover_finish(IdtNtbSwitch *sw);

/* Return true if a failover can give the port in @slot an NT function. */
bool idt_ntb_failover_gives_nt(const IdtNtbSwitch *sw, unsigned slot);

#endif
