/*
 * IDT 89HPESxNTx PCIe switch: registers of the NT function
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/log.h"
#include "hw/pci/pcie_regs.h"
#include "bars.h"
#include "regs.h"

/*
 * The level that a write to an interrupt register makes is that of what it
 * left; what is set from here on is a new edge.  Of the rest, what was there
 * before the write counts: what came during it is after it.
 */
static void ntint_write(IdtNtbRegs *regs, const IdtNtbReg *reg, unsigned port,
                        unsigned n, uint32_t value, uint32_t lanes)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(regs->sw, port);
    IdtNtbIntState state;

    idt_ntb_switch_int_state(regs->sw, port, &state);
    *(uint32_t *)((char *)&state + reg->int_word) =
        idt_ntb_reg_update(reg, (void *)p + reg->word, value, lanes);
    idt_ntb_switch_settle(regs->sw, port, reg->int_bits,
                          idt_ntb_int_status(&state));
}

static void ntintmsk_write(IdtNtbRegs *regs, const IdtNtbReg *reg,
                           unsigned port, unsigned n, uint32_t value,
                           uint32_t lanes)
{
    uint32_t *word = &idt_ntb_switch_block(regs->sw, port)->ntintmsk;

    idt_ntb_switch_settle(regs->sw, port, UINT32_MAX,
                          ~idt_ntb_reg_update(reg, word, value, lanes));
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
                             idt_ntb_switch_partition(regs->sw, port));
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
    uint32_t *word = &idt_ntb_switch_block(regs->sw, port)->outmsg[n];

    idt_ntb_switch_message(regs->sw, port, n,
                           idt_ntb_reg_update(reg, word, value, lanes));
}

static uint32_t inmsg_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(regs->sw, port);

    return FIELD_EX64(qatomic_read(&p->inmsg[n]), SHM_INMSG, DATA);
}

static uint32_t inmsgsrc_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(regs->sw, port);

    return FIELD_EX64(qatomic_read(&p->inmsg[n]), SHM_INMSG, SRC);
}

static uint32_t msgsts_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    return idt_ntb_switch_msgsts(regs->sw, port);
}

static void msgsts_write(IdtNtbRegs *regs, const IdtNtbReg *reg, unsigned port,
                         unsigned n, uint32_t value, uint32_t lanes)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(regs->sw, port);
    uint32_t clear = value & lanes & reg->w1c;
    IdtNtbIntState state;

    /*
     * Taken before the clears: a message that comes from here on is after this
     * write, and so a new edge.
     */
    idt_ntb_switch_int_state(regs->sw, port, &state);
    for (unsigned i = 0; i < IDT_NUM_MESSAGES; i++) {
        if (FIELD_EX32(clear, MSGSTS, INMSGSTS) & BIT(i)) {
            qatomic_fetch_and(&p->inmsg[i], ~R_SHM_INMSG_FULL_MASK);
        }
    }
    qatomic_fetch_and(&p->outmsgsts, ~FIELD_EX32(clear, MSGSTS, OUTMSGSTS));
    state.msgsts &= ~clear;
    idt_ntb_switch_settle(regs->sw, port, R_NTINTSTS_MSG_MASK,
                          idt_ntb_int_status(&state));
}

/* The entry that NTMTBLADDR selects; if there is none NULL, and an error */
static uint32_t *ntmtbl_entry(IdtNtbRegs *regs, unsigned port, unsigned *entry)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(regs->sw, port);
    uint32_t addr = qatomic_read(&p->ntmtbladdr);

    *entry = FIELD_EX32(addr, NTMTBLADDR, ENTRY);
    if (*entry >= IDT_NUM_MTBL) {
        qemu_log_mask(LOG_GUEST_ERROR, "idt-ntb: port %u: mapping table entry "
                      "%u, there are %u\n", port, *entry, IDT_NUM_MTBL);
        qatomic_fetch_or(&p->ntmtblsts, R_NTMTBLSTS_ERR_MASK);
        return NULL;
    }
    return &regs->sw->shm->sw.mtbl[*entry];
}

/* True if NTMTBLPROT keeps @port from writing @entry */
static bool ntmtbl_is_protected(IdtNtbRegs *regs, unsigned port,
                                unsigned entry)
{
    unsigned partition = idt_ntb_switch_partition(regs->sw, port);
    uint32_t prot = qatomic_read(&regs->sw->shm->sw.ntmtblprot[partition]);

    return prot & BIT(entry / IDT_MTBL_PER_PROT_BIT);
}

static uint32_t ntmtbldata_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    unsigned number;
    uint32_t *entry = ntmtbl_entry(regs, port, &number);

    return entry ? qatomic_read(entry) : 0;
}

/* The ports in @partition may have lost their admission: one, as a rule */
static void partition_loses(IdtNtbRegs *regs, unsigned partition)
{
    uint32_t ports = idt_ntb_switch_ports_in(regs->sw, partition);

    for (unsigned i = 0; i < regs->sw->num_ports; i++) {
        if (ports & BIT(i)) {
            idt_ntb_switch_admission_changed(regs->sw, i);
        }
    }
    regs->windows_changed |= ports;
}

static void ntmtbldata_write(IdtNtbRegs *regs, const IdtNtbReg *reg,
                             unsigned port, unsigned n, uint32_t value,
                             uint32_t lanes)
{
    unsigned number;
    uint32_t *entry = ntmtbl_entry(regs, port, &number);
    uint32_t old;

    if (!entry) {
        return;
    }
    if (ntmtbl_is_protected(regs, port, number)) {
        qemu_log_mask(LOG_GUEST_ERROR, "idt-ntb: port %u: mapping table entry "
                      "%u is protected by NTMTBLPROT\n", port, number);
        qatomic_fetch_or(&idt_ntb_switch_block(regs->sw, port)->ntmtblsts,
                         R_NTMTBLSTS_ERR_MASK);
        return;
    }
    old = idt_ntb_reg_exchange(reg, entry, value, lanes);
    /* The partition of the old entry may lose access */
    if (FIELD_EX32(old, NTMTBLDATA, VALID)) {
        partition_loses(regs, FIELD_EX32(old, NTMTBLDATA, PART));
    }
}

static void ntctl_write(IdtNtbRegs *regs, const IdtNtbReg *reg, unsigned port,
                        unsigned n, uint32_t value, uint32_t lanes)
{
    uint32_t *word = &idt_ntb_switch_block(regs->sw, port)->ntctl;

    idt_ntb_reg_update(reg, word, value, lanes);
    idt_ntb_switch_admission_changed(regs->sw,
                                     idt_ntb_switch_index(regs->sw, port));
}

/* Windows */

/* The upper half of a BAR of 64 bits has no layout of its own */
static uint32_t barsetup_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    const uint32_t *word = &idt_ntb_switch_block(regs->sw, port)->barsetup[n];

    return n % 2 && idt_ntb_bar_is_64bit(qatomic_read(word - 1)) ? 0 :
           qatomic_read(word);
}

/* The entry that LUTOFFSET selects; NULL if there is none */
static uint32_t *lut_entry(IdtNtbRegs *regs, unsigned port)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(regs->sw, port);
    uint32_t offset = qatomic_read(&p->lutoffset);
    unsigned bar = FIELD_EX32(offset, LUTOFFSET, BAR);
    unsigned index = FIELD_EX32(offset, LUTOFFSET, INDEX);

    if ((bar != 2 && bar != 4) || index >= IDT_LUT_ENTRIES) {
        qemu_log_mask(LOG_GUEST_ERROR, "idt-ntb: port %u: no lookup table "
                      "entry %u of BAR%u\n", port, index, bar);
        return NULL;
    }
    return p->lut[idt_ntb_lut(bar)][index];
}

static unsigned lut_word(const IdtNtbReg *reg)
{
    return (reg->addr - A_LUTLDATA) / 4;
}

static uint32_t lut_read(IdtNtbRegs *regs, unsigned port, unsigned word)
{
    uint32_t *entry = lut_entry(regs, port);

    return entry ? qatomic_read(&entry[word]) : 0;
}

static uint32_t lutldata_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    return lut_read(regs, port, 0);
}

static uint32_t lutmdata_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    return lut_read(regs, port, 1);
}

static uint32_t lutudata_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    return lut_read(regs, port, 2);
}

static void lut_write(IdtNtbRegs *regs, const IdtNtbReg *reg, unsigned port,
                      unsigned n, uint32_t value, uint32_t lanes)
{
    uint32_t *entry = lut_entry(regs, port);

    if (entry) {
        idt_ntb_reg_update(reg, &entry[lut_word(reg)], value, lanes);
    }
}

/* Error emulation: the owner of the port takes the words */

static uint32_t nteem_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    return 0;
}

static void nteem_write(IdtNtbRegs *regs, const IdtNtbReg *reg, unsigned port,
                        unsigned n, uint32_t value, uint32_t lanes)
{
    void *block = idt_ntb_switch_block(regs->sw, port);

    value &= lanes;
    if (value & ~reg->rw) {
        qemu_log_mask(LOG_GUEST_ERROR, "idt-ntb: port %u: %s: no such errors "
                      "0x%08x\n", port, reg->name, value & ~reg->rw);
    }
    qatomic_fetch_or((uint32_t *)(block + reg->word), value & reg->rw);
}

/* Extended configuration space, and the global address space */

static uint32_t ecfgaddr_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    return regs->ecfgaddr;
}

static void ecfgaddr_write(IdtNtbRegs *regs, const IdtNtbReg *reg,
                           unsigned port, unsigned n, uint32_t value,
                           uint32_t lanes)
{
    idt_ntb_reg_update(reg, &regs->ecfgaddr, value, lanes);
}

/* The two registers are not reached through themselves */
static bool ecfg_is_self(const IdtNtbRegs *regs)
{
    if (regs->ecfgaddr != A_ECFGADDR && regs->ecfgaddr != A_ECFGDATA) {
        return false;
    }
    qemu_log_mask(LOG_GUEST_ERROR, "idt-ntb: port %u: ECFGADDR selects "
                  "0x%03x\n", regs->sw->port, regs->ecfgaddr);
    return true;
}

static uint32_t ecfgdata_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    return ecfg_is_self(regs) ? 0 : idt_ntb_nt_read(regs, regs->ecfgaddr);
}

static void ecfgdata_write(IdtNtbRegs *regs, const IdtNtbReg *reg,
                           unsigned port, unsigned n, uint32_t value,
                           uint32_t lanes)
{
    if (!ecfg_is_self(regs)) {
        idt_ntb_nt_write(regs, regs->ecfgaddr, value, lanes);
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
    idt_ntb_reg_update(reg, &regs->gasaaddr, value, lanes);
}

/* True if GASAPROT keeps our partition from the global address space */
static bool gas_is_protected(IdtNtbRegs *regs)
{
    unsigned partition = idt_ntb_switch_partition(regs->sw, regs->sw->port);

    if (!(qatomic_read(&regs->sw->shm->sw.gasaprot) & BIT(partition))) {
        return false;
    }
    qemu_log_mask(LOG_GUEST_ERROR, "idt-ntb: port %u: access to 0x%05x is "
                  "protected by GASAPROT\n", regs->sw->port, regs->gasaaddr);
    return true;
}

static uint32_t gasadata_read(IdtNtbRegs *regs, unsigned port, unsigned n)
{
    return gas_is_protected(regs) ? 0 : idt_ntb_gas_read(regs, regs->gasaaddr);
}

static void gasadata_write(IdtNtbRegs *regs, const IdtNtbReg *reg,
                           unsigned port, unsigned n, uint32_t value,
                           uint32_t lanes)
{
    if (!gas_is_protected(regs)) {
        idt_ntb_gas_write(regs, regs->gasaaddr, value, lanes);
    }
}

#define PORT_WORD(field)    .word = offsetof(IdtNtbShmPort, field)
#define INT_WORD(field, bits) \
    .int_word = offsetof(IdtNtbIntState, field), .int_bits = bits

#define NTINT_ALL       (IDT_NTINT_LATCHED | R_NTINTSTS_MSG_MASK | \
                         R_NTINTSTS_DBELL_MASK)
#define MSGSTS_ALL      (R_MSGSTS_OUTMSGSTS_MASK | R_MSGSTS_INMSGSTS_MASK)

#define BARSETUP_ALL    0x8000ffff

#define BAR_REGS(field) \
    .count = IDT_NUM_BARS, .stride = IDT_BAR_STRIDE, PORT_WORD(field)

#define DWORD_ALIGNED   0xfffffffc

const IdtNtbReg idt_ntb_nt_regs[] = {
    { .name = "ECFGADDR", .addr = A_ECFGADDR, .local = true,
      .rw = R_ECFGADDR_REG_MASK, .read = ecfgaddr_read,
      .write = ecfgaddr_write },
    { .name = "ECFGDATA", .addr = A_ECFGDATA, .local = true,
      .read = ecfgdata_read, .write = ecfgdata_write },

    { .name = "NTCTL", .addr = A_NTCTL, PORT_WORD(ntctl), .rw = 0xf,
      .window = true, .write = ntctl_write },
    { .name = "NTINTSTS", .addr = A_NTINTSTS, PORT_WORD(ntintsts),
      INT_WORD(ntintsts, IDT_NTINT_LATCHED), .w1c = IDT_NTINT_LATCHED,
      .read = ntintsts_read, .write = ntint_write },
    { .name = "NTINTMSK", .addr = A_NTINTMSK, PORT_WORD(ntintmsk),
      .reset = NTINT_ALL, .rw = NTINT_ALL, .write = ntintmsk_write },
    { .name = "NTSDATA", .addr = A_NTSDATA, PORT_WORD(ntsdata),
      .rw = UINT32_MAX },
    { .name = "NTGSIGNAL", .addr = A_NTGSIGNAL, .write = ntgsignal_write },
    { .name = "NTIERRORMSK", .addr = A_NTIERRORMSK0, .count = 2, .stride = 4,
      PORT_WORD(ntierrormsk), .rw = UINT32_MAX },

    { .name = "OUTDBELLSET", .addr = A_OUTDBELLSET,
      .write = outdbellset_write },
    { .name = "INDBELLSTS", .addr = A_INDBELLSTS, PORT_WORD(indbellsts),
      INT_WORD(indbellsts, R_NTINTSTS_DBELL_MASK), .w1c = UINT32_MAX,
      .write = ntint_write },
    { .name = "INDBELLMSK", .addr = A_INDBELLMSK, PORT_WORD(indbellmsk),
      INT_WORD(indbellmsk, R_NTINTSTS_DBELL_MASK), .reset = UINT32_MAX,
      .rw = UINT32_MAX, .write = ntint_write },

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
      INT_WORD(msgstsmsk, R_NTINTSTS_MSG_MASK), .reset = MSGSTS_ALL,
      .rw = MSGSTS_ALL, .write = ntint_write },

    { .name = "BARSETUP", .addr = A_BARSETUP0, BAR_REGS(barsetup),
      .rw = BARSETUP_ALL, .window = true, .read = barsetup_read },
    { .name = "BARLIMIT", .addr = A_BARLIMIT0, BAR_REGS(barlimit),
      .rw = UINT32_MAX, .window = true },
    { .name = "BARLTBASE", .addr = A_BARLTBASE0, BAR_REGS(barltbase),
      .rw = DWORD_ALIGNED, .window = true },
    { .name = "BARUTBASE", .addr = A_BARUTBASE0, BAR_REGS(barutbase),
      .rw = UINT32_MAX, .window = true },

    { .name = "NTMTBLADDR", .addr = A_NTMTBLADDR, PORT_WORD(ntmtbladdr),
      .rw = R_NTMTBLADDR_ENTRY_MASK },
    { .name = "NTMTBLSTS", .addr = A_NTMTBLSTS, PORT_WORD(ntmtblsts),
      .w1c = R_NTMTBLSTS_ERR_MASK },
    { .name = "NTMTBLDATA", .addr = A_NTMTBLDATA, .rw = 0xe00fffff,
      .read = ntmtbldata_read, .write = ntmtbldata_write },
    /* Root complex: QEMU's CPU accesses carry no requester ID */
    { .name = "REQIDCAP", .addr = A_REQIDCAP },

    { .name = "LUTOFFSET", .addr = A_LUTOFFSET, PORT_WORD(lutoffset),
      .rw = R_LUTOFFSET_INDEX_MASK | R_LUTOFFSET_BAR_MASK },
    { .name = "LUTLDATA", .addr = A_LUTLDATA, .rw = DWORD_ALIGNED,
      .window = true, .read = lutldata_read, .write = lut_write },
    { .name = "LUTMDATA", .addr = A_LUTMDATA, .rw = UINT32_MAX,
      .window = true, .read = lutmdata_read, .write = lut_write },
    { .name = "LUTUDATA", .addr = A_LUTUDATA,
      .rw = R_LUTUDATA_PART_MASK | R_LUTUDATA_VALID_MASK,
      .window = true, .read = lutudata_read, .write = lut_write },

    { .name = "NTUEEM", .addr = A_NTUEEM, PORT_WORD(ntueem),
      .rw = PCI_ERR_UNC_SUPPORTED, .read = nteem_read, .write = nteem_write },
    { .name = "NTCEEM", .addr = A_NTCEEM, PORT_WORD(ntceem),
      .rw = PCI_ERR_COR_SUPPORTED, .read = nteem_read, .write = nteem_write },

    /* Stored only: neither punch-through nor multicast is modelled */
    { .name = "PTCCTL", .addr = A_PTCCTL0, .count = 2, .stride = 4,
      PORT_WORD(ptcctl), .rw = UINT32_MAX },
    { .name = "PTCDATA", .addr = A_PTCDATA, PORT_WORD(ptcdata),
      .rw = UINT32_MAX },
    { .name = "PTCSTS", .addr = A_PTCSTS },
    { .name = "NTMCGPA", .addr = A_NTMCG0PA, .count = IDT_NUM_MCAST_GROUPS,
      .stride = 4, PORT_WORD(ntmcgpa), .rw = UINT32_MAX },

    { .name = "GASAADDR", .addr = A_GASAADDR, .local = true,
      .rw = IDT_GAS_SIZE - 4, .read = gasaaddr_read,
      .write = gasaaddr_write },
    { .name = "GASADATA", .addr = A_GASADATA, .local = true,
      .read = gasadata_read, .write = gasadata_write },
};

const unsigned idt_ntb_num_nt_regs = ARRAY_SIZE(idt_ntb_nt_regs);
