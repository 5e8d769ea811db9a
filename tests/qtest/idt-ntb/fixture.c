/*
 * QTest testcase for idt-ntb: a test and what it needs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "fixture.h"

/* A test with one of its paths to memory windows */
typedef struct Variant {
    NtbTest test;
    WinPath path;
} Variant;

NtbPort *ntb_start_args(NtbFixture *f, unsigned i, const char *args,
                        const char *props)
{
    const NtbTest *t = f->test;
    unsigned partitions = t->partitions ?: t->ports;
    g_autofree char *number = partitions < 2 ? NULL :
                              g_strdup_printf(",partitions=%u", partitions);
    g_autofree char *all = g_strconcat(number ?: "", t->props ?: "",
                                       props ?: "", NULL);
    NtbPort *p;

    g_assert_null(f->ports[i]);
    p = t->windows ? win_boot(f->server, f->path, args, all) :
                     ntb_boot_args(f->server, args, all);
    f->ports[i] = p;
    return p;
}

NtbPort *ntb_start(NtbFixture *f, unsigned i, const char *props)
{
    return ntb_start_args(f, i, f->test->args, props);
}

void ntb_end(NtbFixture *f, unsigned i)
{
    ntb_quit(g_steal_pointer(&f->ports[i]));
}

void ntb_end_by_kill(NtbFixture *f, unsigned i)
{
    ntb_kill(g_steal_pointer(&f->ports[i]));
}

NtbPort *ntb_plug(NtbFixture *f, unsigned i, const char *props)
{
    g_autofree char *all = g_strconcat(
        f->test->windows ? win_plug_props(f->path) : "", props ?: "", NULL);

    g_assert_null(f->ports[i]);
    ntb_device_add_with(f->root, all);
    f->ports[i] = f->test->windows ? win_open_plugged(f->root) :
                                     ntb_open_plugged(f->root);
    return f->ports[i];
}

void ntb_unplug(NtbFixture *f, unsigned i)
{
    ntb_end(f, i);
    ntb_device_del(f->root);
}

static void set_up(NtbFixture *f)
{
    const NtbTest *t = f->test;

    switch (t->server) {
    case NTB_SERVER_THREAD:
        f->server = ntb_server_start();
        break;
    case NTB_SERVER_PROCESS:
        f->server = ntb_server_start_process();
        break;
    case NTB_SERVER_NONE:
        break;
    }
    for (unsigned i = 0; i < t->ports; i++) {
        ntb_start(f, i, NULL);
    }
    if (t->root_port) {
        f->root = t->windows ? win_boot_root_port(f->server, f->path) :
                  ntb_boot_root_port_args(f->server, "%s", t->args ?: "");
    }
    if (t->prepare) {
        t->prepare(f);
    }
}

static void tear_down(NtbFixture *f)
{
    if (f->test->finish) {
        f->test->finish(f);
    }
    for (unsigned i = 0; i < NTB_MAX_PORTS; i++) {
        if (f->ports[i]) {
            ntb_end(f, i);
        }
    }
    if (f->root) {
        qtest_quit(f->root);
    }
    if (f->server) {
        ntb_server_stop(f->server);
    }
}

void ntb_run_test(const NtbTest *test, WinPath path)
{
    NtbFixture f = { .test = test, .path = path };

    if (test->reconnects && ntb_skip_unless_reconnects()) {
        return;
    }
    if (test->needs && !test->needs()) {
        return;
    }
    set_up(&f);
    test->run(&f);
    tear_down(&f);
}

static void run_variant(const void *opaque)
{
    const Variant *v = opaque;

    ntb_run_test(&v->test, v->path);
}

static void add_variant(const NtbTest *test, WinPath path, const char *suffix)
{
    g_autofree char *full = g_strdup_printf("/idt-ntb/%s%s%s", test->path,
                                            suffix ? "-" : "", suffix ?: "");
    Variant *v = g_new(Variant, 1);

    *v = (Variant) { .test = *test, .path = path };
    qtest_add_data_func_full(full, v, run_variant, g_free);
}

void ntb_add_test(const NtbTest *test)
{
    if (test->q35 && !ntb_machine_is_q35()) {
        return;
    }
    if (!test->windows) {
        add_variant(test, 0, NULL);
    }
    for (WinPath path = 0; path < WIN_NUM_PATHS; path++) {
        if (test->windows & WIN_ONLY(path) ||
            (test->windows & WIN_SLOW(path) && g_test_slow())) {
            add_variant(test, path, win_path_names[path]);
        }
    }
}
