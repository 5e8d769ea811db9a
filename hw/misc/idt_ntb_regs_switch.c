/*
 * IDT 89HPESxNTx PCIe switch: registers of the switch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/log.h"
#include "idt_ntb_regs_access.h"
#include "idt_ntb_temp.h"

static void unimp_write(IdtNtbRegs *regs, const IdtNtbReg *reg, unsigned port,
                        unsigned n, uint32_t value, uint32_t lanes)
{
    qemu_log_mask(LOG_UNIMP, "idt-ntb: port %u: write of 0x%08x to %s %u\n",
                  regs->sw->port, value, reg->name, n);
}

static uint32_t swpartctl_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    return FIELD_DP32(0, SWPART0CTL, STATE,
                      n < regs->sw->partitions ? IDT_PART_STATE_ACTIVE :
                                                 IDT_PART_STATE_DISABLED);
}

static uint32_t swpartsts_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    uint32_t value = 0;

    if (n < regs->sw->partitions) {
        value = FIELD_DP32(value, SWPART0STS, STATE, IDT_PART_STATE_ACTIVE);
        value = FIELD_DP32(value, SWPART0STS, NT, 1);
    }
    return value;
}

static uint32_t swportctl_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    int partition = idt_ntb_switch_partition(regs->sw, n);
    uint32_t value = 0;

    if (partition >= 0) {
        value = FIELD_DP32(value, SWPORT0CTL, MODE, IDT_PORT_MODE_NT);
        value = FIELD_DP32(value, SWPORT0CTL, SWPART, partition);
    }
    return value;
}

static uint32_t swportsts_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    int partition = idt_ntb_switch_partition(regs->sw, n);
    uint32_t value = 0;

    if (partition >= 0) {
        value = FIELD_DP32(value, SWPORT0STS, MODE, IDT_PORT_MODE_NT);
        value = FIELD_DP32(value, SWPORT0STS, SWPART, partition);
        value = FIELD_DP32(value, SWPORT0STS, LINKUP,
                           idt_ntb_switch_link(regs->sw, n));
    }
    return value;
}

static uint32_t sests_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    return idt_ntb_switch_sests(regs->sw);
}

static uint32_t gdbellsts_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    uint32_t value = 0;

    for (unsigned part = 0; part < regs->sw->partitions; part++) {
        IdtNtbShmPort *p = idt_ntb_switch_block(regs->sw,
                                     idt_ntb_switch_port(regs->sw, part));

        value |= qatomic_read(&p->indbellsts);
    }
    return value;
}

static uint32_t tmpsts_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    return idt_ntb_temp_status(regs->sw);
}

/* TMPCTL and TMPADJ */
static void tmp_write(IdtNtbRegs *regs, const IdtNtbReg *reg, unsigned port,
                      unsigned n, uint32_t value, uint32_t lanes)
{
    idt_ntb_temp_measure(regs->sw);
    idt_ntb_reg_update(reg, (void *)&regs->sw->shm->sw + reg->word, value,
                       lanes);
    idt_ntb_temp_measure(regs->sw);
}

static uint32_t tmpalarm_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    return idt_ntb_temp_alarm(regs->sw);
}

static void tmpalarm_write(IdtNtbRegs *regs, const IdtNtbReg *reg,
                           unsigned port, unsigned n, uint32_t value,
                           uint32_t lanes)
{
    IdtNtbShmSwitch *sw = &regs->sw->shm->sw;

    if (lanes & R_TMPALARM_LTEMP_MASK) {
        qatomic_set(&sw->tmp_lowest, FIELD_EX32(value, TMPALARM, LTEMP));
    }
    if (lanes & R_TMPALARM_HTEMP_MASK) {
        qatomic_set(&sw->tmp_highest, FIELD_EX32(value, TMPALARM, HTEMP));
    }
    qatomic_fetch_and(&sw->tmpalarm,
                      ~(value & lanes & R_TMPALARM_IRQ_MASK));
}

#define SWITCH_WORD(field)  .word = offsetof(IdtNtbShmSwitch, field)

#define ALL_PORTS       MAKE_64BIT_MASK(0, IDT_MAX_PORTS)
#define ALL_PARTITIONS  MAKE_64BIT_MASK(0, IDT_MAX_PARTITIONS)
#define ALL_FCAPS       MAKE_64BIT_MASK(0, IDT_NUM_FAILOVER_CAPS)
#define ALL_EVENTS      0x3f

#define MSGCTL(n) \
    { .name = "SWPxMSGCTL" #n, \
      .addr = A_SWP0MSGCTL0 + (n) * IDT_MSGCTL_MSG_STRIDE, \
      .count = IDT_MAX_PARTITIONS, .stride = 4, SWITCH_WORD(msgctl[n]), \
      .rw = R_SWP0MSGCTL0_REG_MASK | R_SWP0MSGCTL0_PART_MASK }

const IdtNtbReg idt_ntb_switch_regs[] = {
    { .name = "SWPARTxCTL", .addr = A_SWPART0CTL, .count = IDT_MAX_PARTITIONS,
      .stride = IDT_PART_STRIDE, .read = swpartctl_read,
      .write = unimp_write },
    { .name = "SWPARTxSTS", .addr = A_SWPART0STS, .count = IDT_MAX_PARTITIONS,
      .stride = IDT_PART_STRIDE, .read = swpartsts_read,
      .write = unimp_write },
    { .name = "SWPORTxCTL", .addr = A_SWPORT0CTL, .count = IDT_MAX_PORTS,
      .stride = IDT_SWPORT_STRIDE, .read = swportctl_read,
      .write = unimp_write },
    { .name = "SWPORTxSTS", .addr = A_SWPORT0STS, .count = IDT_MAX_PORTS,
      .stride = IDT_SWPORT_STRIDE, .read = swportsts_read,
      .write = unimp_write },

    { .name = "SESTS", .addr = A_SESTS, .read = sests_read },
    { .name = "SEMSK", .addr = A_SEMSK, SWITCH_WORD(semsk),
      .reset = ALL_EVENTS, .rw = ALL_EVENTS },
    { .name = "SEPMSK", .addr = A_SEPMSK, SWITCH_WORD(sepmsk),
      .reset = ALL_PARTITIONS, .rw = ALL_PARTITIONS },
    { .name = "SELINKUPSTS", .addr = A_SELINKUPSTS, SWITCH_WORD(selinkupsts),
      .w1c = ALL_PORTS },
    { .name = "SELINKUPMSK", .addr = A_SELINKUPMSK, SWITCH_WORD(selinkupmsk),
      .reset = ALL_PORTS, .rw = ALL_PORTS },
    { .name = "SELINKDNSTS", .addr = A_SELINKDNSTS, SWITCH_WORD(selinkdnsts),
      .w1c = ALL_PORTS },
    { .name = "SELINKDNMSK", .addr = A_SELINKDNMSK, SWITCH_WORD(selinkdnmsk),
      .reset = ALL_PORTS, .rw = ALL_PORTS },
    { .name = "SEFRSTSTS", .addr = A_SEFRSTSTS, SWITCH_WORD(sefrststs),
      .w1c = ALL_PARTITIONS },
    { .name = "SEFRSTMSK", .addr = A_SEFRSTMSK, SWITCH_WORD(sefrstmsk),
      .reset = ALL_PARTITIONS, .rw = ALL_PARTITIONS },
    { .name = "SEHRSTSTS", .addr = A_SEHRSTSTS, SWITCH_WORD(sehrststs),
      .w1c = ALL_PARTITIONS },
    { .name = "SEHRSTMSK", .addr = A_SEHRSTMSK, SWITCH_WORD(sehrstmsk),
      .reset = ALL_PARTITIONS, .rw = ALL_PARTITIONS },
    { .name = "SEFOVRMSK", .addr = A_SEFOVRMSK, SWITCH_WORD(sefovrmsk),
      .reset = ALL_FCAPS, .rw = ALL_FCAPS },
    { .name = "SEGSIGSTS", .addr = A_SEGSIGSTS, SWITCH_WORD(segsigsts),
      .w1c = ALL_PARTITIONS },
    { .name = "SEGSIGMSK", .addr = A_SEGSIGMSK, SWITCH_WORD(segsigmsk),
      .reset = ALL_PARTITIONS, .rw = ALL_PARTITIONS },

    { .name = "GDBELLSTS", .addr = A_GDBELLSTS, .read = gdbellsts_read },
    { .name = "GODBELLMSK", .addr = A_GODBELLMSK0, .count = IDT_NUM_DOORBELLS,
      .stride = 4, SWITCH_WORD(godbellmsk), .rw = ALL_PARTITIONS },
    { .name = "GIDBELLMSK", .addr = A_GIDBELLMSK0, .count = IDT_NUM_DOORBELLS,
      .stride = 4, SWITCH_WORD(gidbellmsk), .rw = ALL_PARTITIONS },
    MSGCTL(0), MSGCTL(1), MSGCTL(2), MSGCTL(3),

    { .name = "TMPCTL", .addr = A_TMPCTL, SWITCH_WORD(tmpctl),
      .reset = R_TMPCTL_PDOWN_MASK, .rw = 0xa4ffffff, .write = tmp_write },
    { .name = "TMPSTS", .addr = A_TMPSTS, .read = tmpsts_read },
    { .name = "TMPALARM", .addr = A_TMPALARM, .read = tmpalarm_read,
      .write = tmpalarm_write },
    { .name = "TMPADJ", .addr = A_TMPADJ, SWITCH_WORD(tmpadj),
      .rw = R_TMPADJ_OFFSET_MASK, .write = tmp_write },
};

const unsigned idt_ntb_num_switch_regs = ARRAY_SIZE(idt_ntb_switch_regs);
