/*
 * IDT 89HPESxNTx PCIe switch: failover
 *
 * A failover capability tells all ports and partitions that it is time for
 * another mode or state.  Those that listen to it (FEN and FCAPSEL of their
 * control registers) take what SWPORTxFCTL and SWPARTxFCTL have prepared for a
 * primary or a secondary failover, as if software had written it.
 *
 * All functions are called with the BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_FAILOVER_H
#define HW_MISC_IDT_NTB_FAILOVER_H

#include "switch.h"

/* Triggers a failover by capability @cap: ports and partitions change. */
void idt_ntb_failover_trigger(IdtNtbSwitch *sw, unsigned cap, bool secondary);

/*
 * Tells that failovers are completed when all of their changes have taken
 * place.  To be called now and then: some changes are those of other processes.
 */
void idt_ntb_failover_finish(IdtNtbSwitch *sw);

/* True if @port stands by: a failover can give it an NT function. */
bool idt_ntb_failover_has_nt(const IdtNtbSwitch *sw, unsigned port);

#endif
