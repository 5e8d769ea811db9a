/*
 * IDT 89HPESxNTx PCIe switch: translation of BAR offsets
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "bars.h"
#include "translate.h"

/* BARLIMIT has no bits below this: they count as ones */
#define BARLIMIT_ONES   0x3ffULL

uint64_t idt_ntb_translate_bar_addr(const IdtNtbSwitch *sw,
                                    const PCIDevice *pci, unsigned bar)
{
    const uint8_t *reg = pci->config + PCI_BASE_ADDRESS_0 + bar * 4;
    uint64_t addr = pci_get_long(reg) & PCI_BASE_ADDRESS_MEM_MASK;

    if (idt_ntb_bar_is_64bit(sw->barsetup[bar])) {
        addr |= (uint64_t)pci_get_long(reg + 4) << 32;
    }
    return addr;
}

/* Cuts @t at offset @valid, from which on nothing is. */
static void cut_translation(IdtNtbTranslation *t, uint64_t offset,
                            uint64_t valid)
{
    t->ok = offset < valid;
    if (t->ok) {
        t->end = valid;
    } else {
        t->start = valid;
    }
}

/* BARLIMIT and the bases are compared and added as bus addresses. */
static void translate_direct(const IdtNtbSwitch *sw, const PCIDevice *pci,
                             unsigned bar, uint64_t offset,
                             IdtNtbTranslation *t)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, sw->slot);
    uint64_t bar_addr = idt_ntb_translate_bar_addr(sw, pci, bar);
    uint64_t limit = qatomic_read(&p->barlimit[bar]) | BARLIMIT_ONES;
    uint64_t size = idt_ntb_bar_size(sw->barsetup[bar]);

    if (idt_ntb_bar_is_64bit(sw->barsetup[bar])) {
        limit |= (uint64_t)qatomic_read(&p->barlimit[bar + 1]) << 32;
    }
    t->slot = idt_ntb_switch_find_nt(sw,
                                     FIELD_EX32(qatomic_read(&p->barsetup[bar]),
                                                BARSETUP0, TPART));
    t->addr = deposit64(qatomic_read(&p->barltbase[bar]), 32, 32,
                        qatomic_read(&p->barutbase[bar]));
    t->start = 0;
    t->end = size;
    t->ok = limit >= bar_addr;
    if (t->ok && limit - bar_addr < size - 1) {
        cut_translation(t, offset, limit - bar_addr + 1);
    }
}

static void translate_lut(const IdtNtbSwitch *sw, unsigned bar,
                          uint64_t offset, IdtNtbTranslation *t)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, sw->slot);
    uint32_t barsetup = sw->barsetup[bar];
    uint64_t size = idt_ntb_bar_size(barsetup) / idt_ntb_bar_segments(barsetup);
    unsigned n = offset / size;
    uint32_t udata;

    t->start = n * size;
    t->end = t->start + size;
    t->ok = n < idt_ntb_bar_windows(barsetup);
    if (t->ok) {
        uint32_t *entry = p->lut[idt_ntb_switch_lut(bar)][n];

        t->addr = deposit64(qatomic_read(&entry[0]), 32, 32,
                            qatomic_read(&entry[1]));
        udata = qatomic_read(&entry[2]);
        t->ok = FIELD_EX32(udata, LUTUDATA, VALID);
        t->slot = idt_ntb_switch_find_nt(sw, FIELD_EX32(udata, LUTUDATA, PART));
    }
}

void idt_ntb_translate_offset(const IdtNtbSwitch *sw, const PCIDevice *pci,
                              unsigned bar, uint64_t offset,
                              IdtNtbTranslation *t)
{
    if (idt_ntb_bar_segments(sw->barsetup[bar]) == 1) {
        translate_direct(sw, pci, bar, offset, t);
    } else {
        translate_lut(sw, bar, offset, t);
    }
    t->ok = t->ok && t->slot >= 0;
    /* The address space ends at 2^64 */
    if (t->ok && t->end - t->start - 1 > UINT64_MAX - t->addr) {
        cut_translation(t, offset, t->start + (UINT64_MAX - t->addr) + 1);
    }
}
