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

/* The command line of the next QEMU, but for its device */
static char *next_machine(NtbFixture *f, const char *args)
{
    g_autofree char *machine = win_next_machine(f->path);

    return g_strjoin(" ", machine, args ?: "", NULL);
}

NtbPort *ntb_start_args(NtbFixture *f, unsigned i, const char *args,
                        const char *props)
{
    const NtbTest *t = f->test;
    unsigned partitions = t->partitions ?: t->ports;
    g_autofree char *number = partitions < 2 ? NULL :
                              g_strdup_printf(",partitions=%u", partitions);
    g_autofree char *all = g_strconcat(
        t->windows ? win_path_props(f->path) : "", number ?: "",
        t->props ?: "", props ?: "", NULL);
    g_autofree char *machine = NULL;
    NtbPort *p;

    g_assert_null(f->ports[i]);
    machine = next_machine(f, args);
    p = ntb_boot(f->server, machine, t->windows ? WIN_CHARDEV : "", all);
    if (t->windows) {
        win_setup_function(p);
    }
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
    NtbPort *p = g_steal_pointer(&f->ports[i]);

    g_assert_true(p->owns_qemu);
    ntb_kill_qemu(p->qts);
    ntb_close(p);
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

    f->server = t->server ? t->server() : ntb_server_start();
    for (unsigned i = 0; i < t->ports; i++) {
        ntb_start(f, i, NULL);
    }
    if (t->root_port) {
        g_autofree char *machine = next_machine(f, t->args);

        f->root = ntb_boot_root_port(f->server, machine);
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
        add_variant(test, WIN_PLAIN, NULL);
    }
    for (WinPath path = 0; path < WIN_NUM_PATHS; path++) {
        if (test->windows & WIN_ONLY(path) ||
            (test->windows & WIN_SLOW(path) && g_test_slow())) {
            add_variant(test, path, win_path_names[path]);
        }
    }
}
