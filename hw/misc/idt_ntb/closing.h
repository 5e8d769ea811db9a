/*
 * IDT 89HPESxNTx PCIe switch: how others give up mappings of our memory
 *
 * A port that ends a window first makes the end visible.  Then it asks each
 * port that may hold mappings (@holds) to look at them: it counts the close_req
 * of that port up and signals it.  The holder gives up what is not allowed any
 * more (mapping.h), and shows in close_ack up to which request it has looked.
 *
 * A port sets its bit in @holds before it looks whether it may map.  So at
 * least one side sees the other's update.  docs/spin/idt-ntb-closing.promela
 * is a model of this.
 *
 * Call all functions with the BQL held, from the main loop or a vCPU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_CLOSING_H
#define HW_MISC_IDT_NTB_CLOSING_H

#include "request.h"

/* A port that may hold mappings of our memory. */
typedef struct IdtNtbHolder {
    bool silent;                /* it does not acknowledge: don't wait */
    uint32_t awaited;           /* the close_ack that ends the silence */
    int64_t told;               /* when a message said so; 0: never */
} IdtNtbHolder;

typedef struct IdtNtbClosing {
    IdtNtbRequest *request;
    IdtNtbHolder holder[IDT_MAX_NT_PORTS];  /* by slot */
} IdtNtbClosing;

/* Start over, with the port that @request is of. */
void idt_ntb_closing_start(IdtNtbClosing *c, IdtNtbRequest *request);

/* Ask all ports that have memory of ours mapped; do not wait. */
void idt_ntb_closing_ask(IdtNtbClosing *c);

/*
 * Ask the ports in @holders, a bit per slot, and wait up to the completion
 * timeout until they have given up the mappings of closed windows.  After that
 * they send requests by the registers as they are now.
 */
void idt_ntb_closing_wait(IdtNtbClosing *c, uint32_t holders);

/*
 * Ask all ports while our VM stops or migrates, and show no memory.  Wait,
 * up to the completion timeout, until no other process has any of it mapped.
 *
 * Return true if that is so.
 */
bool idt_ntb_closing_expel(IdtNtbClosing *c);

#endif
