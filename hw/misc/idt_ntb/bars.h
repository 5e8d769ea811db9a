/*
 * IDT 89HPESxNTx PCIe switch: layout of the BARs
 *
 * Six BARSETUP registers set the BARs of an NT function.  Functions named
 * idt_ntb_bar_* take the value of one of them, idt_ntb_bars_* those of all six.
 * The fields are those of the Linux driver; docs/specs/idt-ntb.rst lists the
 * layouts that the model supports.
 *
 * Functions without @pci have no state: call them from any thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_BARS_H
#define HW_MISC_IDT_NTB_BARS_H

#include "hw/pci/pci_device.h"
#include "hw/misc/idt_ntb_regs.h"

/* The device properties of one BAR. */
typedef struct IdtNtbBarConfig {
    char *mode;                 /* "off", "direct", "lut12", "lut24" */
    uint64_t size;              /* bytes */
    bool is_64bit;
    bool prefetch;
} IdtNtbBarConfig;

/*
 * Convert properties to values of BARSETUP.  BAR0 has no properties: it is the
 * configuration space.
 *
 * Returns: true, or false with @errp set.
 */
bool idt_ntb_bars_setup(const IdtNtbBarConfig config[IDT_NUM_BARS],
                        uint32_t barsetup[IDT_NUM_BARS], Error **errp);

/*
 * Convert values of BARSETUP to a layout: clear TPART, and make the value of a
 * BAR 0 if it is off, or the upper half of the BAR before it.
 */
void idt_ntb_bars_layout(const uint32_t barsetup[IDT_NUM_BARS],
                         uint32_t layout[IDT_NUM_BARS]);

/*
 * Check that the model supports @barsetup: BAR0 is the configuration space or
 * off, the others are windows or off.  TPART is ignored.
 *
 * Returns: true, or false with @errp set.
 */
bool idt_ntb_bars_check(const uint32_t barsetup[IDT_NUM_BARS], Error **errp);

/*
 * Change the BARs of @pci from layout @old to layout @new, which
 * idt_ntb_bars_check() accepts.  @old is all zeros at first.  A BAR that
 * changes loses its address, and its region in @mr gets the new size.  Call it
 * with the BQL held, while the function does not decode memory.
 */
void idt_ntb_bars_register(PCIDevice *pci, MemoryRegion *mr[IDT_NUM_BARS],
                           const uint32_t old[IDT_NUM_BARS],
                           const uint32_t new[IDT_NUM_BARS]);

/* Warn about BARs that the model supports, but Linux does not. */
void idt_ntb_bars_warn(const uint32_t barsetup[IDT_NUM_BARS]);

/* Return true if @barsetup is what the default properties make. */
bool idt_ntb_bars_are_default(const uint32_t barsetup[IDT_NUM_BARS]);

/* Return the PCI_BASE_ADDRESS_* bits that a BAR without address reads as. */
uint8_t idt_ntb_bar_type(uint32_t barsetup);

/* Describe BAR number @bar in words of the properties.  Free it by g_free(). */
char *idt_ntb_bar_name(unsigned bar, uint32_t barsetup);

/* Return true if the next BAR is the upper half of this one. */
bool idt_ntb_bar_is_64bit(uint32_t barsetup);

/* Return the size of the aperture in bytes; 0 if the BAR is off. */
uint64_t idt_ntb_bar_size(uint32_t barsetup);

/*
 * Return into how many equal segments the aperture is divided: 1 in a direct
 * BAR, 16 in LUT12, 32 in LUT24.
 */
unsigned idt_ntb_bar_segments(uint32_t barsetup);

/*
 * Return how many segments, from the first one on, are windows: 1 in a direct
 * BAR, 12 in LUT12, 24 in LUT24, 0 if the BAR is off.
 */
unsigned idt_ntb_bar_windows(uint32_t barsetup);

#endif
