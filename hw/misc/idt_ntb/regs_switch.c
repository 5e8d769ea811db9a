/*
 * IDT 89HPESxNTx PCIe switch: registers of the switch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "failover.h"
#include "flash.h"
#include "regs.h"
#include "signals.h"
#include "temp.h"
#include "topology.h"

/* Partition and port control */

/* The windows of @slots may lead elsewhere, and their memory may be closed */
static void add_change(IdtNtbEffects *effects, uint32_t slots)
{
    effects->windows_changed |= slots;
    effects->memory_closed |= slots;
    effects->topology = true;
}

static void write_swpartctl(IdtNtbRegs *regs, const IdtNtbAccess *access,
                            IdtNtbEffects *effects)
{
    uint32_t slots = idt_ntb_switch_slots_in(regs->sw, access->n);

    if (idt_ntb_topology_set_partition(regs->sw, access->n,
                                       access->reg->rw & access->lanes,
                                       access->value)) {
        add_change(effects, slots);
    }
}

static uint32_t read_swpartsts(IdtNtbRegs *regs, const IdtNtbAccess *access)
{
    return idt_ntb_topology_partition_status(regs->sw, access->n);
}

/* A port that moves takes the windows of all others along */
static void write_swportctl(IdtNtbRegs *regs, const IdtNtbAccess *access,
                            IdtNtbEffects *effects)
{
    if (idt_ntb_topology_set_port(regs->sw, access->n,
                                  access->reg->rw & access->lanes,
                                  access->value)) {
        add_change(effects, idt_ntb_switch_all(regs->sw));
    }
}

static uint32_t read_swportsts(IdtNtbRegs *regs, const IdtNtbAccess *access)
{
    return idt_ntb_topology_port_status(regs->sw, access->n);
}

static void write_fcapctl(IdtNtbRegs *regs, const IdtNtbAccess *access,
                          IdtNtbEffects *effects)
{
    uint32_t value = access->value & access->lanes;

    idt_ntb_regs_update(access, access->word);
    if (value & R_FCAP0CTL_PFTRG_MASK) {
        idt_ntb_failover_trigger(regs->sw, access->n, false);
        add_change(effects, idt_ntb_switch_all(regs->sw));
    }
    if (value & R_FCAP0CTL_SFTRG_MASK) {
        idt_ntb_failover_trigger(regs->sw, access->n, true);
        add_change(effects, idt_ntb_switch_all(regs->sw));
    }
}

/* Events and doorbells */

static uint32_t read_sests(IdtNtbRegs *regs, const IdtNtbAccess *access)
{
    return idt_ntb_signals_sests(regs->sw);
}

static uint32_t read_gdbellsts(IdtNtbRegs *regs, const IdtNtbAccess *access)
{
    uint32_t value = 0;

    for (unsigned slot = 0; slot < regs->sw->num_slots; slot++) {
        value |= qatomic_read(&idt_ntb_switch_block(regs->sw,
                                                    slot)->indbellsts);
    }
    return value;
}

/* Temperature sensor and EEPROM */

static uint32_t read_tmpsts(IdtNtbRegs *regs, const IdtNtbAccess *access)
{
    return idt_ntb_temp_status(regs->sw);
}

/* TMPCTL and TMPADJ: measures with the old value and with the new one */
static void write_tmp(IdtNtbRegs *regs, const IdtNtbAccess *access,
                      IdtNtbEffects *effects)
{
    idt_ntb_temp_measure(regs->sw);
    idt_ntb_regs_update(access, access->word);
    idt_ntb_temp_measure(regs->sw);
}

static uint32_t read_tmpalarm(IdtNtbRegs *regs, const IdtNtbAccess *access)
{
    return idt_ntb_temp_alarm(regs->sw);
}

static void write_tmpalarm(IdtNtbRegs *regs, const IdtNtbAccess *access,
                           IdtNtbEffects *effects)
{
    IdtNtbShmSwitch *sw = &regs->sw->shm->sw;

    if (access->lanes & R_TMPALARM_LTEMP_MASK) {
        qatomic_set(&sw->tmp_lowest,
                    FIELD_EX32(access->value, TMPALARM, LTEMP));
    }
    if (access->lanes & R_TMPALARM_HTEMP_MASK) {
        qatomic_set(&sw->tmp_highest,
                    FIELD_EX32(access->value, TMPALARM, HTEMP));
    }
    qatomic_fetch_and(&sw->tmpalarm, ~(access->value & access->lanes &
                                       R_TMPALARM_IRQ_MASK));
}

static uint32_t read_eepromintf(IdtNtbRegs *regs, const IdtNtbAccess *access)
{
    return idt_ntb_flash_read(regs->sw);
}

static void write_eepromintf(IdtNtbRegs *regs, const IdtNtbAccess *access,
                             IdtNtbEffects *effects)
{
    idt_ntb_flash_write(regs->sw, regs->flash, access->value, access->lanes);
}

#define SWITCH_WORD(field)  .word = offsetof(IdtNtbShmSwitch, field)

#define ALL_PORTS       MAKE_64BIT_MASK(0, IDT_MAX_PORTS)
#define ALL_PARTITIONS  MAKE_64BIT_MASK(0, IDT_MAX_PARTITIONS)
#define ALL_FCAPS       MAKE_64BIT_MASK(0, IDT_NUM_FAILOVER_CAPS)
#define ALL_EVENTS      0x3f
#define SMBUSSTS_ERRORS (R_SMBUSSTS_NAERR_MASK | R_SMBUSSTS_LAERR_MASK | \
                         R_SMBUSSTS_OTHERERR_MASK | R_SMBUSSTS_ICSERR_MASK | \
                         R_SMBUSSTS_URIA_MASK | R_SMBUSSTS_EED_MASK)

/* Registers that are stored only: see docs/specs/idt-ntb.rst */
#define STORED_N(_name, _addr, _field, _count, _stride) \
    { .name = (_name), .addr = (_addr), .count = (_count), \
      .stride = (_stride), SWITCH_WORD(_field), .rw = UINT32_MAX }
#define STORED(_name, _addr, _field) STORED_N(_name, _addr, _field, 1, 0)

#define MSGCTL(n) \
    { .name = "SWPxMSGCTL" #n, \
      .addr = A_SWP0MSGCTL0 + (n) * IDT_MSGCTL_MSG_STRIDE, \
      .count = IDT_MAX_PARTITIONS, .stride = 4, SWITCH_WORD(msgctl[n]), \
      .rw = R_SWP0MSGCTL0_REG_MASK | R_SWP0MSGCTL0_PART_MASK }

const IdtNtbReg idt_ntb_switch_regs[] = {
    STORED("SWCTL", A_SWCTL, swctl),
    { .name = "BCVSTS", .addr = A_BCVSTS,
      .reset = IDT_SWMODE_PARTS_EEPROM << R_BCVSTS_SWMODE_SHIFT },
    STORED("PCLKMODE", A_PCLKMODE, pclkmode),
    STORED_N("STKxCFG", A_STK0CFG, stkcfg, IDT_NUM_STACKS, 4),
    { .name = "RDRAINDELAY", .addr = A_RDRAINDELAY, SWITCH_WORD(rdraindelay),
      .reset = IDT_RDRAINDELAY_RESET, .rw = UINT16_MAX },
    { .name = "POMCDELAY", .addr = A_POMCDELAY, SWITCH_WORD(pomcdelay),
      .reset = IDT_POMCDELAY_RESET, .rw = UINT16_MAX },
    { .name = "SEDELAY", .addr = A_SEDELAY, SWITCH_WORD(sedelay),
      .reset = IDT_SEDELAY_RESET, .rw = UINT16_MAX },
    { .name = "USSBRDELAY", .addr = A_USSBRDELAY, SWITCH_WORD(ussbrdelay),
      .reset = IDT_USSBRDELAY_RESET, .rw = UINT16_MAX },

    { .name = "SWPARTxCTL", .addr = A_SWPART0CTL, .count = IDT_MAX_PARTITIONS,
      .stride = IDT_PART_STRIDE, SWITCH_WORD(swpartctl),
      .rw = R_SWPART0CTL_STATE_MASK | R_SWPART0CTL_FCAPSEL_MASK |
            R_SWPART0CTL_FEN_MASK, .write = write_swpartctl },
    { .name = "SWPARTxSTS", .addr = A_SWPART0STS, .count = IDT_MAX_PARTITIONS,
      .stride = IDT_PART_STRIDE, SWITCH_WORD(swpartsts),
      .w1c = R_SWPART0STS_SCI_MASK | R_SWPART0STS_SCC_MASK |
             R_SWPART0STS_PFAILOVER_MASK | R_SWPART0STS_SFAILOVER_MASK,
      .read = read_swpartsts },
    { .name = "SWPARTxFCTL", .addr = A_SWPART0FCTL,
      .count = IDT_MAX_PARTITIONS, .stride = IDT_PART_STRIDE,
      SWITCH_WORD(swpartfctl),
      .rw = R_SWPART0FCTL_PFSTATE_MASK | R_SWPART0FCTL_SFSTATE_MASK },
    { .name = "SWPORTxCTL", .addr = A_SWPORT0CTL, .count = IDT_MAX_PORTS,
      .stride = IDT_SWPORT_STRIDE, SWITCH_WORD(swportctl),
      .rw = R_SWPORT0CTL_MODE_MASK | R_SWPORT0CTL_SWPART_MASK |
            R_SWPORT0CTL_OMA_MASK | R_SWPORT0CTL_DEVNUM_MASK |
            R_SWPORT0CTL_FCAPSEL_MASK | R_SWPORT0CTL_FEN_MASK,
      .write = write_swportctl },
    { .name = "SWPORTxSTS", .addr = A_SWPORT0STS, .count = IDT_MAX_PORTS,
      .stride = IDT_SWPORT_STRIDE, SWITCH_WORD(swportsts),
      .w1c = R_SWPORT0STS_OMCI_MASK | R_SWPORT0STS_OMCC_MASK |
             R_SWPORT0STS_PFAILOVER_MASK | R_SWPORT0STS_SFAILOVER_MASK,
      .read = read_swportsts },
    { .name = "SWPORTxFCTL", .addr = A_SWPORT0FCTL, .count = IDT_MAX_PORTS,
      .stride = IDT_SWPORT_STRIDE, SWITCH_WORD(swportfctl),
      .rw = 0x1f7f1f7f },
    { .name = "FCAPxCTL", .addr = A_FCAP0CTL, .count = IDT_NUM_FAILOVER_CAPS,
      .stride = IDT_FCAP_STRIDE, SWITCH_WORD(fcapctl),
      .rw = ~(R_FCAP0CTL_PFTRG_MASK | R_FCAP0CTL_SFTRG_MASK),
      .write = write_fcapctl },
    { .name = "FCAPxSTS", .addr = A_FCAP0STS, .count = IDT_NUM_FAILOVER_CAPS,
      .stride = IDT_FCAP_STRIDE, SWITCH_WORD(fcapsts),
      .w1c = R_FCAP0STS_FMCI_MASK | R_FCAP0STS_FMCC_MASK },
    STORED_N("FCAPxTIMER", A_FCAP0TIMER, fcaptimer, IDT_NUM_FAILOVER_CAPS,
             IDT_FCAP_STRIDE),
    { .name = "GASAPROT", .addr = A_GASAPROT, SWITCH_WORD(gasaprot),
      .rw = ALL_PARTITIONS },
    STORED_N("NTMTBLPROTx", A_NTMTBLPROT0, ntmtblprot, IDT_MAX_PARTITIONS, 4),

    { .name = "SESTS", .addr = A_SESTS, .read = read_sests },
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

    { .name = "GDBELLSTS", .addr = A_GDBELLSTS, .read = read_gdbellsts },
    { .name = "GODBELLMSK", .addr = A_GODBELLMSK0, .count = IDT_NUM_DOORBELLS,
      .stride = 4, SWITCH_WORD(godbellmsk), .rw = ALL_PARTITIONS },
    { .name = "GIDBELLMSK", .addr = A_GIDBELLMSK0, .count = IDT_NUM_DOORBELLS,
      .stride = 4, SWITCH_WORD(gidbellmsk), .rw = ALL_PARTITIONS },
    MSGCTL(0), MSGCTL(1), MSGCTL(2), MSGCTL(3),

    STORED_N("SxCTL", A_S0CTL, sctl, IDT_NUM_SERDES, IDT_SERDES_STRIDE),
    STORED_N("SxTXLCTL0", A_S0TXLCTL0, stxlctl0, IDT_NUM_SERDES,
             IDT_SERDES_STRIDE),
    STORED_N("SxTXLCTL1", A_S0TXLCTL1, stxlctl1, IDT_NUM_SERDES,
             IDT_SERDES_STRIDE),
    STORED_N("SxRXEQLCTL", A_S0RXEQLCTL, srxeqlctl, IDT_NUM_SERDES,
             IDT_SERDES_STRIDE),
    /* GPIOFUNC, GPIOAFSEL, GPIOCFG, GPIOD, HPCFGCTL */
    STORED_N("GPIO", A_GPIOFUNC, gpio, IDT_NUM_GPIO_REGS, 4),
    { .name = "SMBUSSTS", .addr = A_SMBUSSTS, SWITCH_WORD(smbussts),
      .reset = IDT_SMBUS_SLAVE << R_SMBUSSTS_SSMBADDR_SHIFT |
               IDT_SMBUS_EEPROM << R_SMBUSSTS_MSMBADDR_SHIFT,
      .w1c = SMBUSSTS_ERRORS },
    STORED("SMBUSCTL", A_SMBUSCTL, smbusctl),
    { .name = "EEPROMINTF", .addr = A_EEPROMINTF, SWITCH_WORD(eepromintf),
      .read = read_eepromintf, .write = write_eepromintf },
    STORED_N("IOEXPADDRx", A_IOEXPADDR0, ioexpaddr, IDT_NUM_IO_EXPANDERS, 4),
    STORED("GPECTL", A_GPECTL, gpectl),
    { .name = "GPESTS", .addr = A_GPESTS },

    { .name = "TMPCTL", .addr = A_TMPCTL, SWITCH_WORD(tmpctl),
      .reset = R_TMPCTL_PDOWN_MASK, .rw = 0xbfffffff, .write = write_tmp },
    { .name = "TMPSTS", .addr = A_TMPSTS, .read = read_tmpsts },
    { .name = "TMPALARM", .addr = A_TMPALARM, .read = read_tmpalarm,
      .write = write_tmpalarm },
    { .name = "TMPADJ", .addr = A_TMPADJ, SWITCH_WORD(tmpadj),
      .rw = R_TMPADJ_OFFSET_MASK, .write = write_tmp },
    STORED("TSSLOPE", A_TSSLOPE, tsslope),
    STORED("SMBUSCBHL", A_SMBUSCBHL, smbuscbhl),
};

const unsigned idt_ntb_num_switch_regs = ARRAY_SIZE(idt_ntb_switch_regs);
