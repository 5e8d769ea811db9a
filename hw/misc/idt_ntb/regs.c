/*
 * IDT 89HPESxNTx PCIe switch: the decoder of register accesses
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/log.h"
#include "hw/pci/pci.h"
#include "bridge.h"
#include "regs.h"
#include "trace.h"

uint32_t idt_ntb_regs_exchange(const IdtNtbAccess *access, uint32_t *word)
{
    uint32_t rw = access->reg->rw & access->lanes;
    uint32_t clear = access->reg->w1c & access->lanes & access->value;

    return idt_ntb_switch_exchange(word, rw | clear, access->value & rw);
}

uint32_t idt_ntb_regs_update(const IdtNtbAccess *access, uint32_t *word)
{
    uint32_t rw = access->reg->rw & access->lanes;
    uint32_t clear = access->reg->w1c & access->lanes & access->value;
    uint32_t old = idt_ntb_regs_exchange(access, word);

    return (old & ~(rw | clear)) | (access->value & rw);
}

/* 40 degrees Celsius: a chip at work */
#define TMP_SAMPLE_RESET    80

/* Of each dword: its entry in the table plus 1, or 0 if it has none */
static uint8_t nt_index[IDT_NT_CFG_SIZE / 4];
static uint8_t switch_index[(IDT_GAS_SIZE - IDT_GAS_SWITCH) / 4];

static void fill_index(uint8_t *index, uint32_t base, const IdtNtbReg *table,
                       unsigned entries)
{
    for (unsigned i = 0; i < entries; i++) {
        for (unsigned n = 0; n < MAX(table[i].count, 1); n++) {
            uint8_t *entry = &index[(table[i].addr + n * table[i].stride -
                                     base) / 4];

            assert(!*entry);
            *entry = i + 1;
        }
    }
}

void idt_ntb_regs_init(void)
{
    fill_index(nt_index, 0, idt_ntb_nt_regs, idt_ntb_num_nt_regs);
    fill_index(switch_index, IDT_GAS_SWITCH, idt_ntb_switch_regs,
               idt_ntb_num_switch_regs);
}

/* Copies the words of @table from @from, or sets their reset values if NULL */
static void set_words(void *to, const void *from, const IdtNtbReg *table,
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

void idt_ntb_regs_reset_port(IdtNtbShmPort *p)
{
    set_words(p, NULL, idt_ntb_nt_regs, idt_ntb_num_nt_regs);
}

void idt_ntb_regs_reset_switch(IdtNtbShmSwitch *sw)
{
    set_words(sw, NULL, idt_ntb_switch_regs, idt_ntb_num_switch_regs);
    qatomic_set(&sw->tmp_sample, TMP_SAMPLE_RESET);
    qatomic_set(&sw->tmp_lowest, TMP_SAMPLE_RESET);
    qatomic_set(&sw->tmp_highest, TMP_SAMPLE_RESET);
}

void idt_ntb_regs_copy_port(IdtNtbShmPort *to, const IdtNtbShmPort *from)
{
    set_words(to, from, idt_ntb_nt_regs, idt_ntb_num_nt_regs);
    qatomic_set(&to->outmsgsts, qatomic_read(&from->outmsgsts));
    for (unsigned i = 0; i < IDT_NUM_MESSAGES; i++) {
        qatomic_set(&to->inmsg[i], qatomic_read(&from->inmsg[i]));
    }
    memcpy(to->lut, from->lut, sizeof(to->lut));
}

void idt_ntb_regs_copy_switch(IdtNtbShmSwitch *to, const IdtNtbShmSwitch *from)
{
    set_words(to, from, idt_ntb_switch_regs, idt_ntb_num_switch_regs);
    qatomic_set(&to->tmp_sample, qatomic_read(&from->tmp_sample));
    qatomic_set(&to->tmp_lowest, qatomic_read(&from->tmp_lowest));
    qatomic_set(&to->tmp_highest, qatomic_read(&from->tmp_highest));
    qatomic_set(&to->tmpalarm, qatomic_read(&from->tmpalarm));
    qatomic_set(&to->tmp_level, qatomic_read(&from->tmp_level));
}

/* The decoder */

/* The kinds of registers at an address. */
typedef enum TargetKind {
    TARGET_NONE,
    TARGET_REG,                 /* a register of one of the tables */
    TARGET_HEADER,              /* header or capabilities of an NT function */
    TARGET_BRIDGE,              /* a bridge function */
} TargetKind;

typedef struct Target {
    TargetKind kind;
    IdtNtbAccess access;        /* without @value and @lanes */
    unsigned bridge_port;       /* port number */
    uint32_t offset;            /* in the function */
} Target;

static void set_reg(Target *t, const IdtNtbReg *reg, unsigned slot, void *block,
                    uint32_t addr)
{
    unsigned n = reg->stride ? (addr - reg->addr) / reg->stride : 0;

    t->kind = TARGET_REG;
    t->access = (IdtNtbAccess) {
        .reg = reg,
        .slot = slot,
        .n = n,
        .word = reg->word ? block + reg->word + n * sizeof(uint32_t) : NULL,
    };
}

static void find_nt(IdtNtbRegs *regs, unsigned slot, uint32_t offset, Target *t)
{
    unsigned i = nt_index[offset / 4];

    *t = (Target) { .offset = offset, .access.slot = slot };
    if (i) {
        set_reg(t, &idt_ntb_nt_regs[i - 1], slot,
                idt_ntb_switch_block(regs->sw, slot), offset);
    } else if (offset < IDT_NT_REGS) {
        t->kind = TARGET_HEADER;
    }
}

static void find_gas(IdtNtbRegs *regs, uint32_t addr, Target *t)
{
    unsigned port = addr / IDT_GAS_PORT_STRIDE;
    uint32_t offset = addr % IDT_GAS_PORT_STRIDE;
    int slot = idt_ntb_switch_slot(regs->sw, port);

    *t = (Target) { .offset = offset, .access.slot = regs->sw->slot };
    if (addr >= IDT_GAS_SWITCH) {
        unsigned i = switch_index[(addr - IDT_GAS_SWITCH) / 4];

        if (i) {
            set_reg(t, &idt_ntb_switch_regs[i - 1], regs->sw->slot,
                    &regs->sw->shm->sw, addr);
        }
    } else if (offset < IDT_GAS_NT_FUNCTION) {
        if (idt_ntb_bridge_has(regs->sw, port, offset)) {
            t->kind = TARGET_BRIDGE;
            t->bridge_port = port;
        }
    } else if (slot >= 0 && (regs->configuring ||
                             idt_ntb_switch_has_nt(regs->sw, slot))) {
        find_nt(regs, slot, offset - IDT_GAS_NT_FUNCTION, t);
        if (t->kind == TARGET_REG && t->access.reg->local) {
            t->kind = TARGET_NONE;
        }
    }
}

static uint32_t read_reg(IdtNtbRegs *regs, const IdtNtbAccess *access)
{
    if (access->reg->read) {
        return access->reg->read(regs, access);
    }
    return access->word ? qatomic_read(access->word) : access->reg->reset;
}

static uint32_t read_target(IdtNtbRegs *regs, const Target *t)
{
    unsigned slot = t->access.slot;

    switch (t->kind) {
    case TARGET_REG:
        return read_reg(regs, &t->access);
    case TARGET_BRIDGE:
        return idt_ntb_bridge_read(regs->sw, t->bridge_port, t->offset);
    default:
        return slot == regs->sw->slot ?
               pci_default_read_config(regs->pci, t->offset, 4) :
               qatomic_read(&idt_ntb_switch_block(regs->sw,
                                                  slot)->cfg[t->offset / 4]);
    }
}

static void write_reg(IdtNtbRegs *regs, const IdtNtbAccess *access,
                      IdtNtbEffects *effects)
{
    const IdtNtbReg *reg = access->reg;

    if (reg->window) {
        effects->windows_changed |= BIT(access->slot);
    } else if (reg->write) {
        /* Only a hook can change the interrupt level */
        effects->irq = true;
    }
    if (reg->write) {
        reg->write(regs, access, effects);
    } else if (access->word) {
        idt_ntb_regs_update(access, access->word);
    } else {
        qemu_log_mask(LOG_GUEST_ERROR, "idt-ntb: port %u: write to read-only "
                      "register %s\n", regs->sw->port, reg->name);
    }
}

/* Writes the bytes in @lanes, which are adjacent, of our header */
static void write_header(IdtNtbRegs *regs, uint32_t offset, uint32_t value,
                         uint32_t lanes, IdtNtbEffects *effects)
{
    unsigned shift = ctz32(lanes);

    pci_default_write_config(regs->pci, offset + shift / 8, value >> shift,
                             ctpop32(lanes) / 8);
    effects->header = true;
    effects->irq = true;
    effects->windows_changed |= BIT(regs->sw->slot);
}

static void write_target(IdtNtbRegs *regs, Target *t, uint32_t value,
                         uint32_t lanes, IdtNtbEffects *effects)
{
    if (t->kind == TARGET_HEADER) {
        write_header(regs, t->offset, value, lanes, effects);
        return;
    }
    t->access.value = value;
    t->access.lanes = lanes;
    write_reg(regs, &t->access, effects);
}

/* Logs an access that nothing answers */
static void refuse(IdtNtbRegs *regs, const char *what, uint32_t addr)
{
    trace_idt_ntb_refused(regs->sw->port, what, addr);
    qemu_log_mask(LOG_UNIMP, "idt-ntb: port %u: %s 0x%05x is not modelled\n",
                  regs->sw->port, what, addr);
}

/* Traces the read of the register at @addr of the GAS */
static uint32_t trace_read(IdtNtbRegs *regs, uint32_t addr, uint32_t value)
{
    trace_idt_ntb_read(regs->sw->port, addr, value);
    return value;
}

/* The address of our NT function in the GAS */
static uint32_t nt_function(const IdtNtbRegs *regs)
{
    return regs->sw->port * IDT_GAS_PORT_STRIDE + IDT_GAS_NT_FUNCTION;
}

uint32_t idt_ntb_regs_read_gas(IdtNtbRegs *regs, uint32_t addr)
{
    Target t;

    find_gas(regs, addr, &t);
    if (t.kind == TARGET_NONE) {
        refuse(regs, "read of global address", addr);
        return 0;
    }
    return trace_read(regs, addr, read_target(regs, &t));
}

void idt_ntb_regs_write_gas(IdtNtbRegs *regs, uint32_t addr, uint32_t value,
                            uint32_t lanes, IdtNtbEffects *effects)
{
    Target t;

    find_gas(regs, addr, &t);
    /* Only the owner of a port writes its header */
    if (t.kind == TARGET_NONE || t.kind == TARGET_BRIDGE ||
        (t.kind == TARGET_HEADER && t.access.slot != regs->sw->slot)) {
        refuse(regs, "write to global address", addr);
        return;
    }
    trace_idt_ntb_write(regs->sw->port, addr, value, lanes);
    write_target(regs, &t, value, lanes, effects);
    if (!regs->configuring) {
        idt_ntb_switch_signal(regs->sw, t.access.slot);
    }
}

uint32_t idt_ntb_regs_read_nt(IdtNtbRegs *regs, uint32_t offset)
{
    Target t;

    find_nt(regs, regs->sw->slot, offset, &t);
    if (t.kind == TARGET_NONE) {
        refuse(regs, "read of NT function offset", offset);
        return 0;
    }
    return trace_read(regs, nt_function(regs) + offset,
                      read_target(regs, &t));
}

void idt_ntb_regs_write_nt(IdtNtbRegs *regs, uint32_t offset, uint32_t value,
                           uint32_t lanes, IdtNtbEffects *effects)
{
    Target t;

    find_nt(regs, regs->sw->slot, offset, &t);
    if (t.kind == TARGET_NONE) {
        refuse(regs, "write to NT function offset", offset);
        return;
    }
    trace_idt_ntb_write(regs->sw->port, nt_function(regs) + offset, value,
                        lanes);
    write_target(regs, &t, value, lanes, effects);
}

uint64_t idt_ntb_regs_read(IdtNtbRegs *regs, uint32_t offset, unsigned size)
{
    uint64_t value = 0;
    unsigned done = 0;

    while (done < size && offset + done < IDT_NT_CFG_SIZE) {
        unsigned first = (offset + done) % 4;
        unsigned bytes = MIN(4 - first, size - done);
        uint64_t dword = idt_ntb_regs_read_nt(regs, offset + done - first);

        value |= extract64(dword, first * 8, bytes * 8) << (done * 8);
        done += bytes;
    }
    return value;
}

IdtNtbEffects idt_ntb_regs_write(IdtNtbRegs *regs, uint32_t offset,
                                 uint64_t value, unsigned size)
{
    IdtNtbEffects effects = { };
    unsigned done = 0;

    while (done < size && offset + done < IDT_NT_CFG_SIZE) {
        unsigned first = (offset + done) % 4;
        unsigned bytes = MIN(4 - first, size - done);
        uint32_t dword = extract64(value, done * 8, bytes * 8) << (first * 8);

        idt_ntb_regs_write_nt(regs, offset + done - first, dword,
                              MAKE_64BIT_MASK(first * 8, bytes * 8), &effects);
        done += bytes;
    }
    return effects;
}
