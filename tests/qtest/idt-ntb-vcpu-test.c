/*
 * QTest testcase for idt-ntb: what stops a QEMU between two instructions
 *
 * The tests are in idt-ntb-extra/; each file adds its own with libqos_init().
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "idt-ntb/harness.h"

int main(int argc, char **argv)
{
    return ntb_main(argc, argv);
}
