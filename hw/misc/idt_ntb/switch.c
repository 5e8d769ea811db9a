/*
 * IDT 89HPESxNTx PCIe switch: the switch in shared memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/bswap.h"
#include "qemu/log.h"
#include "hw/misc/idt_ntb.h"
#include "hw/pci/pci_regs.h"
#include "bars.h"
#include "server.h"
#include "regs.h"
#include "switch.h"
#include "topology.h"
#include "trace.h"


IdtNtbShmPort *idt_ntb_switch_block(const IdtNtbSwitch *sw, unsigned port)
{
    return &sw->shm->port[port].p;
}

IdtNtbShmPort *idt_ntb_switch_boot(const IdtNtbSwitch *sw, unsigned port)
{
    return &sw->shm->reset_image[idt_ntb_switch_index(sw, port)].p;
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

bool idt_ntb_switch_is_same(const IdtNtbSwitch *a, const IdtNtbSwitch *b)
{
    return a->dev == b->dev && a->ino == b->ino;
}

unsigned idt_ntb_switch_port(const IdtNtbSwitch *sw, unsigned index)
{
    return sw->chip->nt_ports[index];
}

int idt_ntb_switch_index(const IdtNtbSwitch *sw, unsigned port)
{
    for (unsigned i = 0; i < sw->num_ports; i++) {
        if (sw->chip->nt_ports[i] == port) {
            return i;
        }
    }
    return -1;
}

unsigned idt_ntb_switch_partition(const IdtNtbSwitch *sw, unsigned port)
{
    return FIELD_EX32(qatomic_read(&sw->shm->sw.swportsts[port]), SWPORT0STS,
                      SWPART);
}

uint32_t idt_ntb_switch_ports_in(const IdtNtbSwitch *sw, unsigned partition)
{
    uint32_t ports = 0;

    for (unsigned i = 0; i < sw->num_ports; i++) {
        if (idt_ntb_switch_partition(sw, idt_ntb_switch_port(sw, i)) ==
            partition) {
            ports |= BIT(i);
        }
    }
    return ports;
}

bool idt_ntb_switch_has_nt(const IdtNtbSwitch *sw, unsigned port)
{
    return idt_ntb_topology_mode_has_nt(idt_ntb_topology_mode(sw, port));
}

int idt_ntb_switch_find_nt(const IdtNtbSwitch *sw, unsigned partition)
{
    int leaving = -1;

    for (unsigned i = 0; i < sw->num_ports; i++) {
        unsigned port = idt_ntb_switch_port(sw, i);

        if (!idt_ntb_switch_has_nt(sw, port) ||
            idt_ntb_switch_partition(sw, port) != partition) {
            continue;
        }
        if (idt_ntb_topology_is_settled(sw, port)) {
            return i;
        }
        if (leaving < 0) {
            leaving = i;
        }
    }
    return leaving;
}

/*
 * What we are the only one to change of our port we know, and show the others.
 * Another process may have written there.
 */
static bool switch_is_trained(const IdtNtbSwitch *sw, unsigned port)
{
    return port == sw->port ? sw->is_up :
           qatomic_read(&idt_ntb_switch_block(sw, port)->state) ==
           IDT_NTB_PORT_UP;
}

static bool switch_is_master(const IdtNtbSwitch *sw, unsigned port)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, port);

    return port == sw->port ? sw->is_master :
           qatomic_read(&p->cfg[PCI_COMMAND / 4]) & PCI_COMMAND_MASTER;
}

bool idt_ntb_switch_link(const IdtNtbSwitch *sw, unsigned port)
{
    return switch_is_trained(sw, port) &&
           idt_ntb_topology_allows_link(sw, port);
}

bool idt_ntb_switch_is_up(const IdtNtbSwitch *sw)
{
    return sw->is_up;
}

bool idt_ntb_switch_is_client(const IdtNtbSwitch *sw, unsigned port,
                              unsigned id)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, port);

    return port != sw->port && qatomic_read(&p->client) == id &&
           qatomic_read(&p->state) != IDT_NTB_PORT_FREE;
}

void idt_ntb_switch_signal(IdtNtbSwitch *sw, unsigned port)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, port);

    if (port != sw->port) {
        idt_ntb_server_signal(sw->peers, qatomic_read(&p->client));
    }
}

/* Events */

typedef struct IdtNtbEventWords {
    uint32_t *sts;
    uint32_t *msk;
} IdtNtbEventWords;

static IdtNtbEventWords switch_event_words(IdtNtbSwitch *sw, IdtNtbEvent event)
{
    IdtNtbShmSwitch *regs = &sw->shm->sw;
    const IdtNtbEventWords words[] = {
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
static uint32_t switch_failover_status(const IdtNtbSwitch *sw)
{
    uint32_t status = 0;

    for (unsigned i = 0; i < IDT_NUM_FAILOVER_CAPS; i++) {
        if (qatomic_read(&sw->shm->sw.fcapsts[i])) {
            status |= BIT(i);
        }
    }
    return status;
}

uint32_t idt_ntb_switch_sests(IdtNtbSwitch *sw)
{
    static const IdtNtbEvent events[] = {
        IDT_NTB_EVENT_LINKUP, IDT_NTB_EVENT_LINKDN, IDT_NTB_EVENT_FRST,
        IDT_NTB_EVENT_HRST, IDT_NTB_EVENT_FAILOVER, IDT_NTB_EVENT_GSIGNAL,
    };
    uint32_t sests = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(events); i++) {
        IdtNtbEventWords words = switch_event_words(sw, events[i]);
        uint32_t status = words.sts ? qatomic_read(words.sts) :
                                      switch_failover_status(sw);

        if (status & ~qatomic_read(words.msk)) {
            sests |= BIT(events[i]);
        }
    }
    return sests;
}

void idt_ntb_switch_event(IdtNtbSwitch *sw, IdtNtbEvent event, unsigned n)
{
    IdtNtbEventWords words = switch_event_words(sw, event);
    IdtNtbShmSwitch *regs = &sw->shm->sw;
    uint32_t sepmsk;

    if (words.sts) {
        qatomic_fetch_or(words.sts, BIT(n));
    }
    if (qatomic_read(words.msk) & BIT(n) ||
        qatomic_read(&regs->semsk) & BIT(event)) {
        return;
    }
    sepmsk = qatomic_read(&regs->sepmsk);
    for (unsigned i = 0; i < sw->num_ports; i++) {
        unsigned port = idt_ntb_switch_port(sw, i);

        if (sepmsk & BIT(idt_ntb_switch_partition(sw, port)) ||
            !idt_ntb_switch_link(sw, port)) {
            continue;
        }
        trace_idt_ntb_event(port, event, n);
        qatomic_fetch_or(&idt_ntb_switch_block(sw, port)->ntintsts,
                         R_NTINTSTS_SEVENT_MASK);
        idt_ntb_switch_signal(sw, port);
    }
}

/* Link */

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

/* What an EEPROM image can change in header and capabilities */
static uint32_t switch_boot_mask(unsigned offset)
{
    switch (offset) {
    case A_PCIELCTLSTS:
        return R_PCIELCTLSTS_SCLK_MASK;
    case A_SSIDSSVID:
    case A_DSN_LOWER:
    case A_DSN_UPPER:
        return UINT32_MAX;
    default:
        return 0;
    }
}

static bool is_bar(unsigned offset)
{
    return offset >= PCI_BASE_ADDRESS_0 && offset <= PCI_BASE_ADDRESS_5;
}

uint32_t idt_ntb_switch_reset_cfg(const IdtNtbSwitch *sw, unsigned port,
                                  unsigned offset)
{
    const IdtNtbShmPort *boot = idt_ntb_switch_boot(sw, port);
    uint32_t mask = switch_boot_mask(offset);

    if (is_bar(offset)) {
        unsigned bar = (offset - PCI_BASE_ADDRESS_0) / 4;

        return idt_ntb_bar_type(qatomic_read(&boot->barsetup[bar]));
    }
    return (idt_ntb_switch_default_cfg(sw, port, offset) & ~mask) |
           (qatomic_read(&boot->cfg[offset / 4]) & mask);
}

void idt_ntb_switch_boot_cfg(IdtNtbSwitch *sw, unsigned port, unsigned offset,
                             uint32_t value)
{
    uint32_t *word = &idt_ntb_switch_boot(sw, port)->cfg[offset / 4];
    uint32_t mask = switch_boot_mask(offset);

    if (!mask) {
        qemu_log_mask(LOG_UNIMP, "idt-ntb: EEPROM image: write of 0x%08x to "
                      "0x%03x of the NT function of port %u is not modelled\n",
                      value, offset, port);
    }
    qatomic_set(word, (qatomic_read(word) & ~mask) | (value & mask));
}

void idt_ntb_switch_publish_reset(IdtNtbSwitch *sw, unsigned port)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, port);

    for (unsigned i = 0; i < ARRAY_SIZE(p->cfg); i++) {
        qatomic_set(&p->cfg[i], idt_ntb_switch_reset_cfg(sw, port, i * 4));
    }
}

/*
 * The mapping table is shared, but an entry for a partition is its own, and
 * returns to what the EEPROM image made it.
 */
static void switch_reset_mtbl(IdtNtbSwitch *sw, unsigned port)
{
    unsigned partition = idt_ntb_switch_partition(sw, port);

    if (idt_ntb_switch_find_nt(sw, partition) !=
        idt_ntb_switch_index(sw, port)) {
        return;
    }
    for (unsigned i = 0; i < IDT_NUM_MTBL; i++) {
        uint32_t *entry = &sw->shm->sw.mtbl[i];
        uint32_t old = qatomic_read(entry);
        uint32_t new = qatomic_read(&sw->shm->sw.reset_mtbl[i]);

        if (FIELD_EX32(new, NTMTBLDATA, PART) != partition) {
            new = 0;
        }
        if (!old || FIELD_EX32(old, NTMTBLDATA, PART) == partition) {
            qatomic_cmpxchg(entry, old, new);
        }
    }
}

/* Makes the others give up their mappings of the memory behind @port. */
static void switch_close_onto(IdtNtbSwitch *sw, unsigned port)
{
    uint32_t target = BIT(idt_ntb_switch_index(sw, port));
    uint32_t holders = idt_ntb_switch_holders(sw, target);

    for (unsigned i = 0; i < sw->num_ports; i++) {
        if (holders & BIT(i)) {
            idt_ntb_switch_ask_close(sw, idt_ntb_switch_port(sw, i));
        }
    }
}

void idt_ntb_switch_end_access(IdtNtbSwitch *sw, unsigned port)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, port);

    qatomic_inc(&p->send_epoch);
    qatomic_inc(&p->receive_epoch);
    switch_close_onto(sw, port);
}

void idt_ntb_switch_put_down(IdtNtbSwitch *sw, unsigned port)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, port);
    bool tell = switch_is_trained(sw, port) ||
                qatomic_read(&p->state) == IDT_NTB_PORT_GOING_DOWN;

    if (port == sw->port) {
        sw->is_up = false;
    }
    qatomic_set_mb(&p->state,
                   tell ? IDT_NTB_PORT_GOING_DOWN : IDT_NTB_PORT_DOWN);
    idt_ntb_switch_end_access(sw, port);
    idt_ntb_regs_copy_port(p, idt_ntb_switch_boot(sw, port));
    qatomic_set(&p->irq_low, 0);
    switch_reset_mtbl(sw, port);
    idt_ntb_switch_publish_reset(sw, port);
    if (tell) {
        trace_idt_ntb_link(port, false);
        idt_ntb_switch_event(sw, IDT_NTB_EVENT_LINKDN, port);
        qatomic_set_mb(&p->state, IDT_NTB_PORT_DOWN);
    }
}

void idt_ntb_switch_link_up(IdtNtbSwitch *sw)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, sw->port);
    bool was_up = sw->is_up;

    if (!idt_ntb_topology_allows_link(sw, sw->port)) {
        return;
    }
    sw->is_up = true;
    if (qatomic_read(&p->state) != IDT_NTB_PORT_UP) {
        qatomic_set_mb(&p->state, IDT_NTB_PORT_UP);
    }
    if (was_up) {
        return;
    }
    trace_idt_ntb_link(sw->port, true);
    idt_ntb_switch_event(sw, IDT_NTB_EVENT_LINKUP, sw->port);
}

bool idt_ntb_switch_publish(IdtNtbSwitch *sw, const uint8_t *config)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, sw->port);
    bool was_master = sw->is_master;

    for (unsigned i = 0; i < ARRAY_SIZE(p->cfg); i++) {
        uint32_t value = ldl_le_p(config + i * 4);

        /* Most don't change: leave their cache lines with the readers */
        if (qatomic_read(&p->cfg[i]) != value) {
            qatomic_set(&p->cfg[i], value);
        }
    }
    sw->is_master = lduw_le_p(config + PCI_COMMAND) & PCI_COMMAND_MASTER;
    if (!was_master || sw->is_master) {
        return false;
    }
    qatomic_inc(&p->receive_epoch);
    return true;
}

/* Windows */

bool idt_ntb_switch_admitted(const IdtNtbSwitch *sw, unsigned from)
{
    unsigned port = idt_ntb_switch_port(sw, from);
    unsigned partition = idt_ntb_switch_partition(sw, port);
    const uint32_t mask = R_NTMTBLDATA_VALID_MASK | R_NTMTBLDATA_REQID_MASK |
                          R_NTMTBLDATA_PART_MASK;
    uint32_t wanted = FIELD_DP32(R_NTMTBLDATA_VALID_MASK, NTMTBLDATA, PART,
                                 partition);

    if (qatomic_read(&idt_ntb_switch_block(sw, port)->ntctl) &
        R_NTCTL_IDPROTDIS_MASK) {
        return true;
    }
    /* Linux uses the entry of the partition's number: look there first */
    for (unsigned i = 0; i < IDT_NUM_MTBL; i++) {
        unsigned entry = (partition + i) % IDT_NUM_MTBL;

        /* The ID that REQIDCAP shows is 0 */
        if ((qatomic_read(&sw->shm->sw.mtbl[entry]) & mask) == wanted) {
            return true;
        }
    }
    return false;
}

bool idt_ntb_switch_open(const IdtNtbSwitch *sw, unsigned from, unsigned to)
{
    unsigned target = idt_ntb_switch_port(sw, to);

    return idt_ntb_switch_link(sw, idt_ntb_switch_port(sw, from)) &&
           idt_ntb_switch_link(sw, target) &&
           switch_is_master(sw, target) &&
           idt_ntb_switch_admitted(sw, from);
}

uint32_t idt_ntb_switch_epoch(const IdtNtbSwitch *sw, unsigned from,
                              unsigned to)
{
    unsigned sender = idt_ntb_switch_port(sw, from);
    unsigned target = idt_ntb_switch_port(sw, to);

    /* Both only count up: the sum is another one after either */
    return
        qatomic_load_acquire(&idt_ntb_switch_block(sw, sender)->send_epoch) +
        qatomic_load_acquire(&idt_ntb_switch_block(sw, target)->receive_epoch);
}

bool idt_ntb_switch_has_completions(const IdtNtbSwitch *sw, unsigned from)
{
    unsigned port = idt_ntb_switch_port(sw, from);

    return FIELD_EX32(qatomic_read(&idt_ntb_switch_block(sw, port)->ntctl),
                      NTCTL, CPEN);
}

void idt_ntb_switch_admission_changed(IdtNtbSwitch *sw, unsigned from)
{
    if (!idt_ntb_switch_admitted(sw, from)) {
        unsigned port = idt_ntb_switch_port(sw, from);

        qatomic_inc(&idt_ntb_switch_block(sw, port)->send_epoch);
    }
}

uint32_t idt_ntb_switch_holders(const IdtNtbSwitch *sw, uint32_t targets)
{
    uint32_t holders = 0;

    for (unsigned i = 0; i < sw->num_ports; i++) {
        unsigned port = idt_ntb_switch_port(sw, i);

        if (qatomic_read(&idt_ntb_switch_block(sw, port)->holds) & targets) {
            holders |= BIT(i);
        }
    }
    return holders;
}

uint32_t idt_ntb_switch_ask_close(IdtNtbSwitch *sw, unsigned port)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, port);
    uint32_t request = qatomic_fetch_inc(&p->close_req) + 1;

    idt_ntb_switch_signal(sw, port);
    return request;
}

/* Doorbells and messages */

/* Does not signal masked doorbells: unmasking re-reads the status */
static void switch_ring(IdtNtbSwitch *sw, unsigned port, uint32_t bits)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, port);

    qatomic_fetch_or(&p->indbellsts, bits);
    smp_mb__after_rmw();        /* pairs with idt_ntb_reg_update() */
    if (bits & ~qatomic_read(&p->indbellmsk)) {
        idt_ntb_switch_signal(sw, port);
    }
}

void idt_ntb_switch_doorbell(IdtNtbSwitch *sw, unsigned port, uint32_t bits)
{
    IdtNtbShmSwitch *regs = &sw->shm->sw;
    unsigned source = idt_ntb_switch_partition(sw, port);
    uint32_t reaches[IDT_MAX_PARTITIONS] = { };

    for (unsigned n = 0; n < IDT_NUM_DOORBELLS; n++) {
        uint32_t blocked;

        if (!(bits & BIT(n))) {
            continue;
        }
        if (qatomic_read(&regs->godbellmsk[n]) & BIT(source)) {
            trace_idt_ntb_doorbell_refused(port, n);
            continue;
        }
        blocked = qatomic_read(&regs->gidbellmsk[n]);
        for (unsigned part = 0; part < IDT_MAX_PARTITIONS; part++) {
            if (!(blocked & BIT(part))) {
                reaches[part] |= BIT(n);
            }
        }
    }

    for (unsigned i = 0; i < sw->num_ports; i++) {
        unsigned target = idt_ntb_switch_port(sw, i);
        unsigned part = idt_ntb_switch_partition(sw, target);

        if (reaches[part] && idt_ntb_switch_link(sw, target)) {
            trace_idt_ntb_doorbell(port, target, reaches[part]);
            switch_ring(sw, target, reaches[part]);
        }
    }
}

/* Puts @word into an inbound message register, unless that is full. */
static bool switch_deliver(uint64_t *inmsg, uint64_t word)
{
    uint64_t old = qatomic_read(inmsg);

    for (unsigned i = 0; i < IDT_NTB_MAX_CAS_TRIES; i++) {
        uint64_t seen;

        if (old & R_SHM_INMSG_FULL_MASK) {
            return false;
        }
        seen = qatomic_cmpxchg(inmsg, old, word);
        if (seen == old) {
            return true;
        }
        old = seen;
    }
    return false;
}

void idt_ntb_switch_message(IdtNtbSwitch *sw, unsigned port, unsigned n,
                            uint32_t data)
{
    unsigned source = idt_ntb_switch_partition(sw, port);
    uint32_t ctl = qatomic_read(&sw->shm->sw.msgctl[n][source]);
    unsigned part = FIELD_EX32(ctl, SWP0MSGCTL0, PART);
    unsigned reg = FIELD_EX32(ctl, SWP0MSGCTL0, REG);
    int index = idt_ntb_switch_find_nt(sw, part);
    uint64_t word = data;

    word = FIELD_DP64(word, SHM_INMSG, SRC, source);
    word = FIELD_DP64(word, SHM_INMSG, FULL, 1);
    if (index >= 0) {
        unsigned target = idt_ntb_switch_port(sw, index);
        IdtNtbShmPort *p = idt_ntb_switch_block(sw, target);

        if (idt_ntb_switch_link(sw, target) &&
            switch_deliver(&p->inmsg[reg], word)) {
            trace_idt_ntb_message(port, n, target, reg, data);
            idt_ntb_switch_signal(sw, target);
            return;
        }
    }
    trace_idt_ntb_message_failed(port, n, part, reg, data);
    qatomic_fetch_or(&idt_ntb_switch_block(sw, port)->outmsgsts, BIT(n));
    idt_ntb_switch_signal(sw, port);
}

uint32_t idt_ntb_switch_msgsts(IdtNtbSwitch *sw, unsigned port)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, port);
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

/* Interrupt */

void idt_ntb_switch_int_state(IdtNtbSwitch *sw, unsigned port,
                              IdtNtbIntState *state)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, port);

    *state = (IdtNtbIntState) {
        .ntintsts = qatomic_read(&p->ntintsts) & IDT_NTINT_LATCHED,
        .ntintmsk = qatomic_read(&p->ntintmsk),
        .indbellsts = qatomic_read(&p->indbellsts),
        .indbellmsk = qatomic_read(&p->indbellmsk),
        .msgsts = idt_ntb_switch_msgsts(sw, port),
        .msgstsmsk = qatomic_read(&p->msgstsmsk),
    };
}

uint32_t idt_ntb_int_status(const IdtNtbIntState *state)
{
    uint32_t status = state->ntintsts;

    status = FIELD_DP32(status, NTINTSTS, MSG,
                        (state->msgsts & ~state->msgstsmsk) != 0);
    return FIELD_DP32(status, NTINTSTS, DBELL,
                      (state->indbellsts & ~state->indbellmsk) != 0);
}

void idt_ntb_switch_settle(IdtNtbSwitch *sw, unsigned port, uint32_t bits,
                           uint32_t status)
{
    uint32_t fell = port == sw->port ? bits & ~status : bits;

    if (fell) {
        qatomic_fetch_or(&idt_ntb_switch_block(sw, port)->irq_low, fell);
    }
}

uint32_t idt_ntb_switch_take_low(IdtNtbSwitch *sw)
{
    return qatomic_xchg(&idt_ntb_switch_block(sw, sw->port)->irq_low, 0);
}
