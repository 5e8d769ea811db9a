/*
 * IDT 89HPESxNTx PCIe switch: access to the registers
 *
 * One table, one decoder for configuration cycles, BAR0 and the global address
 * space.  All functions are called with the BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_DECODER_H
#define HW_MISC_IDT_NTB_DECODER_H

#include "hw/pci/pci.h"
#include "flash.h"
#include "switch.h"

/* What the decoder works on: one NT function and its switch. */
typedef struct IdtNtbRegs {
    IdtNtbSwitch *sw;
    PCIDevice *pci;             /* header and capabilities */
    IdtNtbFlash *flash;         /* what EEPROMINTF writes to, too; or NULL */
    bool boot;                  /* of a new switch: nobody is attached */
    uint32_t ecfgaddr;
    uint32_t gasaaddr;
    /*
     * What writes did, to be taken by the caller; a bit per port, by its place
     * in the chip's list.  @windows_changed: its windows may be others now.
     * @memory_closed: its memory is not open any more.
     */
    uint32_t windows_changed;
    uint32_t memory_closed;
} IdtNtbRegs;

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
    uint8_t int_bits;   /* bits of NTINTSTS that those can clear */
    bool local;         /* the function's own: unseen from other ports */
    bool window;        /* makes the windows of its function */
    uint32_t reset;
    uint32_t rw;        /* writable bits */
    uint32_t w1c;       /* bits that writing 1 clears */
    /* In place of reading @word */
    uint32_t (*read)(IdtNtbRegs *regs, unsigned port, unsigned n);
    /* In place of writing @word through @rw and @w1c; @lanes are written */
    void (*write)(IdtNtbRegs *regs, const IdtNtbReg *reg, unsigned port,
                  unsigned n, uint32_t value, uint32_t lanes);
};

extern const IdtNtbReg idt_ntb_nt_regs[];
extern const unsigned idt_ntb_num_nt_regs;
extern const IdtNtbReg idt_ntb_switch_regs[];
extern const unsigned idt_ntb_num_switch_regs;

/* Builds the tables that the decoder looks into; call it once. */
void idt_ntb_regs_init(void);

/*
 * Gives the registers of an NT function the chip's own reset values; its block
 * is all zero.
 */
void idt_ntb_regs_reset_port(IdtNtbShmPort *port);

/* Copies the registers of an NT function, with its pending messages. */
void idt_ntb_regs_copy_port(IdtNtbShmPort *to, const IdtNtbShmPort *from);

/* Copies the registers of a switch, but not its mapping table. */
void idt_ntb_regs_copy_switch(IdtNtbShmSwitch *to,
                              const IdtNtbShmSwitch *from);

/* Gives the registers of the switch their reset values; likewise. */
void idt_ntb_regs_reset_switch(IdtNtbShmSwitch *sw);

/*
 * Accesses @size (1 to 8) bytes at @offset of the NT function, at any
 * alignment, as byte lanes of the dwords that they touch.  What lies beyond
 * IDT_NT_CFG_SIZE reads as zero and ignores writes.
 *
 * After a write the caller publishes the configuration space, looks after the
 * windows in @windows_changed, evaluates the interrupt and looks for a function
 * level reset.
 */
uint64_t idt_ntb_regs_read(IdtNtbRegs *regs, uint32_t offset, unsigned size);
void idt_ntb_regs_write(IdtNtbRegs *regs, uint32_t offset, uint64_t value,
                        unsigned size);

/*
 * The dword at @offset of our NT function, which must be a multiple of 4 below
 * IDT_NT_CFG_SIZE.  A write changes the bits in @lanes.
 */
uint32_t idt_ntb_nt_read(IdtNtbRegs *regs, uint32_t offset);
void idt_ntb_nt_write(IdtNtbRegs *regs, uint32_t offset, uint32_t value,
                      uint32_t lanes);

/*
 * The dword at @addr of the global address space, which must be a multiple of 4
 * below IDT_GAS_SIZE.  A write changes the bits in @lanes.
 */
uint32_t idt_ntb_gas_read(IdtNtbRegs *regs, uint32_t addr);
void idt_ntb_gas_write(IdtNtbRegs *regs, uint32_t addr, uint32_t value,
                       uint32_t lanes);

/* For the hooks of the tables */

/*
 * Writes @word by the rules of @reg, as one exchange.
 *
 * Returns: what was there before.
 */
uint32_t idt_ntb_reg_exchange(const IdtNtbReg *reg, uint32_t *word,
                              uint32_t value, uint32_t lanes);

/* The same.  Returns: what this write left, whatever others wrote after it. */
uint32_t idt_ntb_reg_update(const IdtNtbReg *reg, uint32_t *word,
                            uint32_t value, uint32_t lanes);

#endif
