/*
 * IDT 89HPESxNTx PCIe switch: which port may reach the memory behind another
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "gate.h"

bool idt_ntb_gate_is_admitted(const IdtNtbSwitch *sw, unsigned slot)
{
    unsigned part = idt_ntb_switch_partition(sw, slot);
    const uint32_t mask = R_NTMTBLDATA_VALID_MASK | R_NTMTBLDATA_REQID_MASK |
                          R_NTMTBLDATA_PART_MASK;
    uint32_t wanted = FIELD_DP32(R_NTMTBLDATA_VALID_MASK, NTMTBLDATA, PART,
                                 part);

    if (qatomic_read(&idt_ntb_switch_block(sw, slot)->ntctl) &
        R_NTCTL_IDPROTDIS_MASK) {
        return true;
    }
    /* Linux uses the entry of the partition's number: look there first */
    for (unsigned i = 0; i < IDT_NUM_MTBL; i++) {
        unsigned entry = (part + i) % IDT_NUM_MTBL;

        /* The requester ID is that of REQIDCAP, 0 */
        if ((qatomic_read(&sw->shm->sw.mtbl[entry]) & mask) == wanted) {
            return true;
        }
    }
    return false;
}

bool idt_ntb_gate_is_open(const IdtNtbSwitch *sw, unsigned from, unsigned to)
{
    return idt_ntb_switch_link(sw, from) && idt_ntb_switch_link(sw, to) &&
           idt_ntb_switch_is_master(sw, to) &&
           idt_ntb_gate_is_admitted(sw, from);
}

uint32_t idt_ntb_gate_epoch(const IdtNtbSwitch *sw, unsigned from, unsigned to)
{
    /* Both only count up, so the sum changes with either */
    return
        qatomic_load_acquire(&idt_ntb_switch_block(sw, from)->send_epoch) +
        qatomic_load_acquire(&idt_ntb_switch_block(sw, to)->receive_epoch);
}

bool idt_ntb_gate_has_completions(const IdtNtbSwitch *sw, unsigned slot)
{
    return FIELD_EX32(qatomic_read(&idt_ntb_switch_block(sw, slot)->ntctl),
                      NTCTL, CPEN);
}

void idt_ntb_gate_check_admission(IdtNtbSwitch *sw, unsigned slot)
{
    if (!idt_ntb_gate_is_admitted(sw, slot)) {
        qatomic_inc(&idt_ntb_switch_block(sw, slot)->send_epoch);
    }
}

void idt_ntb_gate_close(IdtNtbSwitch *sw, unsigned slot)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, slot);
    uint32_t holders;

    qatomic_inc(&p->send_epoch);
    qatomic_inc(&p->receive_epoch);
    holders = idt_ntb_gate_holders(sw, BIT(slot));
    for (unsigned i = 0; i < sw->num_slots; i++) {
        if (holders & BIT(i)) {
            idt_ntb_gate_ask_close(sw, i);
        }
    }
}

uint32_t idt_ntb_gate_holders(const IdtNtbSwitch *sw, uint32_t targets)
{
    uint32_t holders = 0;

    for (unsigned slot = 0; slot < sw->num_slots; slot++) {
        if (qatomic_read(&idt_ntb_switch_block(sw, slot)->holds) & targets) {
            holders |= BIT(slot);
        }
    }
    return holders;
}

uint32_t idt_ntb_gate_ask_close(IdtNtbSwitch *sw, unsigned slot)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, slot);
    uint32_t request = qatomic_fetch_inc(&p->close_req) + 1;

    idt_ntb_switch_signal(sw, slot);
    return request;
}
