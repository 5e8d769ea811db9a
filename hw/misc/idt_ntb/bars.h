/*
 * IDT 89HPESxNTx PCIe switch: the layout of the BARs
 *
 * An EEPROM image sets it, or properties, then for all NT functions alike.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_BARS_H
#define HW_MISC_IDT_NTB_BARS_H

#include "hw/pci/pci_device.h"
#include "hw/misc/idt_ntb_regs.h"

/* The properties of one BAR. */
typedef struct IdtNtbBarConfig {
    char *mode;                 /* "off", "direct", "lut12", "lut24" */
    uint64_t size;              /* bytes */
    bool is_64bit;
    bool prefetch;
} IdtNtbBarConfig;

/*
 * Makes BARSETUP register values of @config.
 *
 * Returns: true, or false with @errp set.
 */
bool idt_ntb_bars_setup(const IdtNtbBarConfig config[IDT_NUM_BARS],
                        uint32_t barsetup[IDT_NUM_BARS], Error **errp);

/*
 * Makes the layout that registers of values @barsetup ask for: without TPART, 0
 * for a BAR that is off or the upper half of the one before it.
 */
void idt_ntb_bars_layout(const uint32_t barsetup[IDT_NUM_BARS],
                         uint32_t layout[IDT_NUM_BARS]);

/*
 * Checks the layout that registers @barsetup make, TPART aside: windows that
 * can be modelled, in BAR1 to BAR5, and the configuration space or nothing in
 * BAR0.
 *
 * Returns: true, or false with @errp set.
 */
bool idt_ntb_bars_check(const uint32_t barsetup[IDT_NUM_BARS], Error **errp);

/*
 * Changes the BARs of @pci from layout @old (all 0: it has none yet) to @new,
 * both as of idt_ntb_bars_layout(); @new is checked.  A BAR that changes loses
 * its address.  @mr: their regions, whose sizes change with them.  The function
 * must not decode memory.
 */
void idt_ntb_bars_register(PCIDevice *pci, MemoryRegion *mr[IDT_NUM_BARS],
                           const uint32_t old[IDT_NUM_BARS],
                           const uint32_t new[IDT_NUM_BARS]);

/* Warns of what Linux can't use in a layout that is right. */
void idt_ntb_bars_warn(const uint32_t barsetup[IDT_NUM_BARS]);

/* True for the layout that the properties make when none is given. */
bool idt_ntb_bars_are_default(const uint32_t barsetup[IDT_NUM_BARS]);

/* PCI_BASE_ADDRESS_* of such a BAR: what its register reads while unused. */
uint8_t idt_ntb_bar_type(uint32_t barsetup);

/* BARSETUP of BAR @bar, in words of the properties; to be freed. */
char *idt_ntb_bar_name(unsigned bar, uint32_t barsetup);

/* True for a BAR of 64 bits, whose upper half is in the next one. */
bool idt_ntb_bar_is_64bit(uint32_t barsetup);

/* The aperture in bytes; 0 for a BAR that is off. */
uint64_t idt_ntb_bar_size(uint32_t barsetup);

/* Segments of the aperture: 1, or the size of the lookup table. */
unsigned idt_ntb_bar_segments(uint32_t barsetup);

/* Those of them that can be used. */
unsigned idt_ntb_bar_windows(uint32_t barsetup);

#endif
