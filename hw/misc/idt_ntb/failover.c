/*
 * IDT 89HPESxNTx PCIe switch: failover
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "failover.h"
#include "signals.h"
#include "topology.h"
#include "trace.h"

/* One function reads both control registers */
QEMU_BUILD_BUG_ON((uint32_t)R_SWPORT0CTL_FEN_MASK !=
                  (uint32_t)R_SWPART0CTL_FEN_MASK);
QEMU_BUILD_BUG_ON((uint32_t)R_SWPORT0CTL_FCAPSEL_MASK !=
                  (uint32_t)R_SWPART0CTL_FCAPSEL_MASK);

/* True if the port or partition with control register @ctl follows @cap */
static bool follows(const uint32_t *ctl, unsigned cap)
{
    uint32_t value = qatomic_read(ctl);

    return FIELD_EX32(value, SWPORT0CTL, FEN) &&
           FIELD_EX32(value, SWPORT0CTL, FCAPSEL) == cap;
}

/*
 * Latches @bit of NTINTSTS in the ports of the partitions that select @cap,
 * with FEN or without, and raises the switch event.
 */
static void notify_partitions(IdtNtbSwitch *sw, unsigned cap, uint32_t bit)
{
    for (unsigned slot = 0; slot < sw->num_slots; slot++) {
        unsigned part = idt_ntb_switch_partition(sw, slot);
        uint32_t ctl = qatomic_read(&sw->shm->sw.swpartctl[part]);

        if (FIELD_EX32(ctl, SWPART0CTL, FCAPSEL) == cap) {
            idt_ntb_signals_latch(sw, slot, bit);
        }
    }
    idt_ntb_signals_raise(sw, IDT_NTB_EVENT_FAILOVER, cap);
}

static void change_partition(IdtNtbSwitch *sw, unsigned part, bool secondary)
{
    IdtNtbShmSwitch *regs = &sw->shm->sw;
    const uint32_t mask = R_SWPART0CTL_STATE_MASK;
    uint32_t ctl = qatomic_read(&regs->swpartctl[part]);
    uint32_t fctl = qatomic_read(&regs->swpartfctl[part]) >>
                    (secondary ? IDT_FCAP_SECONDARY : 0);
    uint32_t value = FIELD_DP32(0, SWPART0CTL, STATE,
                                FIELD_EX32(fctl, SWPART0FCTL, PFSTATE));

    qatomic_fetch_or(&regs->swpartsts[part],
                     secondary ? R_SWPART0STS_SFAILOVER_MASK :
                                 R_SWPART0STS_PFAILOVER_MASK);
    if ((ctl & mask) != value) {
        idt_ntb_topology_set_partition(sw, part, mask, value);
    }
}

static void change_port(IdtNtbSwitch *sw, unsigned port, bool secondary)
{
    IdtNtbShmSwitch *regs = &sw->shm->sw;
    const uint32_t mask = R_SWPORT0CTL_MODE_MASK | R_SWPORT0CTL_SWPART_MASK |
                          R_SWPORT0CTL_DEVNUM_MASK;
    uint32_t ctl = qatomic_read(&regs->swportctl[port]);
    uint32_t fctl = qatomic_read(&regs->swportfctl[port]) >>
                    (secondary ? IDT_FCAP_SECONDARY : 0);
    uint32_t value = FIELD_DP32(0, SWPORT0CTL, MODE,
                                FIELD_EX32(fctl, SWPORT0FCTL, PFMODE));

    value = FIELD_DP32(value, SWPORT0CTL, SWPART,
                       FIELD_EX32(fctl, SWPORT0FCTL, PFSWPART));
    value = FIELD_DP32(value, SWPORT0CTL, DEVNUM,
                       FIELD_EX32(fctl, SWPORT0FCTL, PFDEVNUM));
    qatomic_fetch_or(&regs->swportsts[port],
                     secondary ? R_SWPORT0STS_SFAILOVER_MASK :
                                 R_SWPORT0STS_PFAILOVER_MASK);
    if ((ctl & mask) != value) {
        idt_ntb_topology_set_port(sw, port, mask, value);
    }
}

void idt_ntb_failover_trigger(IdtNtbSwitch *sw, unsigned cap, bool secondary)
{
    IdtNtbShmSwitch *regs = &sw->shm->sw;

    trace_idt_ntb_failover(cap, secondary);
    qatomic_fetch_or(&regs->fcapsts[cap], R_FCAP0STS_FMCI_MASK);
    /* While the links are up: the changes take them down */
    notify_partitions(sw, cap, R_NTINTSTS_FMCI_MASK);
    for (unsigned i = 0; i < IDT_MAX_PARTITIONS; i++) {
        if (follows(&regs->swpartctl[i], cap)) {
            change_partition(sw, i, secondary);
        }
    }
    for (unsigned port = 0; port < IDT_MAX_PORTS; port++) {
        if (follows(&regs->swportctl[port], cap)) {
            change_port(sw, port, secondary);
        }
    }
    /* Not earlier: before the writes above, no port is changing */
    qatomic_fetch_or(&regs->failover_pending, BIT(cap));
    idt_ntb_failover_finish(sw);
}

static bool has_completed(const IdtNtbSwitch *sw, unsigned cap)
{
    const IdtNtbShmSwitch *regs = &sw->shm->sw;
    uint32_t pending = qatomic_read(&regs->swpart_pending);

    for (unsigned i = 0; i < IDT_MAX_PARTITIONS; i++) {
        if (pending & BIT(i) && follows(&regs->swpartctl[i], cap)) {
            return false;
        }
    }
    for (unsigned port = 0; port < IDT_MAX_PORTS; port++) {
        if (follows(&regs->swportctl[port], cap) &&
            idt_ntb_switch_port_is_changing(sw, port)) {
            return false;
        }
    }
    return true;
}

void idt_ntb_failover_finish(IdtNtbSwitch *sw)
{
    IdtNtbShmSwitch *regs = &sw->shm->sw;
    uint32_t pending = qatomic_read(&regs->failover_pending);

    for (unsigned cap = 0; cap < IDT_NUM_FAILOVER_CAPS; cap++) {
        if (!(pending & BIT(cap)) || !has_completed(sw, cap)) {
            continue;
        }
        /* Another process may have finished it */
        if (qatomic_fetch_and(&regs->failover_pending, ~BIT(cap)) & BIT(cap)) {
            trace_idt_ntb_failover_done(cap);
            qatomic_fetch_or(&regs->fcapsts[cap], R_FCAP0STS_FMCC_MASK);
            notify_partitions(sw, cap, R_NTINTSTS_FMCC_MASK);
        }
    }
}

bool idt_ntb_failover_gives_nt(const IdtNtbSwitch *sw, unsigned slot)
{
    const IdtNtbShmSwitch *regs = &sw->shm->sw;
    unsigned port = idt_ntb_switch_port(sw, slot);
    uint32_t fctl = qatomic_read(&regs->swportfctl[port]);

    return FIELD_EX32(qatomic_read(&regs->swportctl[port]), SWPORT0CTL, FEN) &&
           (idt_ntb_switch_mode_has_nt(FIELD_EX32(fctl, SWPORT0FCTL,
                                                  PFMODE)) ||
            idt_ntb_switch_mode_has_nt(FIELD_EX32(fctl, SWPORT0FCTL, SFMODE)));
}
