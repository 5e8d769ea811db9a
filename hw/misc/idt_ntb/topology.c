/*
 * IDT 89HPESxNTx PCIe switch: changes of partition and port control
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/log.h"
#include "gate.h"
#include "signals.h"
#include "topology.h"
#include "trace.h"

#define MODES_UP    (BIT(IDT_PORT_MODE_UPSTREAM) | BIT(IDT_PORT_MODE_UP_NT) | \
                     BIT(IDT_PORT_MODE_UP_DMA) | BIT(IDT_PORT_MODE_UP_NT_DMA))
#define MODES_DMA   (BIT(IDT_PORT_MODE_UP_DMA) | \
                     BIT(IDT_PORT_MODE_UP_NT_DMA) | BIT(IDT_PORT_MODE_NT_DMA))

/* The bits of swportsts and swpartsts that reads show as they are */
#define SWPORTSTS_STORED    (IDT_NTB_PORT_CONFIG_MASK | \
                             R_SWPORT0STS_OMCI_MASK | \
                             R_SWPORT0STS_OMCC_MASK | \
                             R_SWPORT0STS_PFAILOVER_MASK | \
                             R_SWPORT0STS_SFAILOVER_MASK)
#define SWPARTSTS_STORED    (R_SWPART0STS_SCI_MASK | R_SWPART0STS_SCC_MASK | \
                             R_SWPART0STS_PFAILOVER_MASK | \
                             R_SWPART0STS_SFAILOVER_MASK)

bool idt_ntb_topology_can_have_mode(const IdtNtbSwitch *sw, unsigned port,
                                    unsigned mode)
{
    if (idt_ntb_switch_mode_has_nt(mode)) {
        return idt_ntb_switch_slot(sw, port) >= 0;
    }
    return mode == IDT_PORT_MODE_DISABLED ||
           (sw->chip->all_ports & BIT(port) && mode < IDT_NUM_PORT_MODES);
}

bool idt_ntb_topology_keeps_function(const IdtNtbSwitch *sw, unsigned slot)
{
    unsigned port = idt_ntb_switch_port(sw, slot);
    uint32_t ctl = qatomic_read(&sw->shm->sw.swportctl[port]);
    unsigned part = FIELD_EX32(ctl, SWPORT0CTL, SWPART);

    return FIELD_EX32(ctl, SWPORT0CTL, OMA) == IDT_PORT_OMA_NO_ACTION &&
           idt_ntb_switch_mode_has_nt(FIELD_EX32(ctl, SWPORT0CTL, MODE)) &&
           idt_ntb_switch_has_nt(sw, slot) &&
           idt_ntb_switch_partition_state(sw, part) == IDT_PART_STATE_ACTIVE &&
           idt_ntb_switch_state_is_applied(sw, slot);
}

static bool is_owned(const IdtNtbSwitch *sw, int slot)
{
    return slot >= 0 && qatomic_read(&idt_ntb_switch_block(sw, slot)->state) !=
                        IDT_NTB_PORT_FREE;
}

/* Sets SWPARTxSTS.SCC if all ports of @part have applied its new state */
static void finish_partition(IdtNtbSwitch *sw, unsigned part)
{
    IdtNtbShmSwitch *regs = &sw->shm->sw;
    uint32_t slots;

    if (!(qatomic_read(&regs->swpart_pending) & BIT(part))) {
        return;
    }
    slots = idt_ntb_switch_slots_in(sw, part);
    for (unsigned slot = 0; slot < sw->num_slots; slot++) {
        if (slots & BIT(slot) && idt_ntb_switch_is_changing(sw, slot)) {
            return;
        }
    }
    if (qatomic_fetch_and(&regs->swpart_pending, ~BIT(part)) & BIT(part)) {
        trace_idt_ntb_partition_state(part,
                                      idt_ntb_switch_partition_state(sw, part));
        qatomic_fetch_or(&regs->swpartsts[part], R_SWPART0STS_SCC_MASK);
    }
}

/* Makes SWPORTxSTS show what SWPORTxCTL asks for */
static void apply_control(IdtNtbSwitch *sw, unsigned port)
{
    IdtNtbShmSwitch *regs = &sw->shm->sw;
    uint32_t old = qatomic_read(&regs->swportsts[port]);

    for (unsigned i = 0; i < IDT_NTB_MAX_CAS_TRIES; i++) {
        uint32_t new = old & ~(IDT_NTB_PORT_CONFIG_MASK |
                               R_SHM_SWPORTSTS_PENDING_MASK);
        uint32_t seen;

        if (old & R_SHM_SWPORTSTS_PENDING_MASK) {
            new |= R_SWPORT0STS_OMCC_MASK;
        }
        smp_rmb();      /* if we see PENDING, we see the write that set it */
        new |= idt_ntb_switch_port_config(qatomic_read(&regs->swportctl[port]));
        seen = qatomic_cmpxchg(&regs->swportsts[port], old, new);
        if (seen == old) {
            return;
        }
        old = seen;
    }
}

/* Applies the changes of a port; @slot is its slot, or -1 if it has none */
static void apply_changes(IdtNtbSwitch *sw, unsigned port, int slot)
{
    IdtNtbShmPort *p = slot < 0 ? NULL : idt_ntb_switch_block(sw, slot);
    uint32_t acked = p ? qatomic_read(&p->topology_ack) : 0;
    uint32_t request = p ? qatomic_load_acquire(&p->topology_req) : 0;
    unsigned part = idt_ntb_switch_port_partition(sw, port);

    if (!idt_ntb_switch_port_is_changing(sw, port)) {
        return;
    }
    apply_control(sw, port);
    trace_idt_ntb_port_mode(port, idt_ntb_switch_port_mode(sw, port),
                            idt_ntb_switch_port_partition(sw, port));
    if (p) {
        /* Fails if another process has applied a later request meanwhile */
        qatomic_cmpxchg(&p->topology_ack, acked, request);
    }
    finish_partition(sw, part);
    finish_partition(sw, idt_ntb_switch_port_partition(sw, port));
}

void idt_ntb_topology_apply(IdtNtbSwitch *sw, unsigned slot)
{
    apply_changes(sw, idt_ntb_switch_port(sw, slot), slot);
}

/* Makes the owner of the port apply its changes, or applies them */
static void begin_change(IdtNtbSwitch *sw, unsigned port, int slot)
{
    if (is_owned(sw, slot)) {
        idt_ntb_switch_signal(sw, slot);
    } else {
        apply_changes(sw, port, slot);
    }
}

bool idt_ntb_topology_set_port(IdtNtbSwitch *sw, unsigned port, uint32_t mask,
                               uint32_t value)
{
    IdtNtbShmSwitch *regs = &sw->shm->sw;
    unsigned mode = FIELD_EX32(value, SWPORT0CTL, MODE);

    if (mask & R_SWPORT0CTL_MODE_MASK &&
        !idt_ntb_topology_can_have_mode(sw, port, mode)) {
        qemu_log_mask(LOG_GUEST_ERROR, "idt-ntb: port %u: port %u of %s can't "
                      "have mode %u\n", sw->port, port, sw->chip->name, mode);
        return false;
    }
    idt_ntb_switch_exchange(&regs->swportctl[port], mask, value);
    if (!idt_ntb_switch_port_is_changing(sw, port)) {
        qatomic_fetch_or(&regs->swportsts[port], R_SWPORT0STS_OMCI_MASK |
                                                 R_SWPORT0STS_OMCC_MASK);
        return true;
    }
    qatomic_fetch_or(&regs->swportsts[port], R_SWPORT0STS_OMCI_MASK |
                                             R_SHM_SWPORTSTS_PENDING_MASK);
    begin_change(sw, port, idt_ntb_switch_slot(sw, port));
    return true;
}

/* Makes the ports of @part apply its new state */
static void change_state(IdtNtbSwitch *sw, unsigned part, unsigned state)
{
    uint32_t slots = idt_ntb_switch_slots_in(sw, part);

    if (state == IDT_PART_STATE_RESET) {
        idt_ntb_signals_raise(sw, IDT_NTB_EVENT_FRST, part);
    }
    for (unsigned slot = 0; slot < sw->num_slots; slot++) {
        if (slots & BIT(slot)) {
            qatomic_inc(&idt_ntb_switch_block(sw, slot)->topology_req);
            begin_change(sw, idt_ntb_switch_port(sw, slot), slot);
        }
    }
}

bool idt_ntb_topology_set_partition(IdtNtbSwitch *sw, unsigned part,
                                    uint32_t mask, uint32_t value)
{
    IdtNtbShmSwitch *regs = &sw->shm->sw;
    unsigned state = FIELD_EX32(value, SWPART0CTL, STATE);
    uint32_t old;

    if (mask & R_SWPART0CTL_STATE_MASK && state == IDT_PART_STATE_RESERVED) {
        qemu_log_mask(LOG_GUEST_ERROR, "idt-ntb: port %u: partition %u can't "
                      "be in state %u\n", sw->port, part, state);
        return false;
    }
    old = idt_ntb_switch_exchange(&regs->swpartctl[part], mask, value);
    qatomic_fetch_or(&regs->swpartsts[part], R_SWPART0STS_SCI_MASK);
    if ((old ^ value) & mask & R_SWPART0CTL_STATE_MASK) {
        change_state(sw, part, state);
    }
    /* Not earlier: before change_state() no port is changing */
    qatomic_fetch_or(&regs->swpart_pending, BIT(part));
    finish_partition(sw, part);
    return true;
}

/* Applies changes of a port whose owner has gone before it did */
static void apply_if_unowned(IdtNtbSwitch *sw, unsigned port)
{
    int slot = idt_ntb_switch_slot(sw, port);

    if (!idt_ntb_switch_port_is_changing(sw, port) || is_owned(sw, slot)) {
        return;
    }
    apply_changes(sw, port, slot);
    /* Windows may lead elsewhere now; no access depends on when they close */
    for (unsigned i = 0; i < sw->num_slots; i++) {
        idt_ntb_gate_ask_close(sw, i);
    }
}

uint32_t idt_ntb_topology_port_status(IdtNtbSwitch *sw, unsigned port)
{
    int slot = idt_ntb_switch_slot(sw, port);
    uint32_t value;
    unsigned mode;

    apply_if_unowned(sw, port);
    value = qatomic_read(&sw->shm->sw.swportsts[port]) & SWPORTSTS_STORED;
    mode = FIELD_EX32(value, SWPORT0STS, MODE);
    value = FIELD_DP32(value, SWPORT0STS, DS,
                       mode == IDT_PORT_MODE_DOWNSTREAM);
    return FIELD_DP32(value, SWPORT0STS, LINKUP,
                      slot >= 0 && idt_ntb_switch_link(sw, slot));
}

uint32_t idt_ntb_topology_partition_status(IdtNtbSwitch *sw, unsigned part)
{
    uint32_t value;

    for (unsigned port = 0; port < IDT_MAX_PORTS; port++) {
        apply_if_unowned(sw, port);
    }
    finish_partition(sw, part);
    value = qatomic_read(&sw->shm->sw.swpartsts[part]) & SWPARTSTS_STORED;
    value = FIELD_DP32(value, SWPART0STS, STATE,
                       idt_ntb_switch_partition_state(sw, part));
    for (unsigned port = 0; port < IDT_MAX_PORTS; port++) {
        unsigned mode = idt_ntb_switch_port_mode(sw, port);

        if (idt_ntb_switch_port_partition(sw, port) != part) {
            continue;
        }
        if (BIT(mode) & MODES_UP) {
            value = FIELD_DP32(value, SWPART0STS, US, 1);
            value = FIELD_DP32(value, SWPART0STS, USID, port);
        }
        if (idt_ntb_switch_mode_has_nt(mode)) {
            value = FIELD_DP32(value, SWPART0STS, NT, 1);
        }
        if (BIT(mode) & MODES_DMA) {
            value = FIELD_DP32(value, SWPART0STS, DMA, 1);
        }
    }
    return value;
}
