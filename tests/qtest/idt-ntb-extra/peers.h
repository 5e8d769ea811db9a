/*
 * QTest testcase for idt-ntb: tests of peers that are also run on other hosts
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_QTEST_IDT_NTB_PEERS_H
#define TESTS_QTEST_IDT_NTB_PEERS_H

#include "idt-ntb/fixture.h"

/* Start a fake server and port 0; the tests need this */
void peers_prepare(NtbFixture *f);

void peers_test_signals(NtbFixture *f);
void peers_test_full_eventfd(NtbFixture *f);
void peers_test_idle_signals(NtbFixture *f);

#endif
