/*
 * IDT 89HPESxNTx PCIe switch: access to the registers
 *
 * Two tables describe the registers: regs_nt.c those of an NT function,
 * regs_switch.c those of the switch.  One decoder serves configuration cycles,
 * BAR0 and the global address space (GAS) from them.  To add a register, follow
 * "To add a register" in docs/specs/idt-ntb-develop.rst.
 *
 * Call all functions with the BQL held, from the main loop or a vCPU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_DECODER_H
#define HW_MISC_IDT_NTB_DECODER_H

#include "switch.h"

typedef struct IdtNtbFlash IdtNtbFlash;

/* The decoder's state: one NT function and its switch. */
typedef struct IdtNtbRegs {
    IdtNtbSwitch *sw;
    PCIDevice *pci;             /* header and capabilities */
    IdtNtbFlash *flash;         /* file that EEPROMINTF writes to, or NULL */
    /*
     * A reset image configures a new switch: any NT function can be reached,
     * and no port is signalled.
     */
    bool configuring;
    uint32_t ecfgaddr;
    uint32_t gasaaddr;
} IdtNtbRegs;

/* The effects of a write, which the caller follows. */
typedef struct IdtNtbEffects {
    uint32_t windows_changed;   /* slots whose windows may lead elsewhere */
    uint32_t memory_closed;     /* slots whose memory may be out of reach */
    bool header;                /* our header or capabilities were written */
    bool topology;              /* our port may have a change to apply */
    bool irq;                   /* our interrupt level may have changed */
} IdtNtbEffects;

typedef struct IdtNtbReg IdtNtbReg;

/* An access to a register. */
typedef struct IdtNtbAccess {
    const IdtNtbReg *reg;
    unsigned slot;      /* port of the NT function; our own for the switch */
    unsigned n;         /* index among @reg->count */
    uint32_t *word;     /* stored value, or NULL */
    uint32_t value;     /* of a write */
    uint32_t lanes;     /* bits that a write changes: whole bytes */
} IdtNtbAccess;

/* A register, or @count of them @stride bytes apart. */
struct IdtNtbReg {
    const char *name;
    uint32_t addr;      /* in the NT function or in the GAS */
    uint8_t count;      /* 0 means 1 */
    uint8_t stride;
    uint16_t word;      /* offset of the first in its block; 0: not stored */
    uint16_t irq_word;  /* interrupt register: offset in IdtNtbIrqState */
    uint8_t irq_bits;   /* interrupt register: bits of NTINTSTS it can clear */
    bool local;         /* not reached through the GAS */
    bool window;        /* describes windows, has no effect on interrupts */
    uint32_t reset;
    uint32_t rw;        /* writable bits */
    uint32_t w1c;       /* bits that writing 1 clears */
    /* Instead of a read of @word */
    uint32_t (*read)(IdtNtbRegs *regs, const IdtNtbAccess *access);
    /*
     * Instead of a write of @word by @rw and @w1c, which the hook does itself
     * (idt_ntb_regs_update()); adds to @effects.  Also called for the writes of
     * an EEPROM image: @regs->configuring is set, @regs->pci and @regs->flash
     * are NULL, @regs->sw->slot is not valid.
     */
    void (*write)(IdtNtbRegs *regs, const IdtNtbAccess *access,
                  IdtNtbEffects *effects);
};

extern const IdtNtbReg idt_ntb_nt_regs[];
extern const unsigned idt_ntb_num_nt_regs;
extern const IdtNtbReg idt_ntb_switch_regs[];
extern const unsigned idt_ntb_num_switch_regs;

/* Build the tables that the decoder looks into; call it once. */
void idt_ntb_regs_init(void);

/* Give the registers in a zeroed block the chip's own reset values. */
void idt_ntb_regs_reset_port(IdtNtbShmPort *p);
void idt_ntb_regs_reset_switch(IdtNtbShmSwitch *sw);

/* Copy the registers of an NT function, with its pending messages. */
void idt_ntb_regs_copy_port(IdtNtbShmPort *to, const IdtNtbShmPort *from);

/* Copy the registers of a switch, without the mapping table. */
void idt_ntb_regs_copy_switch(IdtNtbShmSwitch *to,
                              const IdtNtbShmSwitch *from);

/*
 * Access @size (1 to 8) bytes at @offset of our NT function, at any alignment,
 * as byte lanes of dwords.  Bytes from IDT_NT_CFG_SIZE on read as 0 and ignore
 * writes.
 */
uint64_t idt_ntb_regs_read(IdtNtbRegs *regs, uint32_t offset, unsigned size);
IdtNtbEffects idt_ntb_regs_write(IdtNtbRegs *regs, uint32_t offset,
                                 uint64_t value, unsigned size);

/*
 * Access the dword at @offset of our NT function, a multiple of 4 below
 * IDT_NT_CFG_SIZE.  A write changes the bits in @lanes, and adds to @effects.
 */
uint32_t idt_ntb_regs_read_nt(IdtNtbRegs *regs, uint32_t offset);
void idt_ntb_regs_write_nt(IdtNtbRegs *regs, uint32_t offset, uint32_t value,
                           uint32_t lanes, IdtNtbEffects *effects);

/* Access the dword at @addr of the GAS, below IDT_GAS_SIZE, in the same way. */
uint32_t idt_ntb_regs_read_gas(IdtNtbRegs *regs, uint32_t addr);
void idt_ntb_regs_write_gas(IdtNtbRegs *regs, uint32_t addr, uint32_t value,
                            uint32_t lanes, IdtNtbEffects *effects);

/* For the hooks of the tables */

/*
 * Write @word by the rules of @access->reg, atomically.
 *
 * Returns: idt_ntb_regs_exchange(): the value before; idt_ntb_regs_update():
 * the value that this write left, whatever other processes wrote after it.
 */
uint32_t idt_ntb_regs_exchange(const IdtNtbAccess *access, uint32_t *word);
uint32_t idt_ntb_regs_update(const IdtNtbAccess *access, uint32_t *word);

#endif
