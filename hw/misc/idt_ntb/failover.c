/*
 * IDT 89HPESxNTx PCIe switch: failover
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/log.h"
#include "failover.h"
#include "topology.h"
#include "trace.h"

/* One function reads both control registers */
QEMU_BUILD_BUG_ON((uint32_t)R_SWPORT0CTL_FEN_MASK !=
                  (uint32_t)R_SWPART0CTL_FEN_MASK);
QEMU_BUILD_BUG_ON((uint32_t)R_SWPORT0CTL_FCAPSEL_MASK !=
                  (uint32_t)R_SWPART0CTL_FCAPSEL_MASK);

/* True if the port or partition with control register @ctl follows @cap */
static bool listens(const uint32_t *ctl, unsigned cap)
{
    uint32_t value = qatomic_read(ctl);

    return FIELD_EX32(value, SWPORT0CTL, FEN) &&
           FIELD_EX32(value, SWPORT0CTL, FCAPSEL) == cap;
}

/*
 * Latches @bit of NTINTSTS in the partitions that select @cap, whether or not
 * they follow it, and raises the switch event.
 */
static void tell_partitions(IdtNtbSwitch *sw, unsigned cap, uint32_t bit)
{
    IdtNtbShmSwitch *regs = &sw->shm->sw;

    for (unsigned i = 0; i < sw->num_ports; i++) {
        unsigned port = idt_ntb_switch_port(sw, i);
        unsigned partition = idt_ntb_switch_partition(sw, port);
        uint32_t ctl = qatomic_read(&regs->swpartctl[partition]);

        if (FIELD_EX32(ctl, SWPART0CTL, FCAPSEL) == cap &&
            idt_ntb_switch_link(sw, port)) {
            qatomic_fetch_or(&idt_ntb_switch_block(sw, port)->ntintsts, bit);
            idt_ntb_switch_signal(sw, port);
        }
    }
    idt_ntb_switch_event(sw, IDT_NTB_EVENT_FAILOVER, cap);
}

static void change_partition(IdtNtbSwitch *sw, unsigned partition,
                             bool secondary)
{
    IdtNtbShmSwitch *regs = &sw->shm->sw;
    uint32_t ctl = qatomic_read(&regs->swpartctl[partition]);
    uint32_t fctl = qatomic_read(&regs->swpartfctl[partition]) >>
                    (secondary ? IDT_FCAP_SECONDARY : 0);
    unsigned state = FIELD_EX32(fctl, SWPART0FCTL, PFSTATE);
    uint32_t new = FIELD_DP32(ctl, SWPART0CTL, STATE, state);

    qatomic_fetch_or(&regs->swpartsts[partition],
                     secondary ? R_SWPART0STS_SFAILOVER_MASK :
                                 R_SWPART0STS_PFAILOVER_MASK);
    if (state == IDT_PART_STATE_RESERVED) {
        qemu_log_mask(LOG_GUEST_ERROR, "idt-ntb: failover: partition %u can't "
                      "be in state %u\n", partition, state);
    } else if (new != ctl) {
        idt_ntb_topology_set_partition(sw, partition, new);
    }
}

static void change_port(IdtNtbSwitch *sw, unsigned port, bool secondary)
{
    IdtNtbShmSwitch *regs = &sw->shm->sw;
    uint32_t ctl = qatomic_read(&regs->swportctl[port]);
    uint32_t fctl = qatomic_read(&regs->swportfctl[port]) >>
                    (secondary ? IDT_FCAP_SECONDARY : 0);
    unsigned mode = FIELD_EX32(fctl, SWPORT0FCTL, PFMODE);
    uint32_t new = FIELD_DP32(ctl, SWPORT0CTL, MODE, mode);

    new = FIELD_DP32(new, SWPORT0CTL, SWPART,
                     FIELD_EX32(fctl, SWPORT0FCTL, PFSWPART));
    new = FIELD_DP32(new, SWPORT0CTL, DEVNUM,
                     FIELD_EX32(fctl, SWPORT0FCTL, PFDEVNUM));
    qatomic_fetch_or(&regs->swportsts[port],
                     secondary ? R_SWPORT0STS_SFAILOVER_MASK :
                                 R_SWPORT0STS_PFAILOVER_MASK);
    if (!idt_ntb_topology_mode_is_valid(sw, port, mode)) {
        qemu_log_mask(LOG_GUEST_ERROR, "idt-ntb: failover: port %u of %s can't "
                      "have mode %u\n", port, sw->chip->name, mode);
    } else if (new != ctl) {
        idt_ntb_topology_set_port(sw, port, new);
    }
}

void idt_ntb_failover_trigger(IdtNtbSwitch *sw, unsigned cap, bool secondary)
{
    IdtNtbShmSwitch *regs = &sw->shm->sw;

    trace_idt_ntb_failover(cap, secondary);
    qatomic_fetch_or(&regs->fcapsts[cap], R_FCAP0STS_FMCI_MASK);
    /* Before the links go down */
    tell_partitions(sw, cap, R_NTINTSTS_FMCI_MASK);
    for (unsigned i = 0; i < IDT_MAX_PARTITIONS; i++) {
        if (listens(&regs->swpartctl[i], cap)) {
            change_partition(sw, i, secondary);
        }
    }
    for (unsigned port = 0; port < IDT_MAX_PORTS; port++) {
        if (listens(&regs->swportctl[port], cap)) {
            change_port(sw, port, secondary);
        }
    }
    /* Not before: until then the ports look as if they were done */
    qatomic_fetch_or(&regs->failover_pending, BIT(cap));
    idt_ntb_failover_finish(sw);
}

static bool has_completed(const IdtNtbSwitch *sw, unsigned cap)
{
    const IdtNtbShmSwitch *regs = &sw->shm->sw;
    uint32_t pending = qatomic_read(&regs->swpart_pending);

    for (unsigned i = 0; i < IDT_MAX_PARTITIONS; i++) {
        if (pending & BIT(i) && listens(&regs->swpartctl[i], cap)) {
            return false;
        }
    }
    for (unsigned port = 0; port < IDT_MAX_PORTS; port++) {
        if (listens(&regs->swportctl[port], cap) &&
            !idt_ntb_topology_is_settled(sw, port)) {
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
        /* Another process may have seen it first */
        if (qatomic_fetch_and(&regs->failover_pending, ~BIT(cap)) & BIT(cap)) {
            trace_idt_ntb_failover_done(cap);
            qatomic_fetch_or(&regs->fcapsts[cap], R_FCAP0STS_FMCC_MASK);
            tell_partitions(sw, cap, R_NTINTSTS_FMCC_MASK);
        }
    }
}

bool idt_ntb_failover_has_nt(const IdtNtbSwitch *sw, unsigned port)
{
    const IdtNtbShmSwitch *regs = &sw->shm->sw;
    uint32_t fctl = qatomic_read(&regs->swportfctl[port]);

    return FIELD_EX32(qatomic_read(&regs->swportctl[port]), SWPORT0CTL, FEN) &&
           (idt_ntb_topology_mode_has_nt(FIELD_EX32(fctl, SWPORT0FCTL,
                                                    PFMODE)) ||
            idt_ntb_topology_mode_has_nt(FIELD_EX32(fctl, SWPORT0FCTL,
                                                    SFMODE)));
}
