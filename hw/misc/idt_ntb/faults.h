/*
 * IDT 89HPESxNTx PCIe switch: faults on demand
 *
 * Doorbells and messages of our port that get lost or come late, reads through
 * its windows that get no answer, and a pulled cable.  A fault belongs to the
 * port of this process; the shared memory holds only its counters.  @faults of
 * IdtNtbSwitch is NULL while no fault is set: a signal costs one branch then.
 *
 * Call all functions with the BQL held, from the main loop or a vCPU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_FAULTS_H
#define HW_MISC_IDT_NTB_FAULTS_H

#include "qemu/queue.h"
#include "switch.h"

/* As @port: faults hit what goes to any port */
#define IDT_NTB_FAULT_ALL_PORTS -1

typedef enum IdtNtbFaultKind {
    IDT_NTB_FAULT_DOORBELLS,
    IDT_NTB_FAULT_MESSAGES,
    IDT_NTB_FAULT_COMPLETIONS,
    IDT_NTB_NUM_FAULT_KINDS
} IdtNtbFaultKind;

/* A doorbell or message on its way. */
typedef struct IdtNtbSignal {
    IdtNtbFaultKind kind;
    unsigned to;                /* slot */
    unsigned reg;               /* inbound message register */
    uint64_t word;              /* doorbells, or what INMSG gets */
    int64_t due;                /* when it comes late: QEMU_CLOCK_VIRTUAL, ms */
    QSIMPLEQ_ENTRY(IdtNtbSignal) next;
} IdtNtbSignal;

typedef struct IdtNtbFaults {
    /* The faults: the caller of idt_ntb_faults_follow() sets them */
    bool cable_pulled;
    uint32_t every[IDT_NTB_NUM_FAULT_KINDS];    /* n-th one; 0: none */
    uint32_t late_ms;           /* 0: lost */
    uint32_t seed;              /* 0: each n-th; else one of n, by chance */
    int32_t port;               /* port number, or IDT_NTB_FAULT_ALL_PORTS */

    IdtNtbSwitch *sw;           /* NULL: not started */
    bool (*deliver)(IdtNtbSwitch *sw, const IdtNtbSignal *signal);
    uint32_t count[IDT_NTB_NUM_FAULT_KINDS];    /* since the last fault */
    uint32_t used_seed;
    GRand *rand;
    QEMUTimer *timer;
    QSIMPLEQ_HEAD(, IdtNtbSignal) late;
    unsigned num_late;
} IdtNtbFaults;

/*
 * Start; @sw is attached.  @deliver delivers a late signal; it returns false if
 * the signal is lost.
 */
void idt_ntb_faults_start(IdtNtbFaults *f, IdtNtbSwitch *sw,
                          bool (*deliver)(IdtNtbSwitch *sw,
                                          const IdtNtbSignal *signal));

/* Lose the signals that are on their way: ours is another link from now on. */
void idt_ntb_faults_lose_late(IdtNtbFaults *f);

/* Stop, before @sw is detached.  Late signals get lost. */
void idt_ntb_faults_stop(IdtNtbFaults *f);

/* Follow a change of the faults.  Late signals stay on their way. */
void idt_ntb_faults_follow(IdtNtbFaults *f);

/* Return true while the cable is pulled; @sw->faults is not NULL. */
bool idt_ntb_faults_cable_is_pulled(const IdtNtbSwitch *sw);

/*
 * Take a signal of our port away, to lose it or to deliver it late.
 * @sw->faults is not NULL.
 *
 * Return false if no fault hits it.
 */
bool idt_ntb_faults_take(IdtNtbSwitch *sw, const IdtNtbSignal *signal);

/*
 * Return true if our read through a window to slot @to gets no answer.
 * @sw->faults is not NULL.
 */
bool idt_ntb_faults_take_completion(IdtNtbSwitch *sw, unsigned to);

#endif
