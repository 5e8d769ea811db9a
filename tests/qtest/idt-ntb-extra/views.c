/*
 * QTest testcase for idt-ntb: the views of a function's registers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "views.h"

uint32_t view_read(NtbFixture *f, View view, uint32_t offset)
{
    NtbPort *self = f->ports[1];

    switch (view) {
    case VIEW_CONFIG:
        return ntb_cfg_read(self, offset);
    case VIEW_BAR:
        return ntb_read(self, offset);
    case VIEW_GAS:
        return ntb_gas_read(self, ntb_gas_nt(self->port, offset));
    case VIEW_PEER:
        return ntb_gas_read(f->ports[0], ntb_gas_nt(self->port, offset));
    default:
        g_assert_not_reached();
    }
}

void view_write(NtbFixture *f, View view, uint32_t offset, uint32_t value)
{
    NtbPort *self = f->ports[1];

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
        ntb_gas_write(f->ports[0], ntb_gas_nt(self->port, offset), value);
        break;
    default:
        g_assert_not_reached();
    }
}

void assert_all_views(NtbFixture *f, uint32_t offset, uint32_t value)
{
    for (View view = 0; view < VIEW_MAX; view++) {
        g_assert_cmphex(view_read(f, view, offset), ==, value);
    }
}
