/*
 * QTest testcase for idt-ntb: a guest that runs
 *
 * qtest accesses memory from QEMU's main loop.  Where it matters that a vCPU
 * does, with all that it remembers of the address space, the guest is a few
 * instructions in place of the firmware, under TCG, that do what they are told.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_QTEST_IDT_NTB_VCPU_H
#define TESTS_QTEST_IDT_NTB_VCPU_H

#include "idt-ntb/window.h"

/* All BARs can be reached with 32 bits */
#define VCPU_PROPS ",bar2-64bit=off,bar4-64bit=off"

/* Skips the case, and returns false, if this QEMU has no TCG */
bool vcpu_possible(void);

/* QEMU's command line, valid until the next call */
const char *vcpu_args(void);

/* A load or a store of 1, 2, 4 or 8 bytes, with any alignment */
uint64_t vcpu_read(NtbPort *p, uint64_t addr, unsigned size);
void vcpu_write(NtbPort *p, uint64_t addr, unsigned size, uint64_t value);

/* "rep movsb"; the first one is over when vcpu_is_done() */
void vcpu_copy_begin(NtbPort *p, uint64_t to, uint64_t from, uint32_t bytes);
void vcpu_copy(NtbPort *p, uint64_t to, uint64_t from, uint32_t bytes);

/*
 * Read @addr until one of @bits is set there, then load 32 bits at @data;
 * vcpu_awaited() waits for that, and is what was loaded.
 */
void vcpu_await(NtbPort *p, uint64_t addr, uint32_t bits, uint64_t data);
uint32_t vcpu_awaited(NtbPort *p);

/*
 * Store @first, @first + 1 and so on in @words words from @addr on, with
 * @delay (at least 1) turns of an empty loop after each, until vcpu_is_done()
 */
void vcpu_fill(NtbPort *p, uint64_t addr, uint32_t first, uint32_t words,
               uint32_t delay);
bool vcpu_is_done(NtbPort *p);

/*
 * Store a 32-bit counter at @addr, over and over, until vcpu_stop().
 * vcpu_count() is what has been stored so far.
 */
void vcpu_start(NtbPort *p, uint64_t addr);
void vcpu_stop(NtbPort *p);
uint32_t vcpu_count(NtbPort *p);

/*
 * Stop the vCPU's thread where it is, be it in a block of code, but not the
 * rest of its QEMU; let it go on.  vcpu_freeze_possible() skips the case, and
 * returns false, if this host does not let us do that.
 */
bool vcpu_freeze_possible(void);
pid_t vcpu_thread(NtbPort *p);
void vcpu_freeze(pid_t thread);
void vcpu_thaw(pid_t thread);

#endif
