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
#include "gate.h"
#include "regs.h"
#include "signals.h"

/*
 * Records which bits the write leaves low: derives NTINTSTS from the value that
 * the write left and from the other words as they were before it.  What another
 * port sets meanwhile counts as set after the write, so it is a new edge.
 */
static void write_ntint(IdtNtbRegs *regs, const IdtNtbAccess *access,
                        IdtNtbEffects *effects)
{
    IdtNtbIrqState state;

    idt_ntb_signals_read_irq(regs->sw, access->slot, &state);
    *(uint32_t *)((char *)&state + access->reg->irq_word) =
        idt_ntb_regs_update(access, access->word);
    idt_ntb_signals_record_low(regs->sw, access->slot, access->reg->irq_bits,
                               idt_ntb_signals_ntintsts(&state));
}

static void write_ntintmsk(IdtNtbRegs *regs, const IdtNtbAccess *access,
                           IdtNtbEffects *effects)
{
    /* A masked bit counts as low */
    idt_ntb_signals_record_low(regs->sw, access->slot, UINT32_MAX,
                               ~idt_ntb_regs_update(access, access->word));
}

static uint32_t read_ntintsts(IdtNtbRegs *regs, const IdtNtbAccess *access)
{
    IdtNtbIrqState state;

    idt_ntb_signals_read_irq(regs->sw, access->slot, &state);
    return idt_ntb_signals_ntintsts(&state);
}

static void write_ntgsignal(IdtNtbRegs *regs, const IdtNtbAccess *access,
                            IdtNtbEffects *effects)
{
    if (access->value & access->lanes & R_NTGSIGNAL_SET_MASK) {
        idt_ntb_signals_raise(regs->sw, IDT_NTB_EVENT_GSIGNAL,
                              idt_ntb_switch_partition(regs->sw,
                                                       access->slot));
    }
}

static void write_outdbellset(IdtNtbRegs *regs, const IdtNtbAccess *access,
                              IdtNtbEffects *effects)
{
    idt_ntb_signals_ring(regs->sw, access->slot,
                         access->value & access->lanes);
}

static void write_outmsg(IdtNtbRegs *regs, const IdtNtbAccess *access,
                         IdtNtbEffects *effects)
{
    idt_ntb_signals_send(regs->sw, access->slot, access->n,
                         idt_ntb_regs_update(access, access->word));
}

static uint32_t read_inmsg(IdtNtbRegs *regs, const IdtNtbAccess *access)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(regs->sw, access->slot);

    return FIELD_EX64(qatomic_read(&p->inmsg[access->n]), SHM_INMSG, DATA);
}

static uint32_t read_inmsgsrc(IdtNtbRegs *regs, const IdtNtbAccess *access)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(regs->sw, access->slot);

    return FIELD_EX64(qatomic_read(&p->inmsg[access->n]), SHM_INMSG, SRC);
}

static uint32_t read_msgsts(IdtNtbRegs *regs, const IdtNtbAccess *access)
{
    return idt_ntb_signals_msgsts(regs->sw, access->slot);
}

static void write_msgsts(IdtNtbRegs *regs, const IdtNtbAccess *access,
                         IdtNtbEffects *effects)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(regs->sw, access->slot);
    uint32_t clear = access->value & access->lanes & access->reg->w1c;
    IdtNtbIrqState state;

    /* Before the clears: a message that comes meanwhile is a new edge */
    idt_ntb_signals_read_irq(regs->sw, access->slot, &state);
    for (unsigned i = 0; i < IDT_NUM_MESSAGES; i++) {
        if (FIELD_EX32(clear, MSGSTS, INMSGSTS) & BIT(i)) {
            qatomic_fetch_and(&p->inmsg[i], ~R_SHM_INMSG_FULL_MASK);
        }
    }
    qatomic_fetch_and(&p->outmsgsts, ~FIELD_EX32(clear, MSGSTS, OUTMSGSTS));
    state.msgsts &= ~clear;
    idt_ntb_signals_record_low(regs->sw, access->slot, R_NTINTSTS_MSG_MASK,
                               idt_ntb_signals_ntintsts(&state));
}

/* Returns: the entry that NTMTBLADDR selects, or NULL with ERR set. */
static uint32_t *ntmtbl_entry(IdtNtbRegs *regs, unsigned slot, unsigned *entry)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(regs->sw, slot);
    uint32_t addr = qatomic_read(&p->ntmtbladdr);

    *entry = FIELD_EX32(addr, NTMTBLADDR, ENTRY);
    if (*entry >= IDT_NUM_MTBL) {
        qemu_log_mask(LOG_GUEST_ERROR, "idt-ntb: port %u: no mapping table "
                      "entry %u, there are %u\n",
                      idt_ntb_switch_port(regs->sw, slot), *entry,
                      IDT_NUM_MTBL);
        qatomic_fetch_or(&p->ntmtblsts, R_NTMTBLSTS_ERR_MASK);
        return NULL;
    }
    return &regs->sw->shm->sw.mtbl[*entry];
}

/* True if NTMTBLPROT keeps the port in @slot from writing @entry */
static bool ntmtbl_is_protected(IdtNtbRegs *regs, unsigned slot,
                                unsigned entry)
{
    unsigned part = idt_ntb_switch_partition(regs->sw, slot);
    uint32_t prot = qatomic_read(&regs->sw->shm->sw.ntmtblprot[part]);

    return prot & BIT(entry / IDT_MTBL_PER_PROT_BIT);
}

static uint32_t read_ntmtbldata(IdtNtbRegs *regs, const IdtNtbAccess *access)
{
    unsigned number;
    uint32_t *entry = ntmtbl_entry(regs, access->slot, &number);

    return entry ? qatomic_read(entry) : 0;
}

/* Checks the admission of the ports in @part */
static void check_partition(IdtNtbRegs *regs, unsigned part,
                            IdtNtbEffects *effects)
{
    uint32_t slots = idt_ntb_switch_slots_in(regs->sw, part);

    for (unsigned slot = 0; slot < regs->sw->num_slots; slot++) {
        if (slots & BIT(slot)) {
            idt_ntb_gate_check_admission(regs->sw, slot);
        }
    }
    effects->windows_changed |= slots;
}

static void write_ntmtbldata(IdtNtbRegs *regs, const IdtNtbAccess *access,
                             IdtNtbEffects *effects)
{
    unsigned slot = access->slot, number;
    uint32_t *entry = ntmtbl_entry(regs, slot, &number);
    uint32_t old;

    if (!entry) {
        return;
    }
    if (ntmtbl_is_protected(regs, slot, number)) {
        qemu_log_mask(LOG_GUEST_ERROR, "idt-ntb: port %u: mapping table entry "
                      "%u is protected by NTMTBLPROT\n",
                      idt_ntb_switch_port(regs->sw, slot), number);
        qatomic_fetch_or(&idt_ntb_switch_block(regs->sw, slot)->ntmtblsts,
                         R_NTMTBLSTS_ERR_MASK);
        return;
    }
    old = idt_ntb_regs_exchange(access, entry);
    /* The partition of the old entry may lose access */
    if (FIELD_EX32(old, NTMTBLDATA, VALID)) {
        check_partition(regs, FIELD_EX32(old, NTMTBLDATA, PART), effects);
    }
}

static void write_ntctl(IdtNtbRegs *regs, const IdtNtbAccess *access,
                        IdtNtbEffects *effects)
{
    idt_ntb_regs_update(access, access->word);
    idt_ntb_gate_check_admission(regs->sw, access->slot);
}

/* Windows */

/* The upper half of a BAR of 64 bits has no layout of its own */
static uint32_t read_barsetup(IdtNtbRegs *regs, const IdtNtbAccess *access)
{
    const uint32_t *word = access->word;

    return access->n % 2 && idt_ntb_bar_is_64bit(qatomic_read(word - 1)) ? 0 :
           qatomic_read(word);
}

/* Returns: the entry that LUTOFFSET selects, or NULL if there is none. */
static uint32_t *lut_entry(IdtNtbRegs *regs, unsigned slot)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(regs->sw, slot);
    uint32_t offset = qatomic_read(&p->lutoffset);
    unsigned bar = FIELD_EX32(offset, LUTOFFSET, BAR);
    unsigned index = FIELD_EX32(offset, LUTOFFSET, INDEX);

    if ((bar != 2 && bar != 4) || index >= IDT_LUT_ENTRIES) {
        qemu_log_mask(LOG_GUEST_ERROR, "idt-ntb: port %u: no lookup table "
                      "entry %u of BAR%u\n",
                      idt_ntb_switch_port(regs->sw, slot), index, bar);
        return NULL;
    }
    return p->lut[idt_ntb_switch_lut(bar)][index];
}

/* LUTLDATA, LUTMDATA and LUTUDATA are the words of an entry */
static unsigned lut_word(const IdtNtbAccess *access)
{
    return (access->reg->addr - A_LUTLDATA) / 4;
}

static uint32_t read_lut(IdtNtbRegs *regs, const IdtNtbAccess *access)
{
    uint32_t *entry = lut_entry(regs, access->slot);

    return entry ? qatomic_read(&entry[lut_word(access)]) : 0;
}

static void write_lut(IdtNtbRegs *regs, const IdtNtbAccess *access,
                      IdtNtbEffects *effects)
{
    uint32_t *entry = lut_entry(regs, access->slot);

    if (entry) {
        idt_ntb_regs_update(access, &entry[lut_word(access)]);
    }
}

/* Error emulation: the owner of the port takes the words and reports them */

static uint32_t read_nteem(IdtNtbRegs *regs, const IdtNtbAccess *access)
{
    return 0;
}

static void write_nteem(IdtNtbRegs *regs, const IdtNtbAccess *access,
                        IdtNtbEffects *effects)
{
    uint32_t value = access->value & access->lanes;
    uint32_t unknown = value & ~access->reg->rw;

    if (unknown) {
        qemu_log_mask(LOG_GUEST_ERROR, "idt-ntb: port %u: %s has no errors "
                      "0x%08x\n", idt_ntb_switch_port(regs->sw, access->slot),
                      access->reg->name, unknown);
    }
    qatomic_fetch_or(access->word, value & access->reg->rw);
}

/* Extended configuration space, and the global address space */

static uint32_t read_ecfgaddr(IdtNtbRegs *regs, const IdtNtbAccess *access)
{
    return regs->ecfgaddr;
}

static void write_ecfgaddr(IdtNtbRegs *regs, const IdtNtbAccess *access,
                           IdtNtbEffects *effects)
{
    idt_ntb_regs_update(access, &regs->ecfgaddr);
}

/* ECFGADDR and ECFGDATA are not reached through ECFGDATA */
static bool ecfg_is_self(const IdtNtbRegs *regs)
{
    if (regs->ecfgaddr != A_ECFGADDR && regs->ecfgaddr != A_ECFGDATA) {
        return false;
    }
    qemu_log_mask(LOG_GUEST_ERROR, "idt-ntb: port %u: ECFGADDR selects "
                  "0x%03x\n", regs->sw->port, regs->ecfgaddr);
    return true;
}

static uint32_t read_ecfgdata(IdtNtbRegs *regs, const IdtNtbAccess *access)
{
    return ecfg_is_self(regs) ? 0 : idt_ntb_regs_read_nt(regs, regs->ecfgaddr);
}

static void write_ecfgdata(IdtNtbRegs *regs, const IdtNtbAccess *access,
                           IdtNtbEffects *effects)
{
    if (!ecfg_is_self(regs)) {
        idt_ntb_regs_write_nt(regs, regs->ecfgaddr, access->value,
                              access->lanes, effects);
    }
}

static uint32_t read_gasaaddr(IdtNtbRegs *regs, const IdtNtbAccess *access)
{
    return regs->gasaaddr;
}

static void write_gasaaddr(IdtNtbRegs *regs, const IdtNtbAccess *access,
                           IdtNtbEffects *effects)
{
    idt_ntb_regs_update(access, &regs->gasaaddr);
}

/* True if GASAPROT keeps our partition from the global address space */
static bool gas_is_protected(IdtNtbRegs *regs)
{
    unsigned part = idt_ntb_switch_partition(regs->sw, regs->sw->slot);

    if (!(qatomic_read(&regs->sw->shm->sw.gasaprot) & BIT(part))) {
        return false;
    }
    qemu_log_mask(LOG_GUEST_ERROR, "idt-ntb: port %u: access to 0x%05x is "
                  "protected by GASAPROT\n", regs->sw->port, regs->gasaaddr);
    return true;
}

static uint32_t read_gasadata(IdtNtbRegs *regs, const IdtNtbAccess *access)
{
    return gas_is_protected(regs) ? 0 :
           idt_ntb_regs_read_gas(regs, regs->gasaaddr);
}

static void write_gasadata(IdtNtbRegs *regs, const IdtNtbAccess *access,
                           IdtNtbEffects *effects)
{
    if (!gas_is_protected(regs)) {
        idt_ntb_regs_write_gas(regs, regs->gasaaddr, access->value,
                               access->lanes, effects);
    }
}

#define PORT_WORD(field)    .word = offsetof(IdtNtbShmPort, field)
#define IRQ_WORD(field, bits) \
    .irq_word = offsetof(IdtNtbIrqState, field), .irq_bits = bits

#define NTINT_ALL       (IDT_NTINT_LATCHED | R_NTINTSTS_MSG_MASK | \
                         R_NTINTSTS_DBELL_MASK)
#define MSGSTS_ALL      (R_MSGSTS_OUTMSGSTS_MASK | R_MSGSTS_INMSGSTS_MASK)

#define BARSETUP_ALL    0x8000ffff

#define BAR_REGS(field) \
    .count = IDT_NUM_BARS, .stride = IDT_BAR_STRIDE, PORT_WORD(field)

#define DWORD_ALIGNED   0xfffffffc

const IdtNtbReg idt_ntb_nt_regs[] = {
    { .name = "ECFGADDR", .addr = A_ECFGADDR, .local = true,
      .rw = R_ECFGADDR_REG_MASK, .read = read_ecfgaddr,
      .write = write_ecfgaddr },
    { .name = "ECFGDATA", .addr = A_ECFGDATA, .local = true,
      .read = read_ecfgdata, .write = write_ecfgdata },

    { .name = "NTCTL", .addr = A_NTCTL, PORT_WORD(ntctl), .rw = 0xf,
      .window = true, .write = write_ntctl },
    { .name = "NTINTSTS", .addr = A_NTINTSTS, PORT_WORD(ntintsts),
      IRQ_WORD(ntintsts, IDT_NTINT_LATCHED), .w1c = IDT_NTINT_LATCHED,
      .read = read_ntintsts, .write = write_ntint },
    { .name = "NTINTMSK", .addr = A_NTINTMSK, PORT_WORD(ntintmsk),
      .reset = NTINT_ALL, .rw = NTINT_ALL, .write = write_ntintmsk },
    { .name = "NTSDATA", .addr = A_NTSDATA, PORT_WORD(ntsdata),
      .rw = UINT32_MAX },
    { .name = "NTGSIGNAL", .addr = A_NTGSIGNAL, .write = write_ntgsignal },
    { .name = "NTIERRORMSK", .addr = A_NTIERRORMSK0, .count = 2, .stride = 4,
      PORT_WORD(ntierrormsk), .rw = UINT32_MAX },

    { .name = "OUTDBELLSET", .addr = A_OUTDBELLSET,
      .write = write_outdbellset },
    { .name = "INDBELLSTS", .addr = A_INDBELLSTS, PORT_WORD(indbellsts),
      IRQ_WORD(indbellsts, R_NTINTSTS_DBELL_MASK), .w1c = UINT32_MAX,
      .write = write_ntint },
    { .name = "INDBELLMSK", .addr = A_INDBELLMSK, PORT_WORD(indbellmsk),
      IRQ_WORD(indbellmsk, R_NTINTSTS_DBELL_MASK), .reset = UINT32_MAX,
      .rw = UINT32_MAX, .write = write_ntint },

    { .name = "OUTMSG", .addr = A_OUTMSG0, .count = IDT_NUM_MESSAGES,
      .stride = 4, PORT_WORD(outmsg), .rw = UINT32_MAX,
      .write = write_outmsg },
    { .name = "INMSG", .addr = A_INMSG0, .count = IDT_NUM_MESSAGES,
      .stride = 4, .read = read_inmsg },
    { .name = "INMSGSRC", .addr = A_INMSGSRC0, .count = IDT_NUM_MESSAGES,
      .stride = 4, .read = read_inmsgsrc },
    { .name = "MSGSTS", .addr = A_MSGSTS, .w1c = MSGSTS_ALL,
      .read = read_msgsts, .write = write_msgsts },
    { .name = "MSGSTSMSK", .addr = A_MSGSTSMSK, PORT_WORD(msgstsmsk),
      IRQ_WORD(msgstsmsk, R_NTINTSTS_MSG_MASK), .reset = MSGSTS_ALL,
      .rw = MSGSTS_ALL, .write = write_ntint },

    { .name = "BARSETUP", .addr = A_BARSETUP0, BAR_REGS(barsetup),
      .rw = BARSETUP_ALL, .window = true, .read = read_barsetup },
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
      .read = read_ntmtbldata, .write = write_ntmtbldata },
    /* Root complex: QEMU's CPU accesses carry no requester ID */
    { .name = "REQIDCAP", .addr = A_REQIDCAP },

    { .name = "LUTOFFSET", .addr = A_LUTOFFSET, PORT_WORD(lutoffset),
      .rw = R_LUTOFFSET_INDEX_MASK | R_LUTOFFSET_BAR_MASK },
    { .name = "LUTLDATA", .addr = A_LUTLDATA, .rw = DWORD_ALIGNED,
      .window = true, .read = read_lut, .write = write_lut },
    { .name = "LUTMDATA", .addr = A_LUTMDATA, .rw = UINT32_MAX,
      .window = true, .read = read_lut, .write = write_lut },
    { .name = "LUTUDATA", .addr = A_LUTUDATA,
      .rw = R_LUTUDATA_PART_MASK | R_LUTUDATA_VALID_MASK,
      .window = true, .read = read_lut, .write = write_lut },

    { .name = "NTUEEM", .addr = A_NTUEEM, PORT_WORD(ntueem),
      .rw = PCI_ERR_UNC_SUPPORTED, .read = read_nteem, .write = write_nteem },
    { .name = "NTCEEM", .addr = A_NTCEEM, PORT_WORD(ntceem),
      .rw = PCI_ERR_COR_SUPPORTED, .read = read_nteem, .write = write_nteem },

    /* Stored only: neither punch-through nor multicast is modelled */
    { .name = "PTCCTL", .addr = A_PTCCTL0, .count = 2, .stride = 4,
      PORT_WORD(ptcctl), .rw = UINT32_MAX },
    { .name = "PTCDATA", .addr = A_PTCDATA, PORT_WORD(ptcdata),
      .rw = UINT32_MAX },
    { .name = "PTCSTS", .addr = A_PTCSTS },
    { .name = "NTMCGPA", .addr = A_NTMCG0PA, .count = IDT_NUM_MCAST_GROUPS,
      .stride = 4, PORT_WORD(ntmcgpa), .rw = UINT32_MAX },

    { .name = "GASAADDR", .addr = A_GASAADDR, .local = true,
      .rw = R_GASAADDR_REG_MASK, .read = read_gasaaddr,
      .write = write_gasaaddr },
    { .name = "GASADATA", .addr = A_GASADATA, .local = true,
      .read = read_gasadata, .write = write_gasadata },
};

const unsigned idt_ntb_num_nt_regs = ARRAY_SIZE(idt_ntb_nt_regs);
