/*
 * QTest testcase for idt-ntb: memory windows from the start of a QEMU to its
 * end: kinds of RAM, messages, servers that come back
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "extra.h"

static uint64_t base;           /* address in the guest of ports[0] */

static void open_window(NtbFixture *f)
{
    NtbPort *a = f->ports[0];

    win_open(a, WIN_DIRECT64, f->ports[1]->partition, WIN_X);
    base = win_bar(a, WIN_DIRECT64);
}

/*
 * RAM of all kinds
 */

#define MEMFD   "-object memory-backend-memfd,id=mem,size=64M"
#define FILE    "-object memory-backend-file,id=mem,size=64M,mem-path=%s"
#define TRUST   ",trust-peers=on"

typedef struct Ram {
    const char *name;
    const char *args;           /* with the path of a file for %s */
    const char *props;          /* of the port with the window */
    bool mapped;
} Ram;

static const Ram rams[] = {
    { "memfd-is-mapped", MEMFD, NULL, true },
    { "private-memfd-is-not-mapped", MEMFD ",share=off", NULL, false },
    { "unsealed-memfd-is-not-mapped", MEMFD ",seal=off", NULL, false },
    { "trusted-unsealed-memfd-is-mapped", MEMFD ",seal=off", TRUST, true },
    { "file-is-not-mapped", FILE ",share=on", NULL, false },
    { "trusted-file-is-mapped", FILE ",share=on", TRUST, true },
    { "trusted-file-with-offset-is-mapped", FILE ",share=on,offset=1M", TRUST,
      true },
    { "trusted-private-file-is-not-mapped", FILE ",share=off", TRUST, false },
    { "ram-is-not-mapped", "-object memory-backend-ram,id=mem,size=64M", NULL,
      false },
};

static void test_ram(NtbFixture *f)
{
    const Ram *ram = f->test->data;
    g_autofree char *path = ntb_tmp_path("ram");
    g_auto(GStrv) parts = g_strsplit(ram->args, "%s", 2);
    g_autofree char *object = g_strjoinv(path, parts);
    g_autofree char *args = g_strconcat(object, " -machine memory-backend=mem",
                                        NULL);
    NtbPort *a = f->ports[0] = win_boot(f->server, WIN_PLAIN, NULL, ram->props);
    NtbPort *b = f->ports[1] = win_boot(f->server, WIN_PLAIN, args, NULL);

    open_window(f);
    win_assert_shows(a, base, b, WIN_X);
    win_assert_shows(a, base + WIN_SIZE - 64, b, WIN_X + WIN_SIZE - 64);
    g_assert_cmpuint(win_mappings(a), ==, ram->mapped ? 1 : 0);
    /* Show another part of the file */
    win_aim(a, WIN_DIRECT64, b->partition, WIN_RAM_SIZE - WIN_SIZE);
    win_assert_shows(a, base + 64, b, WIN_RAM_SIZE - WIN_SIZE + 64);
    win_assert_shows(a, base + WIN_SIZE - 80, b, WIN_RAM_SIZE - 80);
    g_unlink(path);
}

static void add_rams(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(rams); i++) {
        g_autofree char *path = g_strdup_printf("window-ram/%s", rams[i].name);

        ntb_add_test(&(NtbTest) {
            .path = path, .run = test_ram, .q35 = true, .data = &rams[i]
        });
    }
}

libqos_init(add_rams);

/* Check property "windows" */
static void test_describe(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    g_autofree char *none = win_describe(a), *some = NULL, *after = NULL;

    g_assert_cmpstr(none, ==, "");
    win_open(a, WIN_DIRECT64, b->partition, WIN_X);
    win_open_lut(a, WIN_LUT24, 7, b->partition, WIN_X + WIN_SIZE);
    qtest_readq(a->qts, win_bar(a, WIN_DIRECT64));
    qtest_readq(a->qts, win_bar(a, WIN_LUT24) + 7 * WIN_SIZE);
    some = win_describe(a);
    g_test_message("%s", some);
    g_assert_nonnull(strstr(some, "BAR4"));
    g_assert_nonnull(strstr(some, "0x1000000"));
    g_assert_nonnull(strstr(some, "BAR2"));
    g_assert_nonnull(strstr(some, "0x1100000"));
    g_assert_cmpuint(win_mappings(a), ==, 2);
    win_close(a, WIN_DIRECT64);
    after = win_describe(a);
    g_assert_null(strstr(after, "BAR4"));
    g_assert_nonnull(strstr(after, "BAR2"));
}

/*
 * Messages
 */

/* Warn once that RAM is not shared, with a hint */
static void test_warning(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    g_autofree char *log = ntb_tmp_path("stderr");
    g_autofree char *args = g_strdup_printf("2>%s", log);
    NtbPort *b = f->ports[1] = win_boot(f->server, WIN_PLAIN, args, NULL);

    open_window(f);
    g_assert_cmpuint(ntb_count_text(log, "memory-backend-memfd"), ==, 0);
    for (unsigned i = 0; i < 5; i++) {
        win_assert_shows(a, base, b, WIN_X);
        win_close(a, WIN_DIRECT64);
        open_window(f);
    }
    g_assert_cmpuint(ntb_count_text(log, "memory-backend-memfd"), ==, 1);
    g_assert_cmpuint(ntb_count_text(log, "memory-backend=mem"), ==, 1);
    g_assert_cmpuint(ntb_count_text(log, "share=on"), ==, 1);
    g_unlink(log);
}

/* Log repeated errors of a guest now and then */
static void test_log(NtbFixture *f)
{
    g_autofree char *log = ntb_tmp_path("log");
    g_autofree char *args = g_strdup_printf("-d guest_errors -D %s", log);
    NtbPort *a = ntb_start_args(f, 0, args, NULL);

    ntb_start(f, 1, NULL);
    open_window(f);
    win_close(a, WIN_DIRECT64);
    for (unsigned i = 0; i < 3000; i++) {
        qtest_writeq(a->qts, base + 8 * i, i);
    }
    win_assert_ones(a, base);
    g_assert_cmpuint(ntb_count_text(log, "BAR4"), >=, 1);
    g_assert_cmpuint(ntb_count_text(log, "\n"), <, 300);
    g_unlink(log);
}

/*
 * Guests that do not run yet, IOMMUs
 */

/* If QEMU was started with -S, show nothing before the guest runs */
static void test_not_started(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = ntb_start_args(f, 1, "-S", NULL);

    open_window(f);
    win_assert_ones(a, base);
    g_assert_cmpuint(win_mappings(a), ==, 0);
    qtest_qmp_assert_success(b->qts, "{'execute': 'cont'}");
    ntb_wait(qtest_readq(a->qts, base) == 0);
    win_assert_shows(a, base, b, WIN_X);
    win_assert_path(a, f->path);
}

/* An IOMMU that is off changes nothing that a guest sees */
static void test_iommu_off(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = ntb_start_args(f, 1, "-machine kernel-irqchip=off "
                                "-device intel-iommu,intremap=off", NULL);

    open_window(f);
    win_assert_shows(a, base, b, WIN_X);
    win_assert_shows(a, base + WIN_SIZE - 64, b, WIN_X + WIN_SIZE - 64);
    win_open(b, WIN_DIRECT32, a->partition, WIN_X);
    win_assert_shows(b, win_bar(b, 1), a, WIN_X);
}

/*
 * Servers that come back
 */

static void open_and_use(NtbFixture *f)
{
    open_window(f);
    win_assert_shows(f->ports[0], base, f->ports[1], WIN_X);
}

/* If the memory is that of the old server, windows stay usable all the time */
static void test_server_returns(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    for (unsigned i = 0; i < 3; i++) {
        ntb_server_kill(f->server);
        for (unsigned k = 0; k < 10; k++) {
            win_assert_hits(a, base + 8 * k, b, WIN_X + 8 * k, 8);
        }
        ntb_server_restart(f->server);
        for (unsigned k = 0; k < 20; k++) {
            win_assert_hits(a, base + 8 * k, b, WIN_X + 8 * k, 8);
            g_usleep(2000);
        }
        /* Closing still works */
        win_admit(a, false);
        win_assert_hides(a, base, b, WIN_X);
        win_admit(a, true);
    }
    win_assert_shows(a, base, b, WIN_X);
    win_assert_path(a, f->path);
}

/* If the memory is new, the registers of the guests move there */
static void test_server_returns_empty(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    for (unsigned i = 0; i < 3; i++) {
        ntb_server_kill(f->server);
        ntb_server_restart_empty(f->server);
        ntb_wait(ntb_is_up_in(f->server, 0) && ntb_is_up_in(f->server, 2));
        ntb_settle(a->qts);
        ntb_settle(b->qts);
        win_assert_shows(a, base, b, WIN_X);
        win_assert_path(a, f->path);
        win_admit(a, false);
        win_assert_hides(a, base, b, WIN_X);
        win_admit(a, true);
        win_assert_shows(a, base, b, WIN_X);
    }
}

static const NtbTest tests[] = {
    { "window-life/mappings-are-described", test_describe, .ports = 2,
      .windows = WIN_ONLY(WIN_SHARED), .q35 = true },
    { "window-life/ram-not-shared-is-warned-of-once", test_warning,
      .ports = 1, .windows = WIN_ONLY(WIN_SHARED), .q35 = true },
    { "window-life/log-is-limited", test_log,
      .windows = WIN_ONLY(WIN_SHARED), .q35 = true },
    { "window-life/opens-when-the-guest-starts", test_not_started,
      .ports = 1, .props = ",completion-timeout=2000", .windows = WIN_EACH,
      .q35 = true },
    { "window-life/idle-iommu-changes-nothing", test_iommu_off, .ports = 1,
      .windows = WIN_ONLY(WIN_SHARED), .q35 = true },
    { "window-life/survives-its-server", test_server_returns,
      .server = ntb_server_start_process, .ports = 2, .prepare = open_and_use,
      .windows = WIN_EACH, .q35 = true, .needs = ntb_reconnects },
    { "window-life/survives-server-and-memory", test_server_returns_empty,
      .server = ntb_server_start_process, .ports = 2, .prepare = open_and_use,
      .windows = WIN_EACH, .q35 = true, .needs = ntb_reconnects },
};

ntb_tests(tests);
