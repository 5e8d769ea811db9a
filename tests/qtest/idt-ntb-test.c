/*
 * QTest testcase for idt-ntb, the IDT 89HPES*NT*G2 non-transparent bridge
 *
 * The tests are in idt-ntb/; each file adds its own with libqos_init().
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "idt-ntb/harness.h"

int main(int argc, char **argv)
{
    return ntb_main(argc, argv);
}
