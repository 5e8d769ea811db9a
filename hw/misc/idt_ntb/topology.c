/*
 * IDT 89HPESxNTx PCIe switch: partition and port control
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "topology.h"
#include "trace.h"

#define MODES_NT    (BIT(IDT_PORT_MODE_NT) | BIT(IDT_PORT_MODE_UP_NT) | \
                     BIT(IDT_PORT_MODE_UP_NT_DMA) | BIT(IDT_PORT_MODE_NT_DMA))
#define MODES_UP    (BIT(IDT_PORT_MODE_UPSTREAM) | BIT(IDT_PORT_MODE_UP_NT) | \
                     BIT(IDT_PORT_MODE_UP_DMA) | BIT(IDT_PORT_MODE_UP_NT_DMA))
#define MODES_DMA   (BIT(IDT_PORT_MODE_UP_DMA) | \
                     BIT(IDT_PORT_MODE_UP_NT_DMA) | BIT(IDT_PORT_MODE_NT_DMA))

#define SWPORTSTS_CONFIG    (R_SWPORT0STS_MODE_MASK | \
                             R_SWPORT0STS_SWPART_MASK | \
                             R_SWPORT0STS_DEVNUM_MASK)
#define SWPORTSTS_STORED    (SWPORTSTS_CONFIG | R_SWPORT0STS_OMCI_MASK | \
                             R_SWPORT0STS_OMCC_MASK | \
                             R_SWPORT0STS_PFAILOVER_MASK | \
                             R_SWPORT0STS_SFAILOVER_MASK)
#define SWPARTSTS_STORED    (R_SWPART0STS_SCI_MASK | R_SWPART0STS_SCC_MASK | \
                             R_SWPART0STS_PFAILOVER_MASK | \
                             R_SWPART0STS_SFAILOVER_MASK)

/* In the stored word only: a write of SWPORTxCTL waits for its completion */
#define SWPORTSTS_PENDING   BIT(31)

bool idt_ntb_topology_mode_has_nt(unsigned mode)
{
    return mode < IDT_NUM_PORT_MODES && MODES_NT & BIT(mode);
}

bool idt_ntb_topology_mode_is_valid(const IdtNtbSwitch *sw, unsigned port,
                                    unsigned mode)
{
    if (idt_ntb_topology_mode_has_nt(mode)) {
        return idt_ntb_switch_index(sw, port) >= 0;
    }
    return mode == IDT_PORT_MODE_DISABLED ||
           (sw->chip->all_ports & BIT(port) && mode < IDT_NUM_PORT_MODES);
}

unsigned idt_ntb_topology_mode(const IdtNtbSwitch *sw, unsigned port)
{
    return FIELD_EX32(qatomic_read(&sw->shm->sw.swportsts[port]), SWPORT0STS,
                      MODE);
}

static unsigned partition_state(const IdtNtbSwitch *sw, unsigned partition)
{
    return FIELD_EX32(qatomic_read(&sw->shm->sw.swpartctl[partition]),
                      SWPART0CTL, STATE);
}

/* What SWPORTxSTS shows when what SWPORTxCTL says has taken place */
static uint32_t config_of(uint32_t ctl)
{
    uint32_t sts = FIELD_DP32(0, SWPORT0STS, MODE,
                              FIELD_EX32(ctl, SWPORT0CTL, MODE));

    sts = FIELD_DP32(sts, SWPORT0STS, SWPART,
                     FIELD_EX32(ctl, SWPORT0CTL, SWPART));
    return FIELD_DP32(sts, SWPORT0STS, DEVNUM,
                      FIELD_EX32(ctl, SWPORT0CTL, DEVNUM));
}

/* @sts is the stored SWPORTxSTS of @port */
static bool is_settled(const IdtNtbSwitch *sw, unsigned port, uint32_t sts)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, port);
    uint32_t config = config_of(qatomic_read(&sw->shm->sw.swportctl[port]));

    return (sts & (SWPORTSTS_CONFIG | SWPORTSTS_PENDING)) == config &&
           qatomic_read(&p->topology_req) == qatomic_read(&p->topology_ack);
}

bool idt_ntb_topology_is_settled(const IdtNtbSwitch *sw, unsigned port)
{
    return is_settled(sw, port, qatomic_read(&sw->shm->sw.swportsts[port]));
}

/* Several times in every access by request: reads no word twice */
bool idt_ntb_topology_allows_link(const IdtNtbSwitch *sw, unsigned port)
{
    uint32_t sts = qatomic_read(&sw->shm->sw.swportsts[port]);

    return is_settled(sw, port, sts) &&
           idt_ntb_topology_mode_has_nt(FIELD_EX32(sts, SWPORT0STS, MODE)) &&
           partition_state(sw, FIELD_EX32(sts, SWPORT0STS, SWPART)) ==
           IDT_PART_STATE_ACTIVE;
}

bool idt_ntb_topology_keeps_function(const IdtNtbSwitch *sw, unsigned port)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, port);
    uint32_t ctl = qatomic_read(&sw->shm->sw.swportctl[port]);

    return FIELD_EX32(ctl, SWPORT0CTL, OMA) == IDT_PORT_OMA_NO_ACTION &&
           idt_ntb_topology_mode_has_nt(FIELD_EX32(ctl, SWPORT0CTL, MODE)) &&
           idt_ntb_switch_has_nt(sw, port) &&
           partition_state(sw, FIELD_EX32(ctl, SWPORT0CTL, SWPART)) ==
           IDT_PART_STATE_ACTIVE &&
           qatomic_read(&p->topology_req) == qatomic_read(&p->topology_ack);
}

static bool is_owned(const IdtNtbSwitch *sw, unsigned port)
{
    return idt_ntb_switch_index(sw, port) >= 0 &&
           qatomic_read(&idt_ntb_switch_block(sw, port)->state) !=
           IDT_NTB_PORT_FREE;
}

/* Tells that the state of @partition has changed, if all its ports did */
static void finish_partition(IdtNtbSwitch *sw, unsigned partition)
{
    IdtNtbShmSwitch *regs = &sw->shm->sw;
    uint32_t ports;

    if (!(qatomic_read(&regs->swpart_pending) & BIT(partition))) {
        return;
    }
    ports = idt_ntb_switch_ports_in(sw, partition);
    for (unsigned i = 0; i < sw->num_ports; i++) {
        if (ports & BIT(i) &&
            !idt_ntb_topology_is_settled(sw, idt_ntb_switch_port(sw, i))) {
            return;
        }
    }
    if (qatomic_fetch_and(&regs->swpart_pending, ~BIT(partition)) &
        BIT(partition)) {
        trace_idt_ntb_partition_state(partition,
                                      partition_state(sw, partition));
        qatomic_fetch_or(&regs->swpartsts[partition],
                         R_SWPART0STS_SCC_MASK);
    }
}

/* Makes the configuration of @port what its SWPORTxCTL says */
static void take_over(IdtNtbSwitch *sw, unsigned port)
{
    IdtNtbShmSwitch *regs = &sw->shm->sw;
    uint32_t old = qatomic_read(&regs->swportsts[port]);

    for (unsigned i = 0; i < IDT_NTB_MAX_CAS_TRIES; i++) {
        uint32_t new = old & ~(SWPORTSTS_CONFIG | SWPORTSTS_PENDING);
        uint32_t seen;

        if (old & SWPORTSTS_PENDING) {
            new |= R_SWPORT0STS_OMCC_MASK;
        }
        smp_rmb();              /* who sees the write as pending sees it */
        new |= config_of(qatomic_read(&regs->swportctl[port]));
        seen = qatomic_cmpxchg(&regs->swportsts[port], old, new);
        if (seen == old) {
            return;
        }
        old = seen;
    }
}

void idt_ntb_topology_settle(IdtNtbSwitch *sw, unsigned port)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, port);
    uint32_t acked = qatomic_read(&p->topology_ack);
    uint32_t request = qatomic_load_acquire(&p->topology_req);
    unsigned partition = idt_ntb_switch_partition(sw, port);

    if (idt_ntb_topology_is_settled(sw, port)) {
        return;
    }
    take_over(sw, port);
    trace_idt_ntb_port_mode(port, idt_ntb_topology_mode(sw, port),
                            idt_ntb_switch_partition(sw, port));
    /* Who has settled the port meanwhile may have seen a later request */
    qatomic_cmpxchg(&p->topology_ack, acked, request);
    finish_partition(sw, partition);
    finish_partition(sw, idt_ntb_switch_partition(sw, port));
}

/* Tells who is to let a change of @port take place, which is not settled */
static void begin_change(IdtNtbSwitch *sw, unsigned port)
{
    if (is_owned(sw, port)) {
        idt_ntb_switch_signal(sw, port);
    } else {
        idt_ntb_topology_settle(sw, port);
    }
}

void idt_ntb_topology_set_port(IdtNtbSwitch *sw, unsigned port, uint32_t ctl)
{
    IdtNtbShmSwitch *regs = &sw->shm->sw;

    qatomic_xchg(&regs->swportctl[port], ctl);
    if (idt_ntb_topology_is_settled(sw, port)) {
        qatomic_fetch_or(&regs->swportsts[port], R_SWPORT0STS_OMCI_MASK |
                                                 R_SWPORT0STS_OMCC_MASK);
        return;
    }
    qatomic_fetch_or(&regs->swportsts[port],
                     R_SWPORT0STS_OMCI_MASK | SWPORTSTS_PENDING);
    begin_change(sw, port);
}

void idt_ntb_topology_set_partition(IdtNtbSwitch *sw, unsigned partition,
                                    uint32_t ctl)
{
    IdtNtbShmSwitch *regs = &sw->shm->sw;
    uint32_t old = qatomic_xchg(&regs->swpartctl[partition], ctl);
    uint32_t ports = idt_ntb_switch_ports_in(sw, partition);

    qatomic_fetch_or(&regs->swpartsts[partition], R_SWPART0STS_SCI_MASK);
    if (FIELD_EX32(old ^ ctl, SWPART0CTL, STATE)) {
        if (FIELD_EX32(ctl, SWPART0CTL, STATE) == IDT_PART_STATE_RESET) {
            idt_ntb_switch_event(sw, IDT_NTB_EVENT_FRST, partition);
        }
        for (unsigned i = 0; i < sw->num_ports; i++) {
            unsigned port = idt_ntb_switch_port(sw, i);

            if (ports & BIT(i)) {
                qatomic_inc(&idt_ntb_switch_block(sw, port)->topology_req);
                begin_change(sw, port);
            }
        }
    }
    /* Not before: until then the ports look as if they were done */
    qatomic_fetch_or(&regs->swpart_pending, BIT(partition));
    finish_partition(sw, partition);
}

/* Who owned the port may have gone in the middle of a change */
static void settle_unowned(IdtNtbSwitch *sw, unsigned port)
{
    if (idt_ntb_topology_is_settled(sw, port) || is_owned(sw, port)) {
        return;
    }
    idt_ntb_topology_settle(sw, port);
    /* Its partitions may mean other ports; here that has time */
    for (unsigned i = 0; i < sw->num_ports; i++) {
        idt_ntb_switch_ask_close(sw, idt_ntb_switch_port(sw, i));
    }
}

uint32_t idt_ntb_topology_port_status(IdtNtbSwitch *sw, unsigned port)
{
    uint32_t value;
    unsigned mode;

    settle_unowned(sw, port);
    value = qatomic_read(&sw->shm->sw.swportsts[port]) & SWPORTSTS_STORED;
    mode = FIELD_EX32(value, SWPORT0STS, MODE);
    value = FIELD_DP32(value, SWPORT0STS, DS,
                       mode == IDT_PORT_MODE_DOWNSTREAM);
    return FIELD_DP32(value, SWPORT0STS, LINKUP,
                      idt_ntb_switch_link(sw, port));
}

uint32_t idt_ntb_topology_partition_status(IdtNtbSwitch *sw,
                                           unsigned partition)
{
    uint32_t value;

    for (unsigned port = 0; port < IDT_MAX_PORTS; port++) {
        settle_unowned(sw, port);
    }
    finish_partition(sw, partition);
    value = qatomic_read(&sw->shm->sw.swpartsts[partition]) &
            SWPARTSTS_STORED;
    value = FIELD_DP32(value, SWPART0STS, STATE,
                       partition_state(sw, partition));
    for (unsigned port = 0; port < IDT_MAX_PORTS; port++) {
        uint32_t mode = BIT(idt_ntb_topology_mode(sw, port));

        if (idt_ntb_switch_partition(sw, port) != partition) {
            continue;
        }
        if (mode & MODES_UP) {
            value = FIELD_DP32(value, SWPART0STS, US, 1);
            value = FIELD_DP32(value, SWPART0STS, USID, port);
        }
        if (mode & MODES_NT) {
            value = FIELD_DP32(value, SWPART0STS, NT, 1);
        }
        if (mode & MODES_DMA) {
            value = FIELD_DP32(value, SWPART0STS, DMA, 1);
        }
    }
    return value;
}
