/*
 * QTest testcase for idt-ntb: memory windows
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_QTEST_IDT_NTB_WINDOW_H
#define TESTS_QTEST_IDT_NTB_WINDOW_H

#include "harness.h"

/* The windows of a port that has no properties for them */
#define WIN_DIRECT32    1
#define WIN_LUT24       2
#define WIN_DIRECT64    4

#define WIN_SIZE        (1 * MiB)       /* of each of them, or LUT entry */

#define WIN_RAM_SIZE    (64 * MiB)      /* of each q35 */
#define WIN_X           (16 * MiB)      /* what windows show, if all the same */

/* How the other port's RAM is reached.  The guests see no difference */
typedef enum WinPath {
    WIN_SHARED,                 /* by an alias of it */
    WIN_FORCED,                 /* it could, but direct=off */
    WIN_PLAIN,                  /* it is not shared */
    WIN_NUM_PATHS,
} WinPath;

/* The port connects again to a server that comes back */
#define WIN_CHARDEV     ",reconnect-ms=20"

extern const char *const win_path_names[WIN_NUM_PATHS];

/* ntb_next_machine(), with RAM as @path asks for it */
char *win_next_machine(WinPath path);

/* The path of windows into @p's guest: its machine may rule out some */
WinPath win_path_to(NtbPort *p, WinPath path);

/*
 * Start a QEMU with one idt-ntb, its BARs programmed and its windows admitted,
 * none of them open.  @args: NULL, or more of QEMU's command line; @props:
 * NULL, or properties, each after a comma.  The completion timeout is long.
 */
NtbPort *win_boot(NtbServer *server, WinPath path, const char *args,
                  const char *props);

/* Properties of a device of @path, each after a comma; as JSON to plug it */
const char *win_path_props(WinPath path);
const char *win_plug_props(WinPath path);

/* As ntb_open_plugged(), with windows */
NtbPort *win_open_plugged(QTestState *qts);

/*
 * BARs
 */

/* As ntb_setup_function(), then place all BARs, admit and enable the port */
void win_setup_function(NtbPort *p);

/* Read from BARSETUP; the size is 0 when it is off */
uint64_t win_bar_size(NtbPort *p, unsigned bar);
bool win_bar_is_64bit(NtbPort *p, unsigned bar);

/* Where it is; put it elsewhere */
uint64_t win_bar(NtbPort *p, unsigned bar);
void win_place(NtbPort *p, unsigned bar, uint64_t address);

/* Where win_setup_function() puts it */
uint64_t win_bar_home(NtbPort *p, unsigned bar);

/*
 * Registers, the way the Linux driver programs them
 */

/* The mapping table entry of the partition of @p, in the table that all see */
void win_admit(NtbPort *p, bool admit);

uint32_t win_reg(unsigned bar, uint32_t bar0_reg);

/* Target and size of a direct window; open is what the limit makes it */
void win_aim(NtbPort *p, unsigned bar, unsigned partition, uint64_t x);
void win_limit(NtbPort *p, unsigned bar, uint64_t limit);
void win_open(NtbPort *p, unsigned bar, unsigned partition, uint64_t x);
void win_close(NtbPort *p, unsigned bar);

void win_open_lut(NtbPort *p, unsigned bar, unsigned entry, unsigned partition,
                  uint64_t x);
void win_close_lut(NtbPort *p, unsigned bar, unsigned entry);

/*
 * Data.  @addr is an address in @a's guest that is meant to show the address @x
 * of @b's guest.
 */

/* A number that no other call returned; no byte of it is 0xff or 0 */
uint64_t win_value(void);

/* Wait until the writes that were posted to @p have arrived */
void win_sync(NtbPort *p);

/* All bytes are the same: what was read, and what is where it went to */
void win_assert_hits(NtbPort *a, uint64_t addr, NtbPort *b, uint64_t x,
                     unsigned size);

/* All sizes of accesses, at both ends of and within 64 bytes */
void win_assert_shows(NtbPort *a, uint64_t addr, NtbPort *b, uint64_t x);

/* All ones; and what is written does not come to @x */
void win_assert_misses(NtbPort *a, uint64_t addr, NtbPort *b, uint64_t x,
                       unsigned size);
void win_assert_hides(NtbPort *a, uint64_t addr, NtbPort *b, uint64_t x);

/* QOM: how many aliases the port has of others' RAM */
unsigned win_mappings(NtbPort *p);

/* There are mappings only if the path has them */
void win_assert_path(NtbPort *p, WinPath path);

#endif
