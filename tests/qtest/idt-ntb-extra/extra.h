/*
 * QTest testcase for idt-ntb: what only the tests here share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_QTEST_IDT_NTB_EXTRA_H
#define TESTS_QTEST_IDT_NTB_EXTRA_H

#include "idt-ntb/fixture.h"

/*
 * Processes
 */

/* No server: the test starts its own, or needs none */
NtbServer *ntb_no_server(void);

/* The server in a child process, which can be killed */
NtbServer *ntb_server_start_process(void);

/* Kill a server in a child process */
void ntb_server_kill(NtbServer *server);

/* A new process for a killed server; finds socket and memory as left */
void ntb_server_restart(NtbServer *server);

/* The same, but with memory of its own: somebody removed the old one */
void ntb_server_restart_empty(NtbServer *server);

/*
 * QEMU 11.0 does not outlive a failed attempt of a chardev with reconnect-ms=
 * to connect.  Skip the running test there, and return false.
 */
bool ntb_reconnects(void);

/* True if @words are in the file @log */
bool ntb_is_logged(const char *log, const char *words);

/*
 * Random numbers, and a message with @what and their seed.  Repeat a run with
 * --seed, which g_test_rand_int() is made from.
 */
GRand *ntb_random(const char *what);

/*
 * Assert that QEMU refuses a device whose chardev has the socket @path and
 * @options, with one of @words
 */
void ntb_assert_socket_refused(const char *path, const char *options,
                               const char *words);

/* Set a QOM property of the device; @value is JSON */
void ntb_set_property(NtbPort *p, const char *name, const char *value);

/* Function level reset */
void ntb_function_reset(NtbPort *p);

/* Set or clear Bus Master Enable; Memory Space Enable is set */
void ntb_set_master(NtbPort *p, bool master);

/*
 * A child of the test that may talk to a QEMU in its place, and ends quietly
 * when that QEMU does.  It must not return.
 *
 * Returns: what fork() does.
 */
pid_t ntb_fork(void);

/* Wait for the end of such a child: its status must be 0 */
void ntb_end_child(pid_t pid);

/* How many times @what is in the file @path */
unsigned ntb_count_text(const char *path, const char *what);

/* The same, as the memory of @server says it */
bool ntb_is_up_in(NtbServer *server, unsigned port);

/*
 * A child that rings and sends through @p without end; it ends with its QEMU.
 * Only the child talks to that QEMU from now on.
 */
pid_t ntb_start_sender(NtbPort *p, unsigned seed);

/* SIGSTOP, SIGCONT */
void ntb_freeze(NtbPort *p);
void ntb_thaw(NtbPort *p);

/*
 * Windows
 */

/* Two devices in one QEMU, the second is *@b; ends with *@a */
void win_boot_both(NtbServer *server, WinPath path, const char *props,
                   NtbPort **a, NtbPort **b);

/* All ones */
void win_assert_ones(NtbPort *a, uint64_t addr);

/* QOM: a line for each alias that the port has of others' RAM */
char *win_describe(NtbPort *p);

/*
 * Map the guest's RAM, of WIN_RAM_SIZE, into the test.  Not for WIN_PLAIN; the
 * caller unmaps it.
 */
uint8_t *win_map_ram(NtbPort *p);

/* Lines of /proc/PID/maps that name @what */
unsigned win_count_maps(QTestState *qts, const char *what);

#endif
