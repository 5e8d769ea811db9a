/*
 * IDT 89HPESxNTx PCIe switch: one NT port
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_H
#define HW_MISC_IDT_NTB_H

#define TYPE_IDT_NTB "idt-ntb"

#define PCI_VENDOR_ID_IDT                   0x111d
#define PCI_DEVICE_ID_IDT_89HPES24NT6AG2    0x8091

#endif
