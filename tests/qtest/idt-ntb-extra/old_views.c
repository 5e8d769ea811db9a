/*
 * QTest testcase for idt-ntb: the views of a function's registers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "old_views.h"

NtbPort *self, *peer;

void ntb_views_boot(NtbServer *server)
{
    self = ntb_boot(server, ",port=2");
    peer = ntb_boot(server, ",port=0");
}

void ntb_views_quit(void)
{
    ntb_quit(self);
    ntb_quit(peer);
}

uint32_t view_read(View view, uint32_t offset)
{
    switch (view) {
    case VIEW_CONFIG:
        return ntb_cfg_read(self, offset);
    case VIEW_BAR:
        return ntb_read(self, offset);
    case VIEW_GAS:
        return ntb_gas_read(self, ntb_gas_nt(self->port, offset));
    case VIEW_PEER:
        return ntb_gas_read(peer, ntb_gas_nt(self->port, offset));
    default:
        g_assert_not_reached();
    }
}

void view_write(View view, uint32_t offset, uint32_t value)
{
    switch (view) {
    case VIEW_CONFIG:
        ntb_cfg_write(self, offset, value);
        break;
    case VIEW_BAR:
        ntb_write(self, offset, value);
        break;
    case VIEW_GAS:
        ntb_gas_write(self, ntb_gas_nt(self->port, offset), value);
        break;
    case VIEW_PEER:
        ntb_gas_write(peer, ntb_gas_nt(self->port, offset), value);
        break;
    default:
        g_assert_not_reached();
    }
}

void assert_all_views(uint32_t offset, uint32_t value)
{
    for (View view = 0; view < VIEW_MAX; view++) {
        g_assert_cmphex(view_read(view, offset), ==, value);
    }
}
