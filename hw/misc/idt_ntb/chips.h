/*
 * IDT 89HPESxNTx PCIe switch: the chips of the family
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_CHIPS_H
#define HW_MISC_IDT_NTB_CHIPS_H

#include "hw/misc/idt_ntb_regs.h"

typedef struct IdtNtbChip {
    const char *name;
    uint16_t device_id;
    uint32_t all_ports;                 /* a bit per port number */
    uint8_t num_nt_ports;               /* entries of @nt_ports */
    uint8_t nt_ports[IDT_MAX_NT_PORTS]; /* slot -> port number */
} IdtNtbChip;

/*
 * Find a chip by its name, such as "89HPES24NT6AG2".
 *
 * Returns: the chip, or NULL with @errp set and the known names as a hint.
 */
const IdtNtbChip *idt_ntb_chips_find(const char *name, Error **errp);

#endif
