/*
 * QTest testcase for idt-ntb: the views of a function's registers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_QTEST_IDT_NTB_VIEWS_H
#define TESTS_QTEST_IDT_NTB_VIEWS_H

#include "idt-ntb/fixture.h"

/* Configuration cycles, BAR0, global address space */
typedef enum View {
    VIEW_CONFIG,
    VIEW_BAR,
    VIEW_GAS,           /* the port's own window */
    VIEW_PEER,          /* the same through ports[0] */
    VIEW_MAX,
} View;

/* A register of ports[1] */
uint32_t view_read(NtbFixture *f, View view, uint32_t offset);
void view_write(NtbFixture *f, View view, uint32_t offset, uint32_t value);

/* It reads as @value in all views */
void assert_all_views(NtbFixture *f, uint32_t offset, uint32_t value);

#endif
