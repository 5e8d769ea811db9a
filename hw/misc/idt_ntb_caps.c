/*
 * IDT 89HPESxNTx PCIe switch: capabilities of the NT function
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/misc/idt_ntb.h"
#include "hw/pci/msi.h"
#include "hw/pci/pci_bridge.h"
#include "hw/pci/pcie.h"
#include "hw/pci/pcie_aer.h"
#include "idt_ntb_caps.h"

/* Capabilities are prepended to the list: the last one comes first. */
bool idt_ntb_caps_init(PCIDevice *pci, const IdtNtbChip *chip, Error **errp)
{
    const uint64_t serial = (uint64_t)PCI_VENDOR_ID_IDT << 48 |
                            (uint64_t)chip->device_id << 32;

    /* Only what a capability opens is writable */
    memset(pci->wmask + PCI_CONFIG_HEADER_SIZE, 0,
           IDT_NT_CFG_SIZE - PCI_CONFIG_HEADER_SIZE);

    if (pci_bridge_ssvid_init(pci, IDT_CAP_SSVID, PCI_VENDOR_ID_IDT,
                              chip->device_id, errp) < 0 ||
        msi_init(pci, IDT_CAP_MSI, 1, true, false, errp) < 0 ||
        pci_pm_init(pci, IDT_CAP_PM, errp) < 0 ||
        pcie_cap_init(pci, IDT_CAP_PCIE, PCI_EXP_TYPE_ENDPOINT, 0, errp) < 0) {
        return false;
    }
    pci_set_word(pci->config + IDT_CAP_PM + PCI_PM_PMC, 3);
    pci_set_word(pci->config + IDT_CAP_PM + PCI_PM_CTRL,
                 PCI_PM_CTRL_NO_SOFT_RESET);
    pci_set_word(pci->wmask + IDT_CAP_PM + PCI_PM_CTRL,
                 PCI_PM_CTRL_STATE_MASK);

    pcie_cap_fill_link_ep_usp(pci, QEMU_PCI_EXP_LNK_X4,
                              QEMU_PCI_EXP_LNK_5GT);
    pci_word_test_and_set_mask(pci->config + IDT_CAP_PCIE + PCI_EXP_LNKSTA,
                               PCI_EXP_LNKSTA_SLC);
    pcie_cap_deverr_init(pci);
    pcie_cap_flr_init(pci);

    if (pcie_aer_init(pci, PCI_ERR_VER, IDT_CAP_AER, PCI_ERR_SIZEOF,
                      errp) < 0) {
        return false;
    }
    pcie_dev_ser_num_init(pci, IDT_CAP_DSN, serial);
    return true;
}

void idt_ntb_caps_exit(PCIDevice *pci)
{
    if (pci->exp.aer_cap) {
        pcie_aer_exit(pci);
    }
    if (pci->exp.exp_cap) {
        pcie_cap_exit(pci);
    }
    msi_uninit(pci);
}
