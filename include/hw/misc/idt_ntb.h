/*
 * IDT 89HPESxNTx PCIe switch: type and PCI IDs of the device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_H
#define HW_MISC_IDT_NTB_H

#define TYPE_IDT_NTB "idt-ntb"

/* As lspci shows for a 89HPES32NT8AG2 */
#define IDT_NTB_REVISION                    2

#define PCI_VENDOR_ID_IDT                   0x111d
#define PCI_DEVICE_ID_IDT_89HPES32NT8BG2    0x8088
#define PCI_DEVICE_ID_IDT_89HPES32NT24BG2   0x808a
#define PCI_DEVICE_ID_IDT_89HPES32NT24AG2   0x808c
#define PCI_DEVICE_ID_IDT_89HPES24NT24G2    0x808e
#define PCI_DEVICE_ID_IDT_89HPES32NT8AG2    0x808f
#define PCI_DEVICE_ID_IDT_89HPES16NT16G2    0x8090
#define PCI_DEVICE_ID_IDT_89HPES24NT6AG2    0x8091
#define PCI_DEVICE_ID_IDT_89HPES12NT12G2    0x8092

#endif
