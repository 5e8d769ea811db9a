/*
 * QTest testcase for idt-ntb: tests of peers that are also run on other hosts
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_QTEST_IDT_NTB_PEERS_H
#define TESTS_QTEST_IDT_NTB_PEERS_H

void ntb_test_signals(void);
void ntb_test_full_eventfd(void);
void ntb_test_idle_signals(void);

#endif
