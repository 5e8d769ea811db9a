/*
 * IDT 89HPESxNTx PCIe switch: errors of the NT function
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "hw/pci/pcie.h"
#include "hw/pci/pcie_aer.h"
#include "config.h"
#include "errors.h"
#include "port.h"
#include "trace.h"

/* Header of a memory request; DW2 and DW3 are the address */
FIELD(TLP_DW0, LENGTH, 0, 10)           /* in dwords */
FIELD(TLP_DW0, FMT_ADDR64, 29, 1)
FIELD(TLP_DW0, FMT_DATA, 30, 1)         /* a write */
FIELD(TLP_DW1, FIRST_BE, 0, 4)
FIELD(TLP_DW1, LAST_BE, 4, 4)           /* 0 if it is the first one */

/* The requester is the root complex, with ID 0 and tag 0: see REQIDCAP */
static void make_tlp(uint32_t tlp[IDT_NTB_TLP_DWORDS], uint64_t addr,
                     unsigned len, bool is_write)
{
    unsigned first = addr % 4;
    unsigned dwords = DIV_ROUND_UP(first + len, 4);
    uint32_t lanes = MAKE_64BIT_MASK(first, len);
    bool is_64bit = addr > UINT32_MAX;
    uint32_t lower = addr & ~3;

    tlp[0] = FIELD_DP32(0, TLP_DW0, LENGTH, dwords);
    tlp[0] = FIELD_DP32(tlp[0], TLP_DW0, FMT_ADDR64, is_64bit);
    tlp[0] = FIELD_DP32(tlp[0], TLP_DW0, FMT_DATA, is_write);
    tlp[1] = FIELD_DP32(0, TLP_DW1, FIRST_BE, extract32(lanes, 0, 4));
    if (dwords > 1) {
        tlp[1] = FIELD_DP32(tlp[1], TLP_DW1, LAST_BE,
                            extract32(lanes, 4 * (dwords - 1), 4));
    }
    tlp[2] = is_64bit ? addr >> 32 : lower;
    tlp[3] = is_64bit ? lower : 0;
}

static uint32_t aer_get(const PCIDevice *pci, unsigned reg)
{
    return pci_get_long(pci->config + IDT_CAP_AER + reg);
}

/* True if a completion tells the requester, which then reports it. */
static bool is_advisory(const IdtNtbErrors *e, uint32_t error, bool is_write)
{
    return error == PCI_ERR_UNC_UNSUP && !is_write &&
           !(aer_get(e->pci, PCI_ERR_UNCOR_SEVER) & error);
}

/* True if reporting @error, a single bit, would change nothing. */
static bool is_reported(const IdtNtbErrors *e, uint32_t error, bool is_write)
{
    if (aer_get(e->pci, PCI_ERR_UNCOR_STATUS) & error) {
        return true;
    }
    /* A masked advisory error leaves that bit only */
    return is_advisory(e, error, is_write) &&
           aer_get(e->pci, PCI_ERR_COR_MASK) & PCI_ERR_COR_ADV_NONFATAL &&
           aer_get(e->pci, PCI_ERR_COR_STATUS) & PCI_ERR_COR_ADV_NONFATAL;
}

void idt_ntb_errors_unsupported(IdtNtbErrors *e, uint64_t addr, unsigned len,
                                bool is_write)
{
    if (e->noted & PCI_ERR_UNC_UNSUP ||
        is_reported(e, PCI_ERR_UNC_UNSUP, is_write)) {
        return;
    }
    e->noted |= PCI_ERR_UNC_UNSUP;
    e->noted_write = is_write;
    make_tlp(e->noted_tlp, addr, len, is_write);
}

void idt_ntb_errors_timeout(IdtNtbErrors *e)
{
    if (!is_reported(e, PCI_ERR_UNC_COMP_TIME, false)) {
        e->noted |= PCI_ERR_UNC_COMP_TIME;
    }
}

void idt_ntb_errors_repair(IdtNtbErrors *e)
{
    pci_set_long(e->pci->config + A_PCIELCAP,
                 idt_ntb_config_reset_cfg(e->sw, e->sw->slot, A_PCIELCAP));
}

static void inject(IdtNtbErrors *e, PCIEAERErr *err)
{
    if (!e->sw->shm) {
        return;                 /* the last message has unplugged us */
    }
    trace_idt_ntb_error(e->sw->port, err->flags & PCIE_AER_ERR_IS_CORRECTABLE,
                        err->status);
    err->source_id = pci_requester_id(e->pci);
    pcie_aer_inject_error(e->pci, err);
    if (e->sw->shm) {
        idt_ntb_errors_repair(e);
    }
}

static void inject_noted(IdtNtbErrors *e, uint32_t noted)
{
    PCIEAERErr unsupported = {
        .status = PCI_ERR_UNC_UNSUP,
        .flags = PCIE_AER_ERR_HEADER_VALID,
    };
    PCIEAERErr timeout = { .status = PCI_ERR_UNC_COMP_TIME };

    if (noted & PCI_ERR_UNC_UNSUP) {
        if (is_advisory(e, PCI_ERR_UNC_UNSUP, e->noted_write)) {
            unsupported.flags |= PCIE_AER_ERR_MAYBE_ADVISORY;
        }
        for (unsigned i = 0; i < IDT_NTB_TLP_DWORDS; i++) {
            /* It logs big-endian dwords; the registers are little-endian */
            unsupported.header[i] = bswap32(e->noted_tlp[i]);
        }
        inject(e, &unsupported);
    }
    if (noted & PCI_ERR_UNC_COMP_TIME) {
        inject(e, &timeout);
    }
}

static void inject_emulated(IdtNtbErrors *e, uint32_t errors, uint16_t flags)
{
    for (unsigned n = 0; n < 32; n++) {
        PCIEAERErr err = { .status = BIT(n), .flags = flags };

        if (errors & BIT(n)) {
            inject(e, &err);
        }
    }
}

static uint32_t take(uint32_t *word)
{
    return qatomic_read(word) ? qatomic_xchg(word, 0) : 0;
}

void idt_ntb_errors_report(IdtNtbErrors *e)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(e->sw, e->sw->slot);
    uint32_t noted, uncor, cor;

    if (!e->noted && !qatomic_read(&p->ntueem) && !qatomic_read(&p->ntceem)) {
        return;
    }
    object_ref(OBJECT(e->pci));
    /* Take them before reporting: a message can cause an access to us */
    noted = e->noted;
    e->noted = 0;
    uncor = take(&p->ntueem);
    cor = take(&p->ntceem);
    inject_noted(e, noted);
    /* A port may have written any bits: QEMU knows these */
    inject_emulated(e, uncor & PCI_ERR_UNC_SUPPORTED, 0);
    inject_emulated(e, cor & PCI_ERR_COR_SUPPORTED,
                    PCIE_AER_ERR_IS_CORRECTABLE);
    if (e->sw->shm) {
        idt_ntb_port_publish(e->sw, e->pci->config);
    }
    object_unref(OBJECT(e->pci));
}

void idt_ntb_errors_reset(IdtNtbErrors *e)
{
    e->noted = 0;
}
