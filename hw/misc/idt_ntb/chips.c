/*
 * IDT 89HPESxNTx PCIe switch: the chips of the family
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "hw/misc/idt_ntb.h"
#include "chips.h"

/* The port numbers are those of the tables of the Linux driver ntb_hw_idt */
#define PORTS_0_TO_23   0xffffff

/* With an NT function in each, as the number in the chip's name says */
#define PORTS_NT6       0x001155
#define PORTS_NT8       0x111155

/* Groups of four ports, each led by one that can carry an NT function */
#define PORTS_NT12      0x0f0f0f
#define PORTS_NT16      0x0fff0f

static const IdtNtbChip chips[] = {
    { "89HPES24NT6AG2", PCI_DEVICE_ID_IDT_89HPES24NT6AG2, PORTS_NT6, 6,
      { 0, 2, 4, 6, 8, 12 } },
    { "89HPES32NT8AG2", PCI_DEVICE_ID_IDT_89HPES32NT8AG2, PORTS_NT8, 8,
      { 0, 2, 4, 6, 8, 12, 16, 20 } },
    { "89HPES32NT8BG2", PCI_DEVICE_ID_IDT_89HPES32NT8BG2, PORTS_NT8, 8,
      { 0, 2, 4, 6, 8, 12, 16, 20 } },
    { "89HPES12NT12G2", PCI_DEVICE_ID_IDT_89HPES12NT12G2, PORTS_NT12, 3,
      { 0, 8, 16 } },
    { "89HPES16NT16G2", PCI_DEVICE_ID_IDT_89HPES16NT16G2, PORTS_NT16, 4,
      { 0, 8, 12, 16 } },
    { "89HPES24NT24G2", PCI_DEVICE_ID_IDT_89HPES24NT24G2, PORTS_0_TO_23, 8,
      { 0, 2, 4, 6, 8, 12, 16, 20 } },
    { "89HPES32NT24AG2", PCI_DEVICE_ID_IDT_89HPES32NT24AG2, PORTS_0_TO_23, 8,
      { 0, 2, 4, 6, 8, 12, 16, 20 } },
    { "89HPES32NT24BG2", PCI_DEVICE_ID_IDT_89HPES32NT24BG2, PORTS_0_TO_23, 8,
      { 0, 2, 4, 6, 8, 12, 16, 20 } },
};

const IdtNtbChip *idt_ntb_chips_find(const char *name, Error **errp)
{
    ERRP_GUARD();

    for (unsigned i = 0; i < ARRAY_SIZE(chips); i++) {
        if (!g_strcmp0(name, chips[i].name)) {
            return &chips[i];
        }
    }
    error_setg(errp, "chip=%s is unknown", name);
    error_append_hint(errp, "Use one of");
    for (unsigned i = 0; i < ARRAY_SIZE(chips); i++) {
        error_append_hint(errp, " %s", chips[i].name);
    }
    error_append_hint(errp, ".\n");
    return NULL;
}
