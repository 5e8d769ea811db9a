/*
 * IDT 89HPESxNTx PCIe switch: capabilities of the NT function
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bitops.h"
#include "hw/misc/idt_ntb.h"
#include "hw/misc/idt_ntb_regs.h"
#include "hw/pci/msi.h"
#include "hw/pci/pci_bridge.h"
#include "hw/pci/pcie.h"
#include "hw/pci/pcie_aer.h"
#include "hw/qdev-core.h"
#include "hw/resettable.h"
#include "caps.h"

/* QEMU has no names for these */
#define VC_VERSION      1
#define VC_SIZE         0x1c    /* bytes, with VC0 only */
#define MCAST_VERSION   1

static void init_power(PCIDevice *pci)
{
    const uint16_t version = 3;

    pci_set_word(pci->config + IDT_CAP_PM + PCI_PM_PMC, version);
    pci_set_word(pci->config + IDT_CAP_PM + PCI_PM_CTRL,
                 PCI_PM_CTRL_NO_SOFT_RESET);
    pci_set_word(pci->wmask + IDT_CAP_PM + PCI_PM_CTRL,
                 PCI_PM_CTRL_STATE_MASK);
}

static void init_pcie(PCIDevice *pci)
{
    uint8_t *config = pci->config + IDT_CAP_PCIE;
    uint8_t *wmask = pci->wmask + IDT_CAP_PCIE;

    pcie_cap_fill_link_ep_usp(pci, IDT_NTB_MAX_LINK_WIDTH,
                              IDT_NTB_MAX_LINK_SPEED);
    pci_word_test_and_set_mask(config + PCI_EXP_LNKSTA, PCI_EXP_LNKSTA_SLC);
    /* These bits are only stored: QEMU has no physical link */
    pci_set_word(wmask + PCI_EXP_LNKCTL, PCI_EXP_LNKCTL_ASPMC |
                 PCI_EXP_LNKCTL_CCC | PCI_EXP_LNKCTL_ES);
    pci_set_word(wmask + PCI_EXP_LNKCTL2, PCI_EXP_LNKCTL2_TLS);
    pcie_cap_deverr_init(pci);
    pcie_cap_flr_init(pci);
}

/* Only VC0, always enabled; it carries all traffic classes at reset */
static void init_vc(PCIDevice *pci)
{
    const uint32_t tc_map = 0xff;

    pcie_add_capability(pci, PCI_EXT_CAP_ID_VC, VC_VERSION, IDT_CAP_VC,
                        VC_SIZE);
    pci_set_long(pci->config + IDT_CAP_VC + PCI_VC_RES_CTRL,
                 PCI_VC_RES_CTRL_ENABLE | tc_map);
    /* VC0 always carries TC0 */
    pci_set_long(pci->wmask + IDT_CAP_VC + PCI_VC_RES_CTRL, tc_map & ~1);
}

/* The registers are only stored: the model does not multicast */
static void init_multicast(PCIDevice *pci)
{
    const uint32_t groups = MAKE_64BIT_MASK(0, IDT_NUM_MCAST_GROUPS);
    uint8_t *wmask = pci->wmask;

    pcie_add_capability(pci, PCI_EXT_CAP_ID_MCAST, MCAST_VERSION, IDT_CAP_MCAST,
                        PCI_EXT_CAP_MCAST_ENDPOINT_SIZEOF);
    pci_set_word(pci->config + A_MCCAP, IDT_NUM_MCAST_GROUPS - 1);
    pci_set_word(wmask + A_MCCTL, R_MCCTL_NUMGROUP_MASK | R_MCCTL_EN_MASK);
    pci_set_long(wmask + A_MCBARL, R_MCBARL_INDEXPOS_MASK |
                 R_MCBARL_BASE_MASK);
    pci_set_long(wmask + A_MCBARH, UINT32_MAX);
    pci_set_long(wmask + A_MCRCVL, groups);
    pci_set_long(wmask + A_MCBLKALLL, groups);
    pci_set_long(wmask + A_MCBLKUTL, groups);
}

/* On a machine without MSI, the function has only INTx */
static bool init_msi(PCIDevice *pci, Error **errp)
{
    Error *err = NULL;

    if (msi_init(pci, IDT_CAP_MSI, 1, true, false, &err) == -ENOTSUP) {
        error_free(err);
        return true;
    }
    error_propagate(errp, err);
    return !err;
}

/*
 * The order of the calls makes the guest find the capabilities in that of the
 * chip: QEMU prepends a capability to its list, but appends an extended one.
 */
bool idt_ntb_caps_init(PCIDevice *pci, uint16_t device_id, Error **errp)
{
    const uint64_t serial = (uint64_t)PCI_VENDOR_ID_IDT << 48 |
                            (uint64_t)device_id << 32;

    /* QEMU makes all bytes writable; capabilities set their own masks */
    memset(pci->wmask + PCI_CONFIG_HEADER_SIZE, 0,
           IDT_NT_CFG_SIZE - PCI_CONFIG_HEADER_SIZE);

    if (pci_bridge_ssvid_init(pci, IDT_CAP_SSVID, PCI_VENDOR_ID_IDT,
                              device_id, errp) < 0 ||
        !init_msi(pci, errp) ||
        pci_pm_init(pci, IDT_CAP_PM, errp) < 0 ||
        pcie_cap_init(pci, IDT_CAP_PCIE, PCI_EXP_TYPE_ENDPOINT, 0, errp) < 0) {
        return false;
    }
    init_power(pci);
    init_pcie(pci);

    if (pcie_aer_init(pci, PCI_ERR_VER, IDT_CAP_AER, PCI_ERR_SIZEOF,
                      errp) < 0) {
        return false;
    }
    pcie_dev_ser_num_init(pci, IDT_CAP_DSN, serial);
    init_vc(pci);
    /* No control bits: a device with one function has nothing to control */
    pcie_add_capability(pci, PCI_EXT_CAP_ID_ACS, PCI_ACS_VER, IDT_CAP_ACS,
                        PCI_ACS_SIZEOF);
    init_multicast(pci);
    return true;
}

void idt_ntb_caps_set_link(PCIDevice *pci, unsigned width, unsigned speed)
{
    uint8_t *lnksta = pci->config + IDT_CAP_PCIE + PCI_EXP_LNKSTA;
    uint16_t other = pci_get_word(lnksta) &
                     ~(PCI_EXP_LNKSTA_NLW | PCI_EXP_LNKSTA_CLS);

    pci_set_word(lnksta, other | QEMU_PCI_EXP_LNKSTA_NLW(width) |
                 QEMU_PCI_EXP_LNKSTA_CLS(speed));
}

IdtNtbResetKind idt_ntb_caps_reset_kind(PCIDevice *pci)
{
    BusState *bus = qdev_get_parent_bus(DEVICE(pci));
    DeviceState *top = NULL;

    if (pci_get_word(pci->config + IDT_CAP_PCIE + PCI_EXP_DEVCTL) &
        PCI_EXP_DEVCTL_BCR_FLR) {
        return IDT_NTB_RESET_FUNCTION;
    }
    while (bus && bus->parent) {
        top = bus->parent;
        bus = qdev_get_parent_bus(top);
    }
    /* Only a fundamental reset holds the device above the root bus in reset */
    return top && resettable_is_in_reset(OBJECT(top)) ?
           IDT_NTB_RESET_FUNDAMENTAL : IDT_NTB_RESET_HOT;
}

void idt_ntb_caps_reset(PCIDevice *pci, const uint32_t *cfg)
{
    /* Registers that QEMU's reset of PCI devices does not change */
    static const struct {
        IdtNtbResetKind from;   /* the first kind that resets them */
        uint16_t offset;
        uint16_t size;          /* bytes */
    } ranges[] = {
        { IDT_NTB_RESET_FUNCTION, IDT_CAP_PCIE + PCI_EXP_DEVSTA, 2 },
        { IDT_NTB_RESET_FUNCTION, IDT_CAP_MCAST,
          PCI_EXT_CAP_MCAST_ENDPOINT_SIZEOF },
        { IDT_NTB_RESET_HOT, IDT_CAP_PCIE + PCI_EXP_LNKCTL, 2 },
        { IDT_NTB_RESET_HOT, IDT_CAP_VC, VC_SIZE },
        { IDT_NTB_RESET_FUNDAMENTAL, IDT_CAP_PCIE + PCI_EXP_LNKCTL2, 2 },
        { IDT_NTB_RESET_FUNDAMENTAL, IDT_CAP_AER, PCI_ERR_SIZEOF },
    };
    IdtNtbResetKind kind = idt_ntb_caps_reset_kind(pci);

    pcie_cap_deverr_reset(pci);
    for (unsigned i = 0; i < ARRAY_SIZE(ranges); i++) {
        unsigned end = ranges[i].offset + ranges[i].size;

        if (kind < ranges[i].from) {
            continue;
        }
        for (unsigned at = ranges[i].offset; at < end; at++) {
            pci->config[at] = extract32(cfg[at / 4], at % 4 * 8, 8);
        }
    }
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
