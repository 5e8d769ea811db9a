/*
 * IDT 89HPESxNTx PCIe switch: the layout of the BARs
 *
 * On a board the EEPROM sets it; here, properties do.  It is the same for all
 * NT functions of a switch.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_BARS_H
#define HW_MISC_IDT_NTB_BARS_H

#include "idt_ntb_regs.h"

/* The properties of one BAR. */
typedef struct IdtNtbBarConfig {
    char *mode;                 /* "off", "direct", "lut12", "lut24" */
    uint64_t size;              /* bytes */
    bool is_64bit;
    bool prefetch;
} IdtNtbBarConfig;

/*
 * Makes BARSETUP register values of @config; warns of what Linux can't use.
 *
 * Returns: true, or false with @errp set.
 */
bool idt_ntb_bars_setup(const IdtNtbBarConfig config[IDT_NUM_BARS],
                        uint32_t barsetup[IDT_NUM_BARS], Error **errp);

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
