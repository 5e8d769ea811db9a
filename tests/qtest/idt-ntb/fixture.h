/*
 * QTest testcase for idt-ntb: a test and what it needs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_QTEST_IDT_NTB_FIXTURE_H
#define TESTS_QTEST_IDT_NTB_FIXTURE_H

#include "qemu/module.h"
#include "harness.h"
#include "window.h"

#define NTB_MAX_PORTS   8

/* Memory windows: the ways to the other guest's RAM that a test runs with */
#define WIN_ONLY(path)  (1u << (path))
#define WIN_SLOW(path)  (1u << (path) << 8)     /* in slow mode only */
#define WIN_MOSTLY_SHARED                                               \
    (WIN_ONLY(WIN_SHARED) | WIN_SLOW(WIN_PLAIN) | WIN_SLOW(WIN_FORCED))
#define WIN_EACH                                                        \
    (WIN_ONLY(WIN_SHARED) | WIN_ONLY(WIN_PLAIN) | WIN_SLOW(WIN_FORCED))

typedef struct NtbFixture NtbFixture;

typedef struct NtbTest {
    const char *path;           /* GROUP/PROMISE */
    void (*run)(NtbFixture *f);

    /* The fixture; all 0 is a server without ports */
    NtbServer *(*server)(void); /* ntb_server_start(), if NULL */
    unsigned ports;             /* started, each in a QEMU of its own */
    unsigned partitions;        /* if not one for each port, and at least two */
    const char *props;          /* of each port, each after a comma */
    const char *args;           /* more of the command line of each QEMU */
    unsigned windows;           /* WIN_*; one test for each, 0: no windows */
    bool root_port;             /* one more QEMU, for ntb_plug() */
    void (*prepare)(NtbFixture *f);     /* the last step, if not NULL */
    void (*finish)(NtbFixture *f);      /* before the ports end, if not NULL */

    /* Where it can run */
    bool q35;                   /* it knows the chipset */
    bool (*needs)(void);        /* if false, it has skipped the test */

    const void *data;           /* for tests that differ in data only */
} NtbTest;

struct NtbFixture {
    const NtbTest *test;
    NtbServer *server;
    NtbPort *ports[NTB_MAX_PORTS];      /* NULL: not started, or ended */
    QTestState *root;           /* the QEMU with the root port rp0 */
    WinPath path;               /* of the windows */
};

/* Add a test, of which a copy is made; run one in the place of another */
void ntb_add_test(const NtbTest *test);
void ntb_run_test(const NtbTest *test, WinPath path);

/* Add all tests of a table when the program starts */
#define ntb_tests(table)                                                \
    static void add_##table(void)                                       \
    {                                                                   \
        for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {            \
            ntb_add_test(&(table)[i]);                                  \
        }                                                               \
    }                                                                   \
    libqos_init(add_##table)

/*
 * Start ports[i] as the fixture does, with @props besides, or with @args
 * instead of the test's; end it, kill it.  The fixture ends what still runs at
 * the end of the test.
 */
NtbPort *ntb_start(NtbFixture *f, unsigned i, const char *props);
NtbPort *ntb_start_args(NtbFixture *f, unsigned i, const char *args,
                        const char *props);
void ntb_end(NtbFixture *f, unsigned i);
void ntb_end_by_kill(NtbFixture *f, unsigned i);

/* Plug ports[i] behind rp0, with @props as JSON, each after a comma; unplug */
NtbPort *ntb_plug(NtbFixture *f, unsigned i, const char *props);
void ntb_unplug(NtbFixture *f, unsigned i);

#endif
