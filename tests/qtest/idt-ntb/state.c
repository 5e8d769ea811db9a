/*
 * QTest testcase for idt-ntb: the state of a port as others see it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/wait.h>
#include "qemu/atomic.h"
#include "hw/misc/idt_ntb/shm.h"
#include "hw/pci/pci_regs.h"
#include "harness.h"

void ntb_listen_to_links(NtbPort *p)
{
    ntb_unmask_all(p);
    ntb_write(p, A_NTINTSTS, UINT32_MAX);
    ntb_write(p, A_INDBELLSTS, UINT32_MAX);
    ntb_write(p, A_MSGSTS, UINT32_MAX);
    ntb_gas_write(p, A_SELINKUPSTS, UINT32_MAX);
    ntb_gas_write(p, A_SELINKDNSTS, UINT32_MAX);
    ntb_settle(p->qts);
    ntb_msi_clear(p);
}

void ntb_assert_link_events(NtbPort *p, uint32_t down, uint32_t up)
{
    ntb_wait(ntb_gas_read(p, A_SELINKDNSTS) == down &&
             ntb_gas_read(p, A_SELINKUPSTS) == up);
    ntb_assert_msi(p);
    g_assert_cmphex(ntb_read(p, A_NTINTSTS), ==, R_NTINTSTS_SEVENT_MASK);
    ntb_listen_to_links(p);
}

bool ntb_link_up(NtbPort *p, unsigned port)
{
    return ntb_gas_read(p, ntb_gas_portsts(port)) & R_SWPORT0STS_LINKUP_MASK;
}

void ntb_dirty(NtbPort *p)
{
    ntb_write(p, A_NTCTL, 0xf);
    ntb_write(p, A_NTSDATA, 0xdeadbeef);
    ntb_write(p, A_NTINTMSK, 0);
    ntb_write(p, A_INDBELLMSK, 0x12345678);
    ntb_write(p, A_OUTDBELLSET, 0xffff);
    ntb_write(p, A_MSGSTSMSK, 0);
    for (unsigned n = 0; n < IDT_NUM_MESSAGES; n++) {
        ntb_route_message(p, n, p->partition, n);
        ntb_write(p, A_OUTMSG0 + 4 * n, 0x77 + n);
        ntb_write(p, A_OUTMSG0 + 4 * n, 0x77 + n);
    }
    ntb_write(p, A_NTMTBLADDR, p->partition);
    ntb_write(p, A_NTMTBLDATA, R_NTMTBLDATA_VALID_MASK |
                               p->partition << R_NTMTBLDATA_PART_SHIFT);
    ntb_write(p, A_NTMTBLADDR, 0x33);
    ntb_write(p, A_GASAADDR, A_SEMSK);
}

void ntb_assert_clean(NtbPort *viewer, unsigned port)
{
    static const struct {
        uint32_t offset, value;
    } reset[] = {
        { A_NTCTL, 0 }, { A_NTINTMSK, 0xbb },
        { A_NTSDATA, 0 }, { A_INDBELLSTS, 0 }, { A_INDBELLMSK, UINT32_MAX },
        { A_OUTMSG0, 0 }, { A_OUTMSG0 + 12, 0 }, { A_INMSG0, 0 },
        { A_INMSG0 + 12, 0 }, { A_INMSGSRC0, 0 }, { A_INMSGSRC0 + 12, 0 },
        { A_MSGSTS, 0 }, { A_MSGSTSMSK, 0x000f000f }, { A_NTMTBLADDR, 0 },
        { A_BARSETUP0, 0x800004c0 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(reset); i++) {
        g_assert_cmphex(ntb_gas_read(viewer, ntb_gas_nt(port, reset[i].offset)),
                        ==, reset[i].value);
    }
    /* Its own link may have come up, whoever listens */
    g_assert_cmphex(ntb_gas_read(viewer, ntb_gas_nt(port, A_NTINTSTS)) &
                    ~R_NTINTSTS_SEVENT_MASK, ==, 0);
    g_assert_cmphex(ntb_gas_read(viewer, ntb_gas_nt(port, PCI_COMMAND)) &
                    0xffff, ==, 0);
}

uint32_t ntb_mapping_entry(NtbPort *p, unsigned entry)
{
    ntb_write(p, A_NTMTBLADDR, entry);
    return ntb_read(p, A_NTMTBLDATA);
}
