/*
 * IDT 89HPESxNTx PCIe switch: doorbells, messages, events, interrupt level
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "signals.h"
#include "trace.h"

/* Faults hit only what our own guest sends */

static bool cable_is_pulled(const IdtNtbSwitch *sw, unsigned slot)
{
    return unlikely(sw->faults) && slot == sw->slot &&
           idt_ntb_faults_cable_is_pulled(sw);
}

static bool is_taken(IdtNtbSwitch *sw, unsigned slot,
                     const IdtNtbSignal *signal)
{
    return unlikely(sw->faults) && slot == sw->slot &&
           idt_ntb_faults_take(sw, signal);
}

/* Events */

typedef struct EventWords {
    uint32_t *sts;
    uint32_t *msk;
} EventWords;

static EventWords event_words(const IdtNtbSwitch *sw, IdtNtbEvent event)
{
    IdtNtbShmSwitch *regs = &sw->shm->sw;
    const EventWords words[] = {
        [IDT_NTB_EVENT_LINKUP] = { &regs->selinkupsts, &regs->selinkupmsk },
        [IDT_NTB_EVENT_LINKDN] = { &regs->selinkdnsts, &regs->selinkdnmsk },
        [IDT_NTB_EVENT_FRST] = { &regs->sefrststs, &regs->sefrstmsk },
        [IDT_NTB_EVENT_HRST] = { &regs->sehrststs, &regs->sehrstmsk },
        [IDT_NTB_EVENT_FAILOVER] = { NULL, &regs->sefovrmsk },
        [IDT_NTB_EVENT_GSIGNAL] = { &regs->segsigsts, &regs->segsigmsk },
    };

    return words[event];
}

/* A bit per failover capability whose FCAPxSTS is not 0 */
static uint32_t failover_status(const IdtNtbSwitch *sw)
{
    uint32_t status = 0;

    for (unsigned i = 0; i < IDT_NUM_FAILOVER_CAPS; i++) {
        if (qatomic_read(&sw->shm->sw.fcapsts[i])) {
            status |= BIT(i);
        }
    }
    return status;
}

uint32_t idt_ntb_signals_sests(const IdtNtbSwitch *sw)
{
    static const IdtNtbEvent events[] = {
        IDT_NTB_EVENT_LINKUP, IDT_NTB_EVENT_LINKDN, IDT_NTB_EVENT_FRST,
        IDT_NTB_EVENT_HRST, IDT_NTB_EVENT_FAILOVER, IDT_NTB_EVENT_GSIGNAL,
    };
    uint32_t sests = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(events); i++) {
        EventWords words = event_words(sw, events[i]);
        uint32_t status = words.sts ? qatomic_read(words.sts) :
                                      failover_status(sw);

        if (status & ~qatomic_read(words.msk)) {
            sests |= BIT(events[i]);
        }
    }
    return sests;
}

void idt_ntb_signals_raise(IdtNtbSwitch *sw, IdtNtbEvent event, unsigned n)
{
    EventWords words = event_words(sw, event);
    IdtNtbShmSwitch *regs = &sw->shm->sw;
    uint32_t sepmsk;

    trace_idt_ntb_event(sw->port, event, n);
    if (words.sts) {
        qatomic_fetch_or(words.sts, BIT(n));
    }
    if (qatomic_read(words.msk) & BIT(n) ||
        qatomic_read(&regs->semsk) & BIT(event)) {
        return;
    }
    sepmsk = qatomic_read(&regs->sepmsk);
    for (unsigned slot = 0; slot < sw->num_slots; slot++) {
        if (!(sepmsk & BIT(idt_ntb_switch_partition(sw, slot)))) {
            idt_ntb_signals_latch(sw, slot, R_NTINTSTS_SEVENT_MASK);
        }
    }
}

void idt_ntb_signals_latch(IdtNtbSwitch *sw, unsigned slot, uint32_t bits)
{
    if (idt_ntb_switch_link(sw, slot) ||
        cable_is_pulled(sw, slot)) {
        qatomic_fetch_or(&idt_ntb_switch_block(sw, slot)->ntintsts, bits);
        idt_ntb_switch_signal(sw, slot);
    }
}

/*
 * Signals the port in @slot about @bits of a status that were set, unless @mask
 * or bit @ntint of NTINTMSK masks them: unmasking re-reads the status.
 */
static void signal_unmasked(IdtNtbSwitch *sw, unsigned slot, uint32_t bits,
                            const uint32_t *mask, uint32_t ntint)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, slot);

    /* Pairs with the exchange of a mask: read_level() reads after it */
    smp_mb__after_rmw();
    if (bits & ~qatomic_read(mask) && !(qatomic_read(&p->ntintmsk) & ntint)) {
        idt_ntb_switch_signal(sw, slot);
    }
}

/* Doorbells */

static void set_doorbells(IdtNtbSwitch *sw, unsigned slot, uint32_t bits)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, slot);

    qatomic_fetch_or(&p->indbellsts, bits);
    signal_unmasked(sw, slot, bits, &p->indbellmsk, R_NTINTSTS_DBELL_MASK);
}

void idt_ntb_signals_ring(IdtNtbSwitch *sw, unsigned slot, uint32_t bits)
{
    IdtNtbShmSwitch *regs = &sw->shm->sw;
    unsigned source = idt_ntb_switch_partition(sw, slot);
    uint32_t reaches[IDT_MAX_PARTITIONS] = { };
    uint32_t refused = 0;
    unsigned masked = 0;

    for (unsigned n = 0; n < IDT_NUM_DOORBELLS; n++) {
        uint32_t blocked;

        if (!(bits & BIT(n))) {
            continue;
        }
        if (qatomic_read(&regs->godbellmsk[n]) & BIT(source)) {
            trace_idt_ntb_doorbell_refused(idt_ntb_switch_port(sw, slot), n);
            refused |= BIT(n);
            continue;
        }
        blocked = qatomic_read(&regs->gidbellmsk[n]);
        for (unsigned part = 0; part < IDT_MAX_PARTITIONS; part++) {
            if (!(blocked & BIT(part))) {
                reaches[part] |= BIT(n);
            }
        }
    }

    for (unsigned to = 0; to < sw->num_slots; to++) {
        unsigned part = idt_ntb_switch_partition(sw, to);

        if (!idt_ntb_switch_link(sw, to)) {
            continue;
        }
        masked += ctpop32(bits & ~refused & ~reaches[part]);
        if (reaches[part]) {
            IdtNtbSignal signal = {
                .kind = IDT_NTB_FAULT_DOORBELLS,
                .to = to,
                .word = reaches[part],
            };

            trace_idt_ntb_doorbell(idt_ntb_switch_port(sw, slot),
                                   idt_ntb_switch_port(sw, to), reaches[part]);
            if (!is_taken(sw, slot, &signal)) {
                set_doorbells(sw, to, reaches[part]);
            }
        }
    }
    idt_ntb_switch_count(sw, IDT_NTB_COUNT_DOORBELLS_SENT, ctpop32(bits));
    idt_ntb_switch_count(sw, IDT_NTB_COUNT_DOORBELLS_MASKED,
                         ctpop32(refused) + masked);
}

/* Messages */

/* Returns: false if the register is full. */
static bool deliver_message(IdtNtbSwitch *sw, const IdtNtbSignal *signal)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, signal->to);
    uint64_t *inmsg = &p->inmsg[signal->reg];
    uint64_t old = qatomic_read(inmsg);

    for (unsigned i = 0; i < IDT_NTB_MAX_CAS_TRIES; i++) {
        uint64_t seen;

        if (old & R_SHM_INMSG_FULL_MASK) {
            return false;
        }
        seen = qatomic_cmpxchg(inmsg, old, signal->word);
        if (seen == old) {
            signal_unmasked(sw, signal->to, FIELD_DP32(0, MSGSTS, INMSGSTS,
                                                       BIT(signal->reg)),
                            &p->msgstsmsk, R_NTINTSTS_MSG_MASK);
            return true;
        }
        old = seen;
    }
    return false;
}

void idt_ntb_signals_send(IdtNtbSwitch *sw, unsigned slot, unsigned n,
                          uint32_t data)
{
    unsigned source = idt_ntb_switch_partition(sw, slot);
    uint32_t ctl = qatomic_read(&sw->shm->sw.msgctl[n][source]);
    unsigned part = FIELD_EX32(ctl, SWP0MSGCTL0, PART);
    unsigned reg = FIELD_EX32(ctl, SWP0MSGCTL0, REG);
    int to = idt_ntb_switch_find_nt(sw, part);
    unsigned port = idt_ntb_switch_port(sw, slot);
    IdtNtbSignal signal = {
        .kind = IDT_NTB_FAULT_MESSAGES, .to = to, .reg = reg, .word = data,
    };

    idt_ntb_switch_count(sw, IDT_NTB_COUNT_MESSAGES_SENT, 1);
    signal.word = FIELD_DP64(signal.word, SHM_INMSG, SRC, source);
    signal.word = FIELD_DP64(signal.word, SHM_INMSG, FULL, 1);
    if (to >= 0 && idt_ntb_switch_link(sw, to) && !cable_is_pulled(sw, slot)) {
        trace_idt_ntb_message(port, n, idt_ntb_switch_port(sw, to), reg, data);
        if (is_taken(sw, slot, &signal) || deliver_message(sw, &signal)) {
            return;
        }
    }
    trace_idt_ntb_message_failed(port, n, part, reg, data);
    idt_ntb_switch_count(sw, IDT_NTB_COUNT_MESSAGES_REFUSED, 1);
    qatomic_fetch_or(&idt_ntb_switch_block(sw, slot)->outmsgsts, BIT(n));
    idt_ntb_switch_signal(sw, slot);
}

bool idt_ntb_signals_deliver(IdtNtbSwitch *sw, const IdtNtbSignal *signal)
{
    if (!idt_ntb_switch_link(sw, signal->to)) {
        return false;
    }
    if (signal->kind == IDT_NTB_FAULT_DOORBELLS) {
        set_doorbells(sw, signal->to, signal->word);
        return true;
    }
    return deliver_message(sw, signal);
}

uint32_t idt_ntb_signals_msgsts(const IdtNtbSwitch *sw, unsigned slot)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, slot);
    uint32_t full = 0;
    uint32_t value;

    for (unsigned i = 0; i < IDT_NUM_MESSAGES; i++) {
        if (qatomic_read(&p->inmsg[i]) & R_SHM_INMSG_FULL_MASK) {
            full |= BIT(i);
        }
    }
    value = FIELD_DP32(0, MSGSTS, INMSGSTS, full);
    return FIELD_DP32(value, MSGSTS, OUTMSGSTS, qatomic_read(&p->outmsgsts));
}

/* Interrupt level */

void idt_ntb_signals_read_irq(const IdtNtbSwitch *sw, unsigned slot,
                              IdtNtbIrqState *state)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, slot);

    *state = (IdtNtbIrqState) {
        .ntintsts = qatomic_read(&p->ntintsts) & IDT_NTINT_LATCHED,
        .ntintmsk = qatomic_read(&p->ntintmsk),
        .indbellsts = qatomic_read(&p->indbellsts),
        .indbellmsk = qatomic_read(&p->indbellmsk),
        .msgsts = idt_ntb_signals_msgsts(sw, slot),
        .msgstsmsk = qatomic_read(&p->msgstsmsk),
    };
}

uint32_t idt_ntb_signals_ntintsts(const IdtNtbIrqState *state)
{
    uint32_t status = state->ntintsts;

    status = FIELD_DP32(status, NTINTSTS, MSG,
                        (state->msgsts & ~state->msgstsmsk) != 0);
    return FIELD_DP32(status, NTINTSTS, DBELL,
                      (state->indbellsts & ~state->indbellmsk) != 0);
}

void idt_ntb_signals_record_low(IdtNtbSwitch *sw, unsigned slot, uint32_t bits,
                                uint32_t status)
{
    uint32_t low = slot == sw->slot ? bits & ~status : bits;

    if (low) {
        qatomic_fetch_or(&idt_ntb_switch_block(sw, slot)->irq_low, low);
    }
}

uint32_t idt_ntb_signals_take_low(IdtNtbSwitch *sw)
{
    return qatomic_xchg(&idt_ntb_switch_block(sw, sw->slot)->irq_low, 0);
}
