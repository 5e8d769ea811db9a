/*
 * QTest testcase for idt-ntb: a hostile client of the server
 *
 * A process that connects to the server as a port does, and then does the worst
 * it can: it writes random and nasty values into each part of the shared
 * memory, answers requests wrong, late and never, sends some of its own, floods
 * and blocks eventfds, steals signals, and takes locks.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_QTEST_IDT_NTB_HOSTILE_H
#define TESTS_QTEST_IDT_NTB_HOSTILE_H

#include "idt-ntb/harness.h"

/*
 * Starts the process, which goes on until it is killed.  @victims: the QEMUs
 * whose RAM it tries to have mapped.
 */
pid_t hostile_start(NtbServer *server, uint32_t seed,
                    const pid_t victims[2]);

#endif
