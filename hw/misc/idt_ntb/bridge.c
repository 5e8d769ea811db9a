/*
 * IDT 89HPESxNTx PCIe switch: the PCI-to-PCI bridge functions
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/log.h"
#include "hw/misc/idt_ntb.h"
#include "hw/pci/pci.h"
#include "bridge.h"

/* Fields of dwords */
#define STATUS_CAP_LIST         (PCI_STATUS_CAP_LIST << 16)
#define CLASS_BRIDGE            (PCI_CLASS_BRIDGE_PCI << 16)
#define HEADER_TYPE_BRIDGE      (PCI_HEADER_TYPE_BRIDGE << 16)
#define HEADER_MULTI_FUNCTION   (PCI_HEADER_TYPE_MULTI_FUNCTION << 16)
#define PCIECAP_TYPE_MASK       (PCI_EXP_FLAGS_TYPE << 16)
#define PCIECAP_UPSTREAM        (PCI_EXP_TYPE_UPSTREAM << 20)
#define PCIECAP_DOWNSTREAM      (PCI_EXP_TYPE_DOWNSTREAM << 20)

/* Width and speed of the link, which the port's NT function has too */
#define PCIELSTS_LINK           ((PCI_EXP_LNKSTA_NLW | \
                                  PCI_EXP_LNKSTA_CLS) << 16)

/* Memory and prefetchable windows of 64 bits, I/O ones of 32 */
#define IO_BASE_32              (PCI_IO_RANGE_TYPE_32 | \
                                 PCI_IO_RANGE_TYPE_32 << 8)
#define PREF_BASE_64            (PCI_PREF_RANGE_TYPE_64 | \
                                 PCI_PREF_RANGE_TYPE_64 << 16)

static uint32_t read_header(const IdtNtbSwitch *sw, unsigned port,
                            unsigned offset)
{
    unsigned mode = idt_ntb_switch_port_mode(sw, port);

    switch (offset) {
    case PCI_VENDOR_ID:
        return PCI_VENDOR_ID_IDT | sw->chip->device_id << 16;
    case PCI_COMMAND:
        return STATUS_CAP_LIST;
    case PCI_CLASS_REVISION:
        return CLASS_BRIDGE | IDT_NTB_REVISION;
    case PCI_CACHE_LINE_SIZE:
        return HEADER_TYPE_BRIDGE |
               (mode == IDT_PORT_MODE_UP_NT || mode == IDT_PORT_MODE_UP_DMA ||
                mode == IDT_PORT_MODE_UP_NT_DMA ? HEADER_MULTI_FUNCTION : 0);
    case PCI_IO_BASE:
        return IO_BASE_32;
    case PCI_PREF_MEMORY_BASE:
        return PREF_BASE_64;
    case PCI_CAPABILITY_LIST:
        return IDT_CAP_PCIE;
    default:
        return 0;
    }
}

bool idt_ntb_bridge_has(const IdtNtbSwitch *sw, unsigned port, unsigned offset)
{
    return port < IDT_MAX_PORTS && sw->chip->all_ports & BIT(port) &&
           offset < IDT_NT_REGS;
}

uint32_t idt_ntb_bridge_read(const IdtNtbSwitch *sw, unsigned port,
                             unsigned offset)
{
    int slot = idt_ntb_switch_slot(sw, port);
    uint32_t value;

    if (offset < PCI_CONFIG_HEADER_SIZE) {
        return read_header(sw, port, offset);
    }
    /* The capabilities are those of the NT function */
    value = idt_ntb_switch_default_cfg(sw, port, offset);
    switch (offset) {
    case IDT_CAP_PCIE:
        return (value & ~PCIECAP_TYPE_MASK) |
               (idt_ntb_switch_port_mode(sw, port) == IDT_PORT_MODE_DOWNSTREAM ?
                PCIECAP_DOWNSTREAM : PCIECAP_UPSTREAM);
    case A_PCIELCTLSTS:
        value = (value & ~R_PCIELCTLSTS_SCLK_MASK) |
                qatomic_read(&sw->shm->sw.bridge_sclk[port]);
        return slot < 0 ? value : (value & ~PCIELSTS_LINK) |
               (PCIELSTS_LINK &
                qatomic_read(&idt_ntb_switch_block(sw,
                                                   slot)->cfg[offset / 4]));
    default:
        return value;
    }
}

void idt_ntb_bridge_write_image(IdtNtbSwitch *sw, unsigned port,
                                unsigned offset, uint32_t value)
{
    if (offset != A_PCIELCTLSTS) {
        qemu_log_mask(LOG_UNIMP, "idt-ntb: EEPROM image: write of 0x%08x to "
                      "0x%03x of the bridge function of port %u is not "
                      "modelled\n", value, offset, port);
        return;
    }
    qatomic_set(&sw->shm->sw.bridge_sclk[port],
                value & R_PCIELCTLSTS_SCLK_MASK);
}
