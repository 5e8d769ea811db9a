/*
 * IDT 89HPESxNTx PCIe switch: registers as data
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/log.h"
#include "idt_ntb_regs_access.h"
#include "trace.h"

typedef struct IdtNtbReg IdtNtbReg;

/*
 * A register, or @count of them @stride bytes apart.  Hooks get the port whose
 * register it is (our own for those of the switch) and the index among @count.
 */
struct IdtNtbReg {
    const char *name;
    uint32_t addr;      /* in the NT function or in the global address space */
    uint8_t count;      /* 0 means 1 */
    uint8_t stride;
    uint16_t word;      /* offset of the first one in its block; 0: none */
    uint16_t int_word;  /* offset in IdtNtbIntState, of interrupt registers */
    bool local;         /* the function's own: unseen from other ports */
    uint32_t reset;
    uint32_t rw;        /* writable bits */
    uint32_t w1c;       /* bits that writing 1 clears */
    /* In place of reading @word */
    uint32_t (*read)(IdtNtbRegs *regs, unsigned port, unsigned n);
    /* In place of writing @word through @rw and @w1c; @lanes are written */
    void (*write)(IdtNtbRegs *regs, const IdtNtbReg *reg, unsigned port,
                  unsigned n, uint32_t value, uint32_t lanes);
};

/* Rewriting a word that another process writes all the time has to end too */
#define MAX_CAS_TRIES   64

static uint32_t gas_read(IdtNtbRegs *regs, uint32_t addr);
static void gas_write(IdtNtbRegs *regs, uint32_t addr, uint32_t value,
                      uint32_t lanes);

static IdtNtbShmPort *regs_port(IdtNtbRegs *regs, unsigned port)
{
    return &regs->sw->shm->port[port].p;
}

/*
 * Writes @word by the rules of @reg.
 *
 * Returns: what this write left, whatever others wrote after it.
 */
static uint32_t reg_update(const IdtNtbReg *reg, uint32_t *word,
                           uint32_t value, uint32_t lanes)
{
    uint32_t clear = value & reg->w1c & lanes;
    uint32_t rw = reg->rw & lanes;
    uint32_t old, new;

    if (!rw) {
        return qatomic_fetch_and(word, ~clear) & ~clear;
    }
    old = qatomic_read(word);
    for (unsigned i = 0; i < MAX_CAS_TRIES; i++) {
        uint32_t seen;

        new = ((old & ~rw) | (value & rw)) & ~clear;
        seen = qatomic_cmpxchg(word, old, new);
        if (seen == old) {
            return new;
        }
        old = seen;
    }
    qatomic_set(word, new);
    return new;
}

/* The NT function */

static void ntsts_settle_write(IdtNtbRegs *regs, const IdtNtbReg *reg,
                               unsigned port, unsigned n, uint32_t value,
                               uint32_t lanes)
{
    IdtNtbShmPort *p = regs_port(regs, port);
    IdtNtbIntState state;

    /*
     * The level that this write makes is that of what it left; what is set
     * from here on is a new edge.
     */
    idt_ntb_switch_int_state(regs->sw, port, &state);
    *(uint32_t *)((char *)&state + reg->int_word) =
        reg_update(reg, (void *)p + reg->word, value, lanes);
    idt_ntb_switch_settle(regs->sw, port, &state);
}

static uint32_t ntintsts_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    IdtNtbIntState state;

    idt_ntb_switch_int_state(regs->sw, port, &state);
    return idt_ntb_int_status(&state);
}

static void ntgsignal_write(IdtNtbRegs *regs, const IdtNtbReg *reg,
                            unsigned port, unsigned n, uint32_t value,
                            uint32_t lanes)
{
    if (value & lanes & R_NTGSIGNAL_SET_MASK) {
        idt_ntb_switch_event(regs->sw, IDT_NTB_EVENT_GSIGNAL,
                             idt_ntb_switch_partition(regs->sw, port), -1);
    }
}

static void outdbellset_write(IdtNtbRegs *regs, const IdtNtbReg *reg,
                              unsigned port, unsigned n, uint32_t value,
                              uint32_t lanes)
{
    idt_ntb_switch_doorbell(regs->sw, port, value & lanes);
}

static void outmsg_write(IdtNtbRegs *regs, const IdtNtbReg *reg, unsigned port,
                         unsigned n, uint32_t value, uint32_t lanes)
{
    uint32_t *word = &regs_port(regs, port)->outmsg[n];

    idt_ntb_switch_message(regs->sw, port, n,
                           reg_update(reg, word, value, lanes));
}

static uint32_t inmsg_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    return FIELD_EX64(qatomic_read(&regs_port(regs, port)->inmsg[n]),
                      SHM_INMSG, DATA);
}

static uint32_t inmsgsrc_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    return FIELD_EX64(qatomic_read(&regs_port(regs, port)->inmsg[n]),
                      SHM_INMSG, SRC);
}

static uint32_t msgsts_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    return idt_ntb_switch_msgsts(regs->sw, port);
}

static void msgsts_write(IdtNtbRegs *regs, const IdtNtbReg *reg, unsigned port,
                         unsigned n, uint32_t value, uint32_t lanes)
{
    IdtNtbShmPort *p = regs_port(regs, port);
    uint32_t clear = value & lanes & reg->w1c;
    IdtNtbIntState state;

    idt_ntb_switch_int_state(regs->sw, port, &state);
    for (unsigned i = 0; i < IDT_NUM_MESSAGES; i++) {
        if (FIELD_EX32(clear, MSGSTS, INMSGSTS) & BIT(i)) {
            qatomic_fetch_and(&p->inmsg[i], ~R_SHM_INMSG_FULL_MASK);
        }
    }
    qatomic_fetch_and(&p->outmsgsts, ~FIELD_EX32(clear, MSGSTS, OUTMSGSTS));
    state.msgsts &= ~clear;
    idt_ntb_switch_settle(regs->sw, port, &state);
}

static uint32_t *ntmtbl_entry(IdtNtbRegs *regs, unsigned port)
{
    uint32_t addr = qatomic_read(&regs_port(regs, port)->ntmtbladdr);
    unsigned entry = FIELD_EX32(addr, NTMTBLADDR, ENTRY);

    if (entry >= IDT_NUM_MTBL) {
        qemu_log_mask(LOG_GUEST_ERROR, "idt-ntb: port %u: mapping table entry "
                      "%u, there are %u\n", port, entry, IDT_NUM_MTBL);
        return NULL;
    }
    return &regs->sw->shm->sw.mtbl[entry];
}

static uint32_t ntmtbldata_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    uint32_t *entry = ntmtbl_entry(regs, port);

    return entry ? qatomic_read(entry) : 0;
}

static void ntmtbldata_write(IdtNtbRegs *regs, const IdtNtbReg *reg,
                             unsigned port, unsigned n, uint32_t value,
                             uint32_t lanes)
{
    uint32_t *entry = ntmtbl_entry(regs, port);

    if (entry) {
        reg_update(reg, entry, value, lanes);
    }
}

static uint32_t gasaaddr_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    return regs->gasaaddr;
}

static void gasaaddr_write(IdtNtbRegs *regs, const IdtNtbReg *reg,
                           unsigned port, unsigned n, uint32_t value,
                           uint32_t lanes)
{
    reg_update(reg, &regs->gasaaddr, value, lanes);
}

static uint32_t gasadata_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    return gas_read(regs, regs->gasaaddr);
}

static void gasadata_write(IdtNtbRegs *regs, const IdtNtbReg *reg,
                           unsigned port, unsigned n, uint32_t value,
                           uint32_t lanes)
{
    gas_write(regs, regs->gasaaddr, value, lanes);
}

#define PORT_WORD(field)    .word = offsetof(IdtNtbShmPort, field)
#define INT_WORD(field)     .int_word = offsetof(IdtNtbIntState, field)

#define NTINT_LATCHED   (R_NTINTSTS_SEVENT_MASK | R_NTINTSTS_FMCI_MASK | \
                         R_NTINTSTS_FMCC_MASK | R_NTINTSTS_TMPSENSOR_MASK)
#define NTINT_ALL       (NTINT_LATCHED | R_NTINTSTS_MSG_MASK | \
                         R_NTINTSTS_DBELL_MASK)
#define MSGSTS_ALL      (R_MSGSTS_OUTMSGSTS_MASK | R_MSGSTS_INMSGSTS_MASK)

/* Configuration space, 32-bit BAR, enabled, 4 KiB: what the driver asks for */
#define BARSETUP_CFG    (R_BARSETUP0_EN_MASK | R_BARSETUP0_MODE_MASK | \
                         (12 << R_BARSETUP0_SIZE_SHIFT))

static const IdtNtbReg nt_regs[] = {
    { .name = "NTCTL", .addr = A_NTCTL, PORT_WORD(ntctl), .rw = 0xf },
    { .name = "NTINTSTS", .addr = A_NTINTSTS, PORT_WORD(ntintsts),
      INT_WORD(ntintsts), .w1c = NTINT_LATCHED,
      .read = ntintsts_read, .write = ntsts_settle_write },
    { .name = "NTINTMSK", .addr = A_NTINTMSK, PORT_WORD(ntintmsk),
      INT_WORD(ntintmsk), .reset = NTINT_ALL, .rw = NTINT_ALL,
      .write = ntsts_settle_write },
    { .name = "NTSDATA", .addr = A_NTSDATA, PORT_WORD(ntsdata),
      .rw = UINT32_MAX },
    { .name = "NTGSIGNAL", .addr = A_NTGSIGNAL, .write = ntgsignal_write },

    { .name = "OUTDBELLSET", .addr = A_OUTDBELLSET,
      .write = outdbellset_write },
    { .name = "INDBELLSTS", .addr = A_INDBELLSTS, PORT_WORD(indbellsts),
      INT_WORD(indbellsts), .w1c = UINT32_MAX, .write = ntsts_settle_write },
    { .name = "INDBELLMSK", .addr = A_INDBELLMSK, PORT_WORD(indbellmsk),
      INT_WORD(indbellmsk), .reset = UINT32_MAX, .rw = UINT32_MAX,
      .write = ntsts_settle_write },

    { .name = "OUTMSG", .addr = A_OUTMSG0, .count = IDT_NUM_MESSAGES,
      .stride = 4, PORT_WORD(outmsg), .rw = UINT32_MAX,
      .write = outmsg_write },
    { .name = "INMSG", .addr = A_INMSG0, .count = IDT_NUM_MESSAGES,
      .stride = 4, .read = inmsg_read },
    { .name = "INMSGSRC", .addr = A_INMSGSRC0, .count = IDT_NUM_MESSAGES,
      .stride = 4, .read = inmsgsrc_read },
    { .name = "MSGSTS", .addr = A_MSGSTS, .w1c = MSGSTS_ALL,
      .read = msgsts_read, .write = msgsts_write },
    { .name = "MSGSTSMSK", .addr = A_MSGSTSMSK, PORT_WORD(msgstsmsk),
      INT_WORD(msgstsmsk), .reset = MSGSTS_ALL, .rw = MSGSTS_ALL,
      .write = ntsts_settle_write },

    { .name = "BARSETUP0", .addr = A_BARSETUP0, .reset = BARSETUP_CFG },

    { .name = "NTMTBLADDR", .addr = A_NTMTBLADDR, PORT_WORD(ntmtbladdr),
      .rw = R_NTMTBLADDR_ENTRY_MASK },
    { .name = "NTMTBLSTS", .addr = A_NTMTBLSTS },
    { .name = "NTMTBLDATA", .addr = A_NTMTBLDATA, .rw = 0xe00fffff,
      .read = ntmtbldata_read, .write = ntmtbldata_write },
    /* Root complex: QEMU's CPU accesses carry no requester ID */
    { .name = "REQIDCAP", .addr = A_REQIDCAP },

    { .name = "GASAADDR", .addr = A_GASAADDR, .local = true,
      .rw = IDT_GAS_SIZE - 4, .read = gasaaddr_read,
      .write = gasaaddr_write },
    { .name = "GASADATA", .addr = A_GASADATA, .local = true,
      .read = gasadata_read, .write = gasadata_write },
};

/* The switch */

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
        IdtNtbShmPort *p = regs_port(regs,
                                     idt_ntb_switch_port(regs->sw, part));

        value |= qatomic_read(&p->indbellsts);
    }
    return value;
}

/* The sensor's sample with the offset of TMPADJ, in half degrees */
static uint8_t tmp_current(IdtNtbShmSwitch *sw)
{
    int offset = (int8_t)qatomic_read(&sw->tmpadj);
    int sample = qatomic_read(&sw->tmp_sample) & 0xff;

    return MIN(MAX(sample + offset, 0), UINT8_MAX);
}

static uint32_t tmp_extremes(IdtNtbShmSwitch *sw)
{
    uint8_t current = tmp_current(sw);
    uint32_t value = 0;

    value = FIELD_DP32(value, TMPSTS, LTEMP,
                       MIN(current, qatomic_read(&sw->tmp_lowest) & 0xff));
    return FIELD_DP32(value, TMPSTS, HTEMP,
                      MAX(current, qatomic_read(&sw->tmp_highest) & 0xff));
}

static uint32_t tmpsts_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    IdtNtbShmSwitch *sw = &regs->sw->shm->sw;

    if (FIELD_EX32(qatomic_read(&sw->tmpctl), TMPCTL, PDOWN)) {
        return 0;
    }
    return FIELD_DP32(tmp_extremes(sw), TMPSTS, TEMP, tmp_current(sw));
}

static uint32_t tmpalarm_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    uint32_t value = tmpsts_read(regs, port, n);

    return value & (R_TMPALARM_LTEMP_MASK | R_TMPALARM_HTEMP_MASK);
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

static const IdtNtbReg switch_regs[] = {
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
      .reset = R_TMPCTL_PDOWN_MASK, .rw = 0xa4ffffff },
    { .name = "TMPSTS", .addr = A_TMPSTS, .read = tmpsts_read },
    { .name = "TMPALARM", .addr = A_TMPALARM, .read = tmpalarm_read,
      .write = tmpalarm_write },
    { .name = "TMPADJ", .addr = A_TMPADJ, SWITCH_WORD(tmpadj),
      .rw = R_TMPADJ_OFFSET_MASK },
};

/* 40 degrees Celsius: a chip at work */
#define TMP_SAMPLE_RESET    80

/* Which entry of a table a dword belongs to, plus 1; 0 for none */
static uint8_t nt_index[(IDT_NT_CFG_SIZE - IDT_NT_REGS) / 4];
static uint8_t switch_index[(IDT_GAS_SIZE - IDT_GAS_SWITCH) / 4];

static void regs_index(uint8_t *index, uint32_t base, const IdtNtbReg *table,
                       unsigned entries)
{
    for (unsigned i = 0; i < entries; i++) {
        for (unsigned n = 0; n < MAX(table[i].count, 1); n++) {
            uint8_t *slot = &index[(table[i].addr + n * table[i].stride -
                                    base) / 4];

            assert(!*slot);
            *slot = i + 1;
        }
    }
}

void idt_ntb_regs_init(void)
{
    regs_index(nt_index, IDT_NT_REGS, nt_regs, ARRAY_SIZE(nt_regs));
    regs_index(switch_index, IDT_GAS_SWITCH, switch_regs,
               ARRAY_SIZE(switch_regs));
}

static void regs_reset(void *block, const IdtNtbReg *table, unsigned entries)
{
    for (unsigned i = 0; i < entries; i++) {
        for (unsigned n = 0; table[i].word && n < MAX(table[i].count, 1); n++) {
            qatomic_set((uint32_t *)(block + table[i].word) + n,
                        table[i].reset);
        }
    }
}

void idt_ntb_regs_reset_port(IdtNtbShmPort *port)
{
    regs_reset(port, nt_regs, ARRAY_SIZE(nt_regs));
    qatomic_set(&port->outmsgsts, 0);
    qatomic_set(&port->int_fell, 0);
    for (unsigned i = 0; i < IDT_NUM_MESSAGES; i++) {
        qatomic_set(&port->inmsg[i], 0);
    }
}

void idt_ntb_regs_reset_switch(IdtNtbShmSwitch *sw)
{
    regs_reset(sw, switch_regs, ARRAY_SIZE(switch_regs));
    for (unsigned i = 0; i < IDT_NUM_MTBL; i++) {
        qatomic_set(&sw->mtbl[i], 0);
    }
    qatomic_set(&sw->tmp_sample, TMP_SAMPLE_RESET);
    qatomic_set(&sw->tmp_lowest, TMP_SAMPLE_RESET);
    qatomic_set(&sw->tmp_highest, TMP_SAMPLE_RESET);
}

/* The decoder */

static unsigned reg_number(const IdtNtbReg *reg, uint32_t addr)
{
    return reg->stride ? (addr - reg->addr) / reg->stride : 0;
}

static uint32_t reg_read(IdtNtbRegs *regs, const IdtNtbReg *reg, void *block,
                         unsigned port, uint32_t addr)
{
    unsigned n = reg_number(reg, addr);

    if (reg->read) {
        return reg->read(regs, port, n);
    }
    if (reg->word) {
        return qatomic_read((uint32_t *)(block + reg->word) + n);
    }
    return reg->reset;
}

static void reg_write(IdtNtbRegs *regs, const IdtNtbReg *reg, void *block,
                      unsigned port, uint32_t addr, uint32_t value,
                      uint32_t lanes)
{
    unsigned n = reg_number(reg, addr);

    if (reg->write) {
        reg->write(regs, reg, port, n, value, lanes);
    } else if (reg->word) {
        reg_update(reg, (uint32_t *)(block + reg->word) + n, value, lanes);
    } else {
        qemu_log_mask(LOG_GUEST_ERROR, "idt-ntb: port %u: write to read-only "
                      "register %s\n", regs->sw->port, reg->name);
    }
}

/* An access that no register answers */
static void refuse(IdtNtbRegs *regs, const char *what, uint32_t addr)
{
    trace_idt_ntb_refused(regs->sw->port, what, addr);
    qemu_log_mask(LOG_UNIMP, "idt-ntb: port %u: %s 0x%05x is not modelled\n",
                  regs->sw->port, what, addr);
}

/* Registers of the NT function at @offset >= IDT_NT_REGS, and ECFG */
static const IdtNtbReg *nt_reg(uint32_t offset)
{
    unsigned i = offset >= IDT_NT_REGS ? nt_index[(offset - IDT_NT_REGS) / 4]
                                       : 0;

    return i ? &nt_regs[i - 1] : NULL;
}

static bool nt_is_pci(uint32_t offset)
{
    return offset < IDT_NT_REGS && offset != A_ECFGADDR &&
           offset != A_ECFGDATA;
}

static const IdtNtbReg *switch_reg(uint32_t addr)
{
    unsigned i = switch_index[(addr - IDT_GAS_SWITCH) / 4];

    return i ? &switch_regs[i - 1] : NULL;
}

/*
 * The NT function that a global address names.
 *
 * Returns: its port, or -1; the offset in the function in @offset.
 */
static int gas_nt_function(IdtNtbRegs *regs, uint32_t addr, uint32_t *offset)
{
    unsigned port = addr / IDT_GAS_PORT_STRIDE;

    *offset = addr % IDT_GAS_PORT_STRIDE - IDT_GAS_NT_FUNCTION;
    if (addr % IDT_GAS_PORT_STRIDE < IDT_GAS_NT_FUNCTION ||
        port >= IDT_MAX_PORTS ||
        idt_ntb_switch_partition(regs->sw, port) < 0) {
        return -1;
    }
    return port;
}

static uint32_t gas_read(IdtNtbRegs *regs, uint32_t addr)
{
    const IdtNtbReg *reg = NULL;
    uint32_t offset;
    int port;

    if (addr >= IDT_GAS_SWITCH) {
        reg = switch_reg(addr);
        if (reg) {
            return reg_read(regs, reg, &regs->sw->shm->sw, regs->sw->port,
                            addr);
        }
    } else {
        port = gas_nt_function(regs, addr, &offset);
        if (port >= 0 && nt_is_pci(offset)) {
            return port == regs->sw->port ?
                   pci_default_read_config(regs->pci, offset, 4) :
                   qatomic_read(&regs_port(regs, port)->cfg[offset / 4]);
        }
        reg = port >= 0 ? nt_reg(offset) : NULL;
        if (reg && !reg->local) {
            return reg_read(regs, reg, regs_port(regs, port), port, offset);
        }
    }
    refuse(regs, "read of global address", addr);
    return 0;
}

/* Writes the lanes of a dword of header and capabilities, which are adjacent */
static void pci_header_write(IdtNtbRegs *regs, uint32_t offset, uint32_t value,
                             uint32_t lanes)
{
    unsigned shift = ctz32(lanes);

    pci_default_write_config(regs->pci, offset + shift / 8, value >> shift,
                             ctpop32(lanes) / 8);
}

static void gas_write(IdtNtbRegs *regs, uint32_t addr, uint32_t value,
                      uint32_t lanes)
{
    const IdtNtbReg *reg = NULL;
    uint32_t offset;
    int port;

    if (addr >= IDT_GAS_SWITCH) {
        reg = switch_reg(addr);
        if (reg) {
            reg_write(regs, reg, &regs->sw->shm->sw, regs->sw->port, addr,
                      value, lanes);
            return;
        }
    } else {
        port = gas_nt_function(regs, addr, &offset);
        if (port == regs->sw->port && nt_is_pci(offset)) {
            pci_header_write(regs, offset, value, lanes);
            return;
        }
        reg = port >= 0 ? nt_reg(offset) : NULL;
        if (reg && !reg->local) {
            reg_write(regs, reg, regs_port(regs, port), port, offset, value,
                      lanes);
            idt_ntb_switch_signal(regs->sw, port);
            return;
        }
    }
    refuse(regs, "write to global address", addr);
}

static uint32_t nt_read(IdtNtbRegs *regs, uint32_t offset)
{
    const IdtNtbReg *reg;
    unsigned port = regs->sw->port;

    if (nt_is_pci(offset)) {
        return pci_default_read_config(regs->pci, offset, 4);
    }
    reg = nt_reg(offset);
    if (!reg) {
        refuse(regs, "read of NT function offset", offset);
        return 0;
    }
    return reg_read(regs, reg, regs_port(regs, port), port, offset);
}

static void nt_write(IdtNtbRegs *regs, uint32_t offset, uint32_t value,
                     uint32_t lanes)
{
    const IdtNtbReg *reg;
    unsigned port = regs->sw->port;

    if (nt_is_pci(offset)) {
        pci_header_write(regs, offset, value, lanes);
        return;
    }
    reg = nt_reg(offset);
    if (!reg) {
        refuse(regs, "write to NT function offset", offset);
        return;
    }
    reg_write(regs, reg, regs_port(regs, port), port, offset, value, lanes);
}

uint64_t idt_ntb_regs_read(IdtNtbRegs *regs, uint32_t offset, unsigned size)
{
    uint64_t value = 0;
    unsigned done = 0;

    while (done < size && offset + done < IDT_NT_CFG_SIZE) {
        unsigned first = (offset + done) % 4;
        unsigned bytes = MIN(4 - first, size - done);
        uint64_t dword = nt_read(regs, offset + done - first);

        value |= extract64(dword, first * 8, bytes * 8) << (done * 8);
        done += bytes;
    }
    return value;
}

void idt_ntb_regs_write(IdtNtbRegs *regs, uint32_t offset, uint64_t value,
                        unsigned size)
{
    unsigned done = 0;

    while (done < size && offset + done < IDT_NT_CFG_SIZE) {
        unsigned first = (offset + done) % 4;
        unsigned bytes = MIN(4 - first, size - done);
        uint32_t dword = extract64(value, done * 8, bytes * 8) << (first * 8);

        nt_write(regs, offset + done - first, dword,
                 MAKE_64BIT_MASK(first * 8, bytes * 8));
        done += bytes;
    }
}
