/*
 * IDT 89HPESxNTx PCIe switch: the decoder of register accesses
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/log.h"
#include "bridge.h"
#include "regs.h"
#include "trace.h"

uint32_t idt_ntb_reg_exchange(const IdtNtbReg *reg, uint32_t *word,
                              uint32_t value, uint32_t lanes)
{
    uint32_t clear = value & reg->w1c & lanes;
    uint32_t rw = reg->rw & lanes;
    uint32_t old, new;

    if (!rw) {
        return qatomic_fetch_and(word, ~clear);
    }
    old = qatomic_read(word);
    for (unsigned i = 0; i < IDT_NTB_MAX_CAS_TRIES; i++) {
        uint32_t seen;

        new = ((old & ~rw) | (value & rw)) & ~clear;
        seen = qatomic_cmpxchg(word, old, new);
        if (seen == old) {
            return old;
        }
        old = seen;
    }
    return qatomic_xchg(word, new);
}

uint32_t idt_ntb_reg_update(const IdtNtbReg *reg, uint32_t *word,
                            uint32_t value, uint32_t lanes)
{
    uint32_t rw = reg->rw & lanes;
    uint32_t old = idt_ntb_reg_exchange(reg, word, value, lanes);

    return ((old & ~rw) | (value & rw)) & ~(value & reg->w1c & lanes);
}

/* 40 degrees Celsius: a chip at work */
#define TMP_SAMPLE_RESET    80

/* Which entry of a table a dword belongs to, plus 1; 0 for none */
static uint8_t nt_index[IDT_NT_CFG_SIZE / 4];
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
    regs_index(nt_index, 0, idt_ntb_nt_regs, idt_ntb_num_nt_regs);
    regs_index(switch_index, IDT_GAS_SWITCH, idt_ntb_switch_regs,
               idt_ntb_num_switch_regs);
}

/* Gives the words of @to those of @from, or their reset values if it is NULL */
static void regs_set(void *to, const void *from, const IdtNtbReg *table,
                     unsigned entries)
{
    for (unsigned i = 0; i < entries; i++) {
        for (unsigned n = 0; table[i].word && n < MAX(table[i].count, 1); n++) {
            unsigned offset = table[i].word + n * sizeof(uint32_t);

            qatomic_set((uint32_t *)(to + offset),
                        from ? qatomic_read((uint32_t *)(from + offset)) :
                               table[i].reset);
        }
    }
}

void idt_ntb_regs_reset_port(IdtNtbShmPort *port)
{
    regs_set(port, NULL, idt_ntb_nt_regs, idt_ntb_num_nt_regs);
}

void idt_ntb_regs_reset_switch(IdtNtbShmSwitch *sw)
{
    regs_set(sw, NULL, idt_ntb_switch_regs, idt_ntb_num_switch_regs);
    qatomic_set(&sw->tmp_sample, TMP_SAMPLE_RESET);
    qatomic_set(&sw->tmp_lowest, TMP_SAMPLE_RESET);
    qatomic_set(&sw->tmp_highest, TMP_SAMPLE_RESET);
}

void idt_ntb_regs_copy_port(IdtNtbShmPort *to, const IdtNtbShmPort *from)
{
    regs_set(to, from, idt_ntb_nt_regs, idt_ntb_num_nt_regs);
    qatomic_set(&to->outmsgsts, qatomic_read(&from->outmsgsts));
    for (unsigned i = 0; i < IDT_NUM_MESSAGES; i++) {
        qatomic_set(&to->inmsg[i], qatomic_read(&from->inmsg[i]));
    }
    memcpy(to->lut, from->lut, sizeof(to->lut));
}

void idt_ntb_regs_copy_switch(IdtNtbShmSwitch *to, const IdtNtbShmSwitch *from)
{
    regs_set(to, from, idt_ntb_switch_regs, idt_ntb_num_switch_regs);
    qatomic_set(&to->tmp_sample, qatomic_read(&from->tmp_sample));
    qatomic_set(&to->tmp_lowest, qatomic_read(&from->tmp_lowest));
    qatomic_set(&to->tmp_highest, qatomic_read(&from->tmp_highest));
    qatomic_set(&to->tmpalarm, qatomic_read(&from->tmpalarm));
    qatomic_set(&to->tmp_level, qatomic_read(&from->tmp_level));
}

/* The decoder */

static unsigned reg_number(const IdtNtbReg *reg, uint32_t addr)
{
    return reg->stride ? (addr - reg->addr) / reg->stride : 0;
}

/* What the words of the register at @addr lie in */
static void *reg_block(IdtNtbRegs *regs, unsigned port, uint32_t addr)
{
    if (addr >= IDT_GAS_SWITCH) {
        return &regs->sw->shm->sw;
    }
    return idt_ntb_switch_block(regs->sw, port);
}

static uint32_t *reg_word(IdtNtbRegs *regs, const IdtNtbReg *reg,
                          unsigned port, uint32_t addr)
{
    return reg_block(regs, port, addr) + reg->word +
           reg_number(reg, addr) * sizeof(uint32_t);
}

static uint32_t reg_read(IdtNtbRegs *regs, const IdtNtbReg *reg, unsigned port,
                         uint32_t addr)
{
    if (reg->read) {
        return reg->read(regs, port, reg_number(reg, addr));
    }
    if (reg->word) {
        return qatomic_read(reg_word(regs, reg, port, addr));
    }
    return reg->reset;
}

static void reg_write(IdtNtbRegs *regs, const IdtNtbReg *reg, unsigned port,
                      uint32_t addr, uint32_t value, uint32_t lanes)
{
    if (reg->window) {
        regs->windows_changed |= BIT(idt_ntb_switch_index(regs->sw, port));
    }
    if (reg->write) {
        reg->write(regs, reg, port, reg_number(reg, addr), value, lanes);
    } else if (reg->word) {
        idt_ntb_reg_update(reg, reg_word(regs, reg, port, addr), value, lanes);
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

/* NULL for header and capabilities */
static const IdtNtbReg *nt_reg(uint32_t offset)
{
    unsigned i = nt_index[offset / 4];

    return i ? &idt_ntb_nt_regs[i - 1] : NULL;
}

static const IdtNtbReg *switch_reg(uint32_t addr)
{
    unsigned i = switch_index[(addr - IDT_GAS_SWITCH) / 4];

    return i ? &idt_ntb_switch_regs[i - 1] : NULL;
}

/* What answers an access: a register, or a dword of header or capability. */
typedef struct RegsTarget {
    const IdtNtbReg *reg;       /* or NULL */
    bool pci;
    bool bridge;                /* of the bridge function, not the NT one */
    unsigned port;              /* whose it is; our own for the switch's */
    uint32_t addr;              /* in the NT function, or global */
} RegsTarget;

static bool nt_lookup(unsigned port, uint32_t offset, RegsTarget *t)
{
    const IdtNtbReg *reg = nt_reg(offset);

    *t = (RegsTarget) {
        .reg = reg,
        .pci = !reg && offset < IDT_NT_REGS,
        .port = port,
        .addr = offset,
    };
    return t->reg || t->pci;
}

static bool gas_lookup(IdtNtbRegs *regs, uint32_t addr, RegsTarget *t)
{
    unsigned port = addr / IDT_GAS_PORT_STRIDE;
    uint32_t offset = addr % IDT_GAS_PORT_STRIDE;

    if (addr >= IDT_GAS_SWITCH) {
        *t = (RegsTarget) {
            .reg = switch_reg(addr), .port = regs->sw->port, .addr = addr,
        };
        return t->reg;
    }
    if (offset < IDT_GAS_NT_FUNCTION) {
        *t = (RegsTarget) { .bridge = true, .port = port, .addr = offset };
        return idt_ntb_bridge_has(regs->sw, port, offset);
    }
    return idt_ntb_switch_index(regs->sw, port) >= 0 &&
           (regs->boot || idt_ntb_switch_has_nt(regs->sw, port)) &&
           nt_lookup(port, offset - IDT_GAS_NT_FUNCTION, t) &&
           !(t->reg && t->reg->local);
}

static uint32_t target_read(IdtNtbRegs *regs, const RegsTarget *t)
{
    if (t->bridge) {
        return idt_ntb_bridge_read(regs->sw, t->port, t->addr);
    }
    if (!t->pci) {
        return reg_read(regs, t->reg, t->port, t->addr);
    }
    if (t->port == regs->sw->port) {
        return pci_default_read_config(regs->pci, t->addr, 4);
    }
    return qatomic_read(&idt_ntb_switch_block(regs->sw,
                                              t->port)->cfg[t->addr / 4]);
}

/* Writes the lanes of a dword of header and capabilities, which are adjacent */
static void pci_header_write(IdtNtbRegs *regs, uint32_t offset, uint32_t value,
                             uint32_t lanes)
{
    unsigned shift = ctz32(lanes);

    pci_default_write_config(regs->pci, offset + shift / 8, value >> shift,
                             ctpop32(lanes) / 8);
}

static void target_write(IdtNtbRegs *regs, const RegsTarget *t, uint32_t value,
                         uint32_t lanes)
{
    if (t->pci) {
        pci_header_write(regs, t->addr, value, lanes);
    } else {
        reg_write(regs, t->reg, t->port, t->addr, value, lanes);
    }
}

uint32_t idt_ntb_gas_read(IdtNtbRegs *regs, uint32_t addr)
{
    RegsTarget t;

    if (!gas_lookup(regs, addr, &t)) {
        refuse(regs, "read of global address", addr);
        return 0;
    }
    return target_read(regs, &t);
}

void idt_ntb_gas_write(IdtNtbRegs *regs, uint32_t addr, uint32_t value,
                       uint32_t lanes)
{
    RegsTarget t;

    /* The header of another port is its own */
    if (!gas_lookup(regs, addr, &t) || t.bridge ||
        (t.pci && t.port != regs->sw->port)) {
        refuse(regs, "write to global address", addr);
        return;
    }
    target_write(regs, &t, value, lanes);
    if (!regs->boot) {
        idt_ntb_switch_signal(regs->sw, t.port);
    }
}

uint32_t idt_ntb_nt_read(IdtNtbRegs *regs, uint32_t offset)
{
    RegsTarget t;

    if (!nt_lookup(regs->sw->port, offset, &t)) {
        refuse(regs, "read of NT function offset", offset);
        return 0;
    }
    return target_read(regs, &t);
}

void idt_ntb_nt_write(IdtNtbRegs *regs, uint32_t offset, uint32_t value,
                      uint32_t lanes)
{
    RegsTarget t;

    if (!nt_lookup(regs->sw->port, offset, &t)) {
        refuse(regs, "write to NT function offset", offset);
        return;
    }
    target_write(regs, &t, value, lanes);
}

uint64_t idt_ntb_regs_read(IdtNtbRegs *regs, uint32_t offset, unsigned size)
{
    uint64_t value = 0;
    unsigned done = 0;

    while (done < size && offset + done < IDT_NT_CFG_SIZE) {
        unsigned first = (offset + done) % 4;
        unsigned bytes = MIN(4 - first, size - done);
        uint64_t dword = idt_ntb_nt_read(regs, offset + done - first);

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

        idt_ntb_nt_write(regs, offset + done - first, dword,
                         MAKE_64BIT_MASK(first * 8, bytes * 8));
        done += bytes;
    }
}
