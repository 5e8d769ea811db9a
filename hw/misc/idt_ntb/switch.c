/*
 * IDT 89HPESxNTx PCIe switch: one port's view of the switch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "hw/pci/pci_regs.h"
#include "bars.h"
#include "server.h"
#include "switch.h"

#define MODES_NT    (BIT(IDT_PORT_MODE_NT) | BIT(IDT_PORT_MODE_UP_NT) | \
                     BIT(IDT_PORT_MODE_UP_NT_DMA) | BIT(IDT_PORT_MODE_NT_DMA))

int idt_ntb_switch_slot(const IdtNtbSwitch *sw, unsigned port)
{
    for (unsigned slot = 0; slot < sw->num_slots; slot++) {
        if (idt_ntb_switch_port(sw, slot) == port) {
            return slot;
        }
    }
    return -1;
}

bool idt_ntb_switch_is_same(const IdtNtbSwitch *a, const IdtNtbSwitch *b)
{
    return a->dev == b->dev && a->ino == b->ino;
}

bool idt_ntb_switch_is_client(const IdtNtbSwitch *sw, unsigned slot,
                              unsigned id)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, slot);

    return slot != sw->slot && qatomic_read(&p->client) == id &&
           qatomic_read(&p->state) != IDT_NTB_PORT_FREE;
}

void idt_ntb_switch_layout(const IdtNtbShmPort *block,
                           uint32_t layout[IDT_NUM_BARS])
{
    uint32_t barsetup[IDT_NUM_BARS];

    for (unsigned bar = 0; bar < IDT_NUM_BARS; bar++) {
        barsetup[bar] = qatomic_read(&block->barsetup[bar]);
    }
    idt_ntb_bars_layout(barsetup, layout);
}

uint32_t idt_ntb_switch_default_cfg(const IdtNtbSwitch *sw, unsigned port,
                                    unsigned offset)
{
    uint32_t value = sw->cfg[offset / 4];

    switch (offset) {
    case A_PCIELCAP:
        return FIELD_DP32(value, PCIELCAP, PORTNUM, port);
    case A_DSN_LOWER:
        return FIELD_DP32(value, DSN_LOWER, PORTNUM, port);
    default:
        return value;
    }
}

/* Ports by number */

static uint32_t port_status(const IdtNtbSwitch *sw, unsigned port)
{
    return qatomic_read(&sw->shm->sw.swportsts[port]);
}

unsigned idt_ntb_switch_port_mode(const IdtNtbSwitch *sw, unsigned port)
{
    return FIELD_EX32(port_status(sw, port), SWPORT0STS, MODE);
}

unsigned idt_ntb_switch_port_partition(const IdtNtbSwitch *sw, unsigned port)
{
    return FIELD_EX32(port_status(sw, port), SWPORT0STS, SWPART);
}

uint32_t idt_ntb_switch_port_config(uint32_t ctl)
{
    uint32_t sts = FIELD_DP32(0, SWPORT0STS, MODE,
                              FIELD_EX32(ctl, SWPORT0CTL, MODE));

    sts = FIELD_DP32(sts, SWPORT0STS, SWPART,
                     FIELD_EX32(ctl, SWPORT0CTL, SWPART));
    return FIELD_DP32(sts, SWPORT0STS, DEVNUM,
                      FIELD_EX32(ctl, SWPORT0CTL, DEVNUM));
}

/* @sts is the word swportsts of @port */
static bool control_is_applied(const IdtNtbSwitch *sw, unsigned port,
                               uint32_t sts)
{
    uint32_t ctl = qatomic_read(&sw->shm->sw.swportctl[port]);

    return (sts & (IDT_NTB_PORT_CONFIG_MASK | R_SHM_SWPORTSTS_PENDING_MASK)) ==
           idt_ntb_switch_port_config(ctl);
}

bool idt_ntb_switch_state_is_applied(const IdtNtbSwitch *sw, unsigned slot)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, slot);

    return qatomic_read(&p->topology_req) == qatomic_read(&p->topology_ack);
}

bool idt_ntb_switch_port_is_changing(const IdtNtbSwitch *sw, unsigned port)
{
    int slot = idt_ntb_switch_slot(sw, port);

    return !control_is_applied(sw, port, port_status(sw, port)) ||
           (slot >= 0 && !idt_ntb_switch_state_is_applied(sw, slot));
}

bool idt_ntb_switch_mode_has_nt(unsigned mode)
{
    return mode < IDT_NUM_PORT_MODES && MODES_NT & BIT(mode);
}

/* Partitions */

unsigned idt_ntb_switch_partition_state(const IdtNtbSwitch *sw, unsigned part)
{
    return FIELD_EX32(qatomic_read(&sw->shm->sw.swpartctl[part]), SWPART0CTL,
                      STATE);
}

uint32_t idt_ntb_switch_slots_in(const IdtNtbSwitch *sw, unsigned part)
{
    uint32_t slots = 0;

    for (unsigned slot = 0; slot < sw->num_slots; slot++) {
        if (idt_ntb_switch_partition(sw, slot) == part) {
            slots |= BIT(slot);
        }
    }
    return slots;
}

int idt_ntb_switch_find_nt(const IdtNtbSwitch *sw, unsigned part)
{
    int changing = -1;

    for (unsigned slot = 0; slot < sw->num_slots; slot++) {
        if (!idt_ntb_switch_has_nt(sw, slot) ||
            idt_ntb_switch_partition(sw, slot) != part) {
            continue;
        }
        if (!idt_ntb_switch_is_changing(sw, slot)) {
            return slot;
        }
        if (changing < 0) {
            changing = slot;
        }
    }
    return changing;
}

/* Ports in the NT list, by slot */

unsigned idt_ntb_switch_partition(const IdtNtbSwitch *sw, unsigned slot)
{
    return idt_ntb_switch_port_partition(sw, idt_ntb_switch_port(sw, slot));
}

bool idt_ntb_switch_has_nt(const IdtNtbSwitch *sw, unsigned slot)
{
    unsigned port = idt_ntb_switch_port(sw, slot);

    return idt_ntb_switch_mode_has_nt(idt_ntb_switch_port_mode(sw, port));
}

bool idt_ntb_switch_is_changing(const IdtNtbSwitch *sw, unsigned slot)
{
    unsigned port = idt_ntb_switch_port(sw, slot);

    return !control_is_applied(sw, port, port_status(sw, port)) ||
           !idt_ntb_switch_state_is_applied(sw, slot);
}

/* Called several times for each request: read no word twice */
bool idt_ntb_switch_allows_link(const IdtNtbSwitch *sw, unsigned slot)
{
    unsigned port = idt_ntb_switch_port(sw, slot);
    uint32_t sts = port_status(sw, port);
    unsigned part = FIELD_EX32(sts, SWPORT0STS, SWPART);

    return control_is_applied(sw, port, sts) &&
           idt_ntb_switch_state_is_applied(sw, slot) &&
           idt_ntb_switch_mode_has_nt(FIELD_EX32(sts, SWPORT0STS, MODE)) &&
           idt_ntb_switch_partition_state(sw, part) == IDT_PART_STATE_ACTIVE;
}

/*
 * Only we change the state and the header of our port, so take our own copies:
 * another process may have written to the shared words.
 */
bool idt_ntb_switch_is_trained(const IdtNtbSwitch *sw, unsigned slot)
{
    return slot == sw->slot ? sw->is_up :
           qatomic_read(&idt_ntb_switch_block(sw, slot)->state) ==
           IDT_NTB_PORT_UP;
}

bool idt_ntb_switch_is_master(const IdtNtbSwitch *sw, unsigned slot)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, slot);

    return slot == sw->slot ? sw->is_master :
           qatomic_read(&p->cfg[PCI_COMMAND / 4]) & PCI_COMMAND_MASTER;
}

bool idt_ntb_switch_link(const IdtNtbSwitch *sw, unsigned slot)
{
    return idt_ntb_switch_is_trained(sw, slot) &&
           idt_ntb_switch_allows_link(sw, slot);
}

/* Work on shared words */

uint32_t idt_ntb_switch_exchange(uint32_t *word, uint32_t mask, uint32_t value)
{
    uint32_t old, new;

    value &= mask;
    if (!value) {
        return qatomic_fetch_and(word, ~mask);
    }
    old = qatomic_read(word);
    for (unsigned i = 0; i < IDT_NTB_MAX_CAS_TRIES; i++) {
        uint32_t seen;

        new = (old & ~mask) | value;
        seen = qatomic_cmpxchg(word, old, new);
        if (seen == old) {
            return old;
        }
        old = seen;
    }
    return qatomic_xchg(word, new);
}

/* No other process writes our counters: a plain store is enough */
void idt_ntb_switch_count(IdtNtbSwitch *sw, IdtNtbCounter counter, unsigned n)
{
    sw->counter[counter] += n;
    qatomic_set(&idt_ntb_switch_block(sw, sw->slot)->counter[counter],
                sw->counter[counter]);
}

void idt_ntb_switch_signal(IdtNtbSwitch *sw, unsigned slot)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, slot);

    if (slot != sw->slot) {
        idt_ntb_server_signal(sw->server, qatomic_read(&p->client), &p->looks);
    }
}

void idt_ntb_switch_begin_look(IdtNtbSwitch *sw)
{
    /* Pairs with idt_ntb_server_signal(): count before state is read */
    qatomic_set_mb(&idt_ntb_switch_block(sw, sw->slot)->looks, ++sw->looks);
}
