/*
 * QTest testcase for idt-ntb: control of ports and partitions
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "control.h"

void set_port(NtbPort *by, unsigned port, uint32_t ctl)
{
    uint32_t sts = ntb_gas_portsts(port);

    ntb_gas_write(by, port_reg(port, A_SWPORT0CTL), ctl);
    g_assert_cmphex(ntb_gas_read(by, sts) & OMCI, ==, OMCI);
    ntb_wait(ntb_gas_read(by, sts) & OMCC);
    ntb_gas_write(by, sts, OMCI | OMCC);
    g_assert_cmphex(ntb_gas_read(by, sts) & (OMCI | OMCC), ==, 0);
    g_assert_cmphex(ntb_gas_read(by, port_reg(port, A_SWPORT0CTL)), ==, ctl);
}

void set_partition(NtbPort *by, unsigned part, uint32_t state)
{
    uint32_t sts = ntb_gas_partsts(part);

    ntb_gas_write(by, part_reg(part, A_SWPART0CTL), state);
    g_assert_cmphex(ntb_gas_read(by, sts) & SCI, ==, SCI);
    ntb_wait(ntb_gas_read(by, sts) & SCC);
    ntb_gas_write(by, sts, SCI | SCC);
    g_assert_cmphex(ntb_gas_read(by, sts) & (SCI | SCC), ==, 0);
    g_assert_cmpuint(FIELD_EX32(ntb_gas_read(by, sts), SWPART0STS, STATE), ==,
                     state);
    g_assert_cmphex(ntb_gas_read(by, part_reg(part, A_SWPART0CTL)), ==, state);
}
