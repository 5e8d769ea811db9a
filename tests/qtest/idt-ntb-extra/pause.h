/*
 * QTest testcase for idt-ntb: stop a QEMU between two instructions
 *
 * A race is not hoped for but forced: ptrace() stops QEMU right after it has
 * written, or read, a word of the shared memory; the test lets the other side
 * act, and lets QEMU go on.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_QTEST_IDT_NTB_PAUSE_H
#define TESTS_QTEST_IDT_NTB_PAUSE_H

#include "idt-ntb/harness.h"

typedef enum PauseOn {
    PAUSE_ON_WRITE,
    PAUSE_ON_ACCESS,
} PauseOn;

typedef struct Pause {
    pid_t qemu;
    pid_t writer;               /* the process that waits for QEMU's answer */
    const void *word;           /* of the test's mapping */
    unsigned size;
    uint64_t watched;           /* the word's address in QEMU */
    uint64_t syscall_insn;      /* address of such an instruction in QEMU */
    int signo;                  /* what QEMU gets when it goes on */
} Pause;

/* True when this host lets us do that; else the case is skipped */
bool pause_possible(void);

/*
 * Let a child write @value to register @offset of @p, and stop QEMU after the
 * first access @on to @word (a uint32_t, or with @size 8 a uint64_t, of
 * @server's memory) in that.  A write counts when the word's value changes.
 *
 * Returns: false when the write is over and QEMU was not stopped.
 */
bool pause_in_write(Pause *pause, NtbServer *server, NtbPort *p,
                    uint32_t offset, uint32_t value, const void *word,
                    unsigned size, PauseOn on);

/* Let QEMU go on to its next access to the word.  Returns: as above */
bool pause_next_access(Pause *pause);

/*
 * The same for the attach of a device that @plug starts in @qts, where the
 * memory gets mapped only then.  @word is of 4 bytes.
 */
void pause_in_attach(Pause *pause, NtbServer *server, QTestState *qts,
                     void (*plug)(QTestState *qts), const void *word);

/*
 * Stop QEMU for what follows, and let it go on until it has tested the lock
 * (F_OFD_GETLK) of byte @offset of the memory.
 */
void pause_now(Pause *pause, QTestState *qts);
void pause_after_lock_test(Pause *pause, uint64_t offset);

/* Let QEMU execute @instructions, then stop again */
void pause_step(Pause *pause, unsigned instructions);

/* Let QEMU go on, and wait until the write is done */
void pause_end(Pause *pause);

/* kill -9; the QTestState is left to ntb_kill_qemu() */
void pause_kill(Pause *pause);

#endif
