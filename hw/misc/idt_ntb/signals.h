/*
 * IDT 89HPESxNTx PCIe switch: doorbells, messages, events, interrupt level
 *
 * A sender changes words in the receiver's block, then signals its owner; the
 * owner derives its interrupt level from the words.  A sender does not signal
 * for a doorbell or message that the receiver masks: after unmasking, the owner
 * reads the status again.  idt_ntb_signals_record_low() leaves the signal to
 * its caller.  None of these functions interrupts our own guest: the caller
 * evaluates our interrupt, by notify_guest() or look_bh.
 *
 * A function takes the slot of the port that sends: our own or, through the
 * global address space, any other.
 *
 * Call all functions with the BQL held, from the main loop or a vCPU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_SIGNALS_H
#define HW_MISC_IDT_NTB_SIGNALS_H

#include "faults.h"

/* The bits of NTINTSTS that latch; MSG and DBELL are derived. */
#define IDT_NTINT_LATCHED (R_NTINTSTS_SEVENT_MASK | R_NTINTSTS_FMCI_MASK | \
                           R_NTINTSTS_FMCC_MASK | R_NTINTSTS_TMPSENSOR_MASK)

/* Switch events: the position of their bit in SESTS. */
typedef enum IdtNtbEvent {
    IDT_NTB_EVENT_LINKUP = R_SESTS_LINKUP_SHIFT,
    IDT_NTB_EVENT_LINKDN = R_SESTS_LINKDN_SHIFT,
    IDT_NTB_EVENT_FRST = R_SESTS_FRST_SHIFT,
    IDT_NTB_EVENT_HRST = R_SESTS_HRST_SHIFT,
    IDT_NTB_EVENT_FAILOVER = R_SESTS_FAILOVER_SHIFT,
    IDT_NTB_EVENT_GSIGNAL = R_SESTS_GSIGNAL_SHIFT,
} IdtNtbEvent;

/* The words that the interrupt of an NT function is derived from. */
typedef struct IdtNtbIrqState {
    uint32_t ntintsts;          /* IDT_NTINT_LATCHED only */
    uint32_t ntintmsk;
    uint32_t indbellsts;
    uint32_t indbellmsk;
    uint32_t msgsts;
    uint32_t msgstsmsk;
} IdtNtbIrqState;

/*
 * Ring doorbells @bits at all ports with a link, except where GODBELLMSK or
 * GIDBELLMSK drops them.
 */
void idt_ntb_signals_ring(IdtNtbSwitch *sw, unsigned slot, uint32_t bits);

/* Deliver a late signal.  Returns: false if it is lost. */
bool idt_ntb_signals_deliver(IdtNtbSwitch *sw, const IdtNtbSignal *signal);

/*
 * Send @data through outbound message register @n, to the inbound register that
 * SWPxMSGCTLn selects.  If that is full or has no link, set a bit of OUTMSGSTS,
 * before this returns.
 */
void idt_ntb_signals_send(IdtNtbSwitch *sw, unsigned slot, unsigned n,
                          uint32_t data);

/*
 * Raise a switch event: set bit @n of its status register, and SEVENT in all
 * ports with a link that the masks let through (user manual, p. 16-1).
 *
 * @n: a port number for LINKUP and LINKDN, a capability for FAILOVER, whose
 * FCAPxSTS the caller has set, and a partition for the others.
 */
void idt_ntb_signals_raise(IdtNtbSwitch *sw, IdtNtbEvent event, unsigned n);

/*
 * Latch @bits of NTINTSTS in the port in @slot, if its link is up.  If only the
 * cable of our port is pulled, latch too: our guest still reaches its function.
 */
void idt_ntb_signals_latch(IdtNtbSwitch *sw, unsigned slot, uint32_t bits);

/* Return MSGSTS of the port in @slot, as it reads. */
uint32_t idt_ntb_signals_msgsts(const IdtNtbSwitch *sw, unsigned slot);

/* Return SESTS, as it reads. */
uint32_t idt_ntb_signals_sests(const IdtNtbSwitch *sw);

/* Read the interrupt words of the port in @slot. */
void idt_ntb_signals_read_irq(const IdtNtbSwitch *sw, unsigned slot,
                              IdtNtbIrqState *state);

/* Return NTINTSTS as it reads, from @state. */
uint32_t idt_ntb_signals_ntintsts(const IdtNtbIrqState *state);

/*
 * Record that bits of NTINTSTS can rise again, after a write to an interrupt
 * register of the port in @slot: those of @bits that the write left low, as
 * @status shows.  If the port is not ours, record all of @bits: when two
 * processes write at the same time, each sees the words of the other as they
 * were before, and neither sees the level fall.  Modelled in
 * docs/spin/idt-ntb-interrupt.promela.
 */
void idt_ntb_signals_record_low(IdtNtbSwitch *sw, unsigned slot, uint32_t bits,
                                uint32_t status);

/*
 * Take what was recorded for our port.
 *
 * Returns: the bits of NTINTSTS that were low since the last call.
 */
uint32_t idt_ntb_signals_take_low(IdtNtbSwitch *sw);

#endif
