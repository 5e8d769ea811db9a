/*
 * QTest testcase for idt-ntb: the views of a function's registers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_QTEST_IDT_NTB_OLD_VIEWS_H
#define TESTS_QTEST_IDT_NTB_OLD_VIEWS_H

#include "idt-ntb/harness.h"

/* Configuration cycles, BAR0, global address space */
typedef enum View {
    VIEW_CONFIG,
    VIEW_BAR,
    VIEW_GAS,           /* the port's own window */
    VIEW_PEER,          /* the same through another port */
    VIEW_MAX,
} View;

/* Whose registers are looked at, and the other port */
extern NtbPort *self, *peer;

/* Start and end both, as ports of @server */
void ntb_views_boot(NtbServer *server);
void ntb_views_quit(void);

/* A register of @self */
uint32_t view_read(View view, uint32_t offset);
void view_write(View view, uint32_t offset, uint32_t value);

/* It reads as @value in all views */
void assert_all_views(uint32_t offset, uint32_t value);

#endif
