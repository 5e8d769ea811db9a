/*
 * QTest testcase for idt-ntb: memory windows from the start of a QEMU to its
 * end: kinds of RAM, what is said about them, servers that come back
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "qemu/module.h"
#include "hw/misc/idt_ntb/shm.h"
#include "idt-ntb/window.h"

static WinPair w;
static uint64_t base;           /* address in @w.a's guest */

static void open_window(void)
{
    win_open(w.a, WIN_DIRECT64, w.b->partition, WIN_X);
    base = win_bar(w.a, WIN_DIRECT64);
}

/*
 * RAM of all kinds
 */

typedef struct Ram {
    const char *name;
    const char *args;           /* with the path of a file for %s */
    const char *props_a;
    bool mapped;
} Ram;

static const Ram rams[] = {
    { "memfd", "-object memory-backend-memfd,id=mem,size=64M", NULL, true },
    { "memfd-private",
      "-object memory-backend-memfd,id=mem,size=64M,share=off", NULL, false },
    { "memfd-unsealed",
      "-object memory-backend-memfd,id=mem,size=64M,seal=off", NULL, false },
    { "memfd-unsealed-trusted",
      "-object memory-backend-memfd,id=mem,size=64M,seal=off",
      ",trust-peers=on", true },
    { "file", "-object memory-backend-file,id=mem,size=64M,share=on,"
      "mem-path=%s", NULL, false },
    { "file-trusted", "-object memory-backend-file,id=mem,size=64M,share=on,"
      "mem-path=%s", ",trust-peers=on", true },
    { "file-offset-trusted", "-object memory-backend-file,id=mem,size=64M,"
      "share=on,offset=1M,mem-path=%s", ",trust-peers=on", true },
    { "file-private-trusted", "-object memory-backend-file,id=mem,size=64M,"
      "share=off,mem-path=%s", ",trust-peers=on", false },
    { "ram", "-object memory-backend-ram,id=mem,size=64M", NULL, false },
};

static void test_ram(const void *opaque)
{
    const Ram *ram = opaque;
    g_autofree char *path = ntb_tmp_path("ram");
    g_autofree char *format = g_strdup_printf("%s -machine memory-backend=mem",
                                              ram->args);
    g_auto(GStrv) parts = g_strsplit(format, "%s", 2);
    g_autofree char *args = g_strjoinv(path, parts);

    w = (WinPair) { .server = ntb_server_start() };
    w.a = win_boot(w.server, WIN_PLAIN, NULL, ram->props_a);
    w.b = win_boot_ram(w.server, args, NULL);
    open_window();
    win_assert_shows(w.a, base, w.b, WIN_X);
    win_assert_shows(w.a, base + WIN_SIZE - 64, w.b, WIN_X + WIN_SIZE - 64);
    g_assert_cmpuint(win_mappings(w.a), ==, ram->mapped ? 1 : 0);
    /* What lies elsewhere in the file is elsewhere */
    win_aim(w.a, WIN_DIRECT64, w.b->partition, WIN_RAM_SIZE - WIN_SIZE);
    win_assert_shows(w.a, base + 64, w.b, WIN_RAM_SIZE - WIN_SIZE + 64);
    win_assert_shows(w.a, base + WIN_SIZE - 80, w.b, WIN_RAM_SIZE - 80);
    win_stop(&w);
    g_unlink(path);
}

/* What "windows" says */
static void test_describe(void)
{
    g_autofree char *none = NULL, *some = NULL, *after = NULL;

    win_start(&w, WIN_SHARED, NULL);
    none = win_describe(w.a);
    g_assert_cmpstr(none, ==, "");
    win_open(w.a, WIN_DIRECT64, w.b->partition, WIN_X);
    win_open_lut(w.a, WIN_LUT24, 7, w.b->partition, WIN_X + WIN_SIZE);
    qtest_readq(w.a->qts, win_bar(w.a, WIN_DIRECT64));
    qtest_readq(w.a->qts, win_bar(w.a, WIN_LUT24) + 7 * WIN_SIZE);
    some = win_describe(w.a);
    g_test_message("%s", some);
    g_assert_nonnull(strstr(some, "BAR4"));
    g_assert_nonnull(strstr(some, "0x1000000"));
    g_assert_nonnull(strstr(some, "BAR2"));
    g_assert_nonnull(strstr(some, "0x1100000"));
    g_assert_cmpuint(win_mappings(w.a), ==, 2);
    win_close(w.a, WIN_DIRECT64);
    after = win_describe(w.a);
    g_assert_null(strstr(after, "BAR4"));
    g_assert_nonnull(strstr(after, "BAR2"));
    win_stop(&w);
}

/*
 * What is told
 */

/* That RAM is not shared is told once, with the way out */
static void test_warning(void)
{
    g_autofree char *log = ntb_tmp_path("stderr");
    g_autofree char *args = g_strdup_printf("2>%s", log);

    w = (WinPair) { .server = ntb_server_start() };
    w.a = win_boot(w.server, WIN_SHARED, NULL, NULL);
    w.b = win_boot(w.server, WIN_PLAIN, args, NULL);
    open_window();
    g_assert_cmpuint(ntb_count_text(log, "memory-backend-memfd"), ==, 0);
    for (unsigned i = 0; i < 5; i++) {
        win_assert_shows(w.a, base, w.b, WIN_X);
        win_close(w.a, WIN_DIRECT64);
        open_window();
    }
    g_assert_cmpuint(ntb_count_text(log, "memory-backend-memfd"), ==, 1);
    g_assert_cmpuint(ntb_count_text(log, "memory-backend=mem"), ==, 1);
    g_assert_cmpuint(ntb_count_text(log, "share=on"), ==, 1);
    win_stop(&w);
    g_unlink(log);
}

/* What a guest does wrong all the time is told now and then */
static void test_log(void)
{
    g_autofree char *log = ntb_tmp_path("log");
    g_autofree char *args = g_strdup_printf("-d guest_errors -D %s", log);

    w = (WinPair) { .server = ntb_server_start() };
    w.a = win_boot(w.server, WIN_SHARED, args, NULL);
    w.b = win_boot(w.server, WIN_SHARED, NULL, NULL);
    open_window();
    win_close(w.a, WIN_DIRECT64);
    for (unsigned i = 0; i < 3000; i++) {
        qtest_writeq(w.a->qts, base + 8 * i, i);
    }
    win_assert_ones(w.a, base);
    g_assert_cmpuint(ntb_count_text(log, "BAR4"), >=, 1);
    g_assert_cmpuint(ntb_count_text(log, "\n"), <, 300);
    win_stop(&w);
    g_unlink(log);
}

/*
 * Guests that are not there yet
 */

/* QEMU was started with -S: nothing is shown before the guest runs */
static void test_not_started(WinPath path)
{
    w = (WinPair) { .server = ntb_server_start(), .path = path };
    w.a = win_boot(w.server, path, NULL, ",completion-timeout=2000");
    w.b = win_boot(w.server, path, "-S", NULL);
    open_window();
    win_assert_ones(w.a, base);
    g_assert_cmpuint(win_mappings(w.a), ==, 0);
    qtest_qmp_assert_success(w.b->qts, "{'execute': 'cont'}");
    ntb_wait(qtest_readq(w.a->qts, base) == 0);
    win_assert_shows(w.a, base, w.b, WIN_X);
    win_assert_path(w.a, path);
    win_stop(&w);
}

/* An IOMMU that is not switched on changes nothing that a guest sees */
static void test_iommu_off(WinPath path)
{
    w = (WinPair) { .server = ntb_server_start(), .path = path };
    w.a = win_boot(w.server, path, NULL, NULL);
    w.b = win_boot(w.server, path, "-machine kernel-irqchip=off "
                   "-device intel-iommu,intremap=off", NULL);
    open_window();
    win_assert_shows(w.a, base, w.b, WIN_X);
    win_assert_shows(w.a, base + WIN_SIZE - 64, w.b, WIN_X + WIN_SIZE - 64);
    win_open(w.b, WIN_DIRECT32, w.a->partition, WIN_X);
    win_assert_shows(w.b, win_bar(w.b, 1), w.a, WIN_X);
    win_stop(&w);
}

/*
 * Servers that come back
 */

static void start_with_process(WinPath path)
{
    w = (WinPair) { .server = ntb_server_start_process(), .path = path };
    w.a = win_boot(w.server, path, NULL, NULL);
    w.b = win_boot(w.server, path, NULL, NULL);
    open_window();
    win_assert_shows(w.a, base, w.b, WIN_X);
}

/* With the memory of the old one: windows go on all the time */
static void test_server_returns(WinPath path)
{
    if (ntb_skip_unless_reconnects()) {
        return;
    }
    start_with_process(path);
    for (unsigned i = 0; i < 3; i++) {
        ntb_server_kill(w.server);
        for (unsigned k = 0; k < 10; k++) {
            win_assert_hits(w.a, base + 8 * k, w.b, WIN_X + 8 * k, 8);
        }
        ntb_server_restart(w.server);
        for (unsigned k = 0; k < 20; k++) {
            win_assert_hits(w.a, base + 8 * k, w.b, WIN_X + 8 * k, 8);
            g_usleep(2000);
        }
        /* Closing works as ever */
        win_admit(w.a, false);
        win_assert_hides(w.a, base, w.b, WIN_X);
        win_admit(w.a, true);
    }
    win_assert_shows(w.a, base, w.b, WIN_X);
    win_assert_path(w.a, path);
    win_stop(&w);
}

static bool is_up_in(NtbServer *server, unsigned port)
{
    IdtNtbShm *shm = (IdtNtbShm *)server->mem;

    return qatomic_read(&shm->slot[ntb_slot(port)].p.state) == IDT_NTB_PORT_UP;
}

/* With new memory: the guests' registers are taken there */
static void test_server_returns_empty(WinPath path)
{
    if (ntb_skip_unless_reconnects()) {
        return;
    }
    start_with_process(path);
    for (unsigned i = 0; i < 3; i++) {
        ntb_server_kill(w.server);
        ntb_server_restart_empty(w.server);
        ntb_wait(is_up_in(w.server, 0) && is_up_in(w.server, 2));
        ntb_settle(w.a->qts);
        ntb_settle(w.b->qts);
        win_assert_shows(w.a, base, w.b, WIN_X);
        win_assert_path(w.a, path);
        win_admit(w.a, false);
        win_assert_hides(w.a, base, w.b, WIN_X);
        win_admit(w.a, true);
        win_assert_shows(w.a, base, w.b, WIN_X);
    }
    win_stop(&w);
}

static void add_tests(void)
{
    if (!ntb_machine_is_q35()) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(rams); i++) {
        g_autofree char *path = g_strdup_printf("/idt-ntb/window-ram/%s",
                                                rams[i].name);

        qtest_add_data_func(path, &rams[i], test_ram);
    }
    qtest_add_func("/idt-ntb/window-life/describe", test_describe);
    qtest_add_func("/idt-ntb/window-life/warning", test_warning);
    qtest_add_func("/idt-ntb/window-life/log", test_log);
    win_add_case("window-life/not-started", test_not_started);
    win_add_case_at("window-life/iommu-off", test_iommu_off, WIN_SHARED);
    win_add_case("window-life/server-returns", test_server_returns);
    win_add_case("window-life/server-returns-empty",
                 test_server_returns_empty);
}

libqos_init(add_tests);
