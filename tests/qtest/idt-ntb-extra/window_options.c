/*
 * QTest testcase for idt-ntb: properties of memory windows
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "qemu/module.h"
#include "hw/pci/pci_regs.h"
#include "qobject/qdict.h"
#include "idt-ntb/window.h"

/*
 * Layouts that are good, and what the registers and the header make of them
 */

#define EN      R_BARSETUP0_EN_MASK
#define T64     (2 << R_BARSETUP0_TYPE_SHIFT)
#define PREF    R_BARSETUP0_PREF_MASK
#define LUT12   (1 << R_BARSETUP0_ATRAN_SHIFT)
#define LUT24   (2 << R_BARSETUP0_ATRAN_SHIFT)
#define LOG2(n) ((n) << R_BARSETUP0_SIZE_SHIFT)

typedef struct Layout {
    const char *name;
    const char *props;
    uint32_t setup[IDT_NUM_BARS];       /* BAR0 is always the same */
    bool only_q35;      /* elsewhere a BAR at 0 is one, and in BAR0's way */
} Layout;

static const Layout layouts[] = {
    { "default", "",
      { 0, EN | LOG2(20), EN | T64 | PREF | LUT24 | LOG2(25), 0,
        EN | T64 | PREF | LOG2(20), 0 } },
    { "off", ",bar1-mode=off,bar2-mode=off,bar4-mode=off",
      { 0 } },
    { "all-32-bit", ",bar2-64bit=off,bar3-mode=direct,bar3-size=4k,"
      "bar4-64bit=off,bar4-prefetch=off,bar4-size=512,bar5-mode=direct,"
      "bar5-size=8k,bar5-prefetch=on",
      { 0, EN | LOG2(20), EN | PREF | LUT24 | LOG2(25), EN | LOG2(12),
        EN | LOG2(9), EN | PREF | LOG2(13) } },
    { "lut12", ",bar1-mode=off,bar2-mode=lut12,bar2-prefetch=off,"
      "bar2-size=64k,bar4-mode=lut12,bar4-size=16M",
      { 0, 0, EN | T64 | LUT12 | LOG2(16), 0,
        EN | T64 | PREF | LUT12 | LOG2(24), 0 } },
    { "lut24-on-bar4", ",bar2-mode=direct,bar2-size=1G,bar4-mode=lut24,"
      "bar4-size=2M,bar4-64bit=off",
      { 0, EN | LOG2(20), EN | T64 | PREF | LOG2(30), 0,
        EN | PREF | LUT24 | LOG2(21), 0 } },
    { "smallest", ",bar1-size=512,bar2-size=512,bar4-size=512",
      { 0, EN | LOG2(9), EN | T64 | PREF | LUT24 | LOG2(9), 0,
        EN | T64 | PREF | LOG2(9), 0 } },
    { "32-bit-2G", ",bar1-size=2G",
      { 0, EN | LOG2(31), EN | T64 | PREF | LUT24 | LOG2(25), 0,
        EN | T64 | PREF | LOG2(20), 0 } },
    { "huge", ",bar4-size=4T",
      { 0, EN | LOG2(20), EN | T64 | PREF | LUT24 | LOG2(25), 0,
        EN | T64 | PREF | LOG2(42), 0 }, true },
};

/* What the header answers to all ones */
static uint64_t sizing(uint32_t setup)
{
    uint64_t mask = -1ULL << FIELD_EX32(setup, BARSETUP0, SIZE);

    if (!(setup & EN)) {
        return 0;
    }
    if (setup & PREF) {
        mask |= PCI_BASE_ADDRESS_MEM_PREFETCH;
    }
    return setup & T64 ? mask | PCI_BASE_ADDRESS_MEM_TYPE_64 : (uint32_t)mask;
}

static void assert_header(NtbPort *p, const Layout *layout)
{
    uint64_t mask = 0;

    for (unsigned bar = 1; bar < IDT_NUM_BARS; bar++) {
        uint32_t reg = PCI_BASE_ADDRESS_0 + 4 * bar;

        /* The upper half of a 64-bit BAR is a register of its own */
        mask = mask >> 32 ?: sizing(layout->setup[bar]);
        ntb_cfg_write(p, reg, UINT32_MAX);
        g_assert_cmphex(ntb_cfg_read(p, reg), ==, (uint32_t)mask);
    }
}

/* The other port's guest does not exist yet: its registers are right */
static void test_layout(const void *opaque)
{
    const Layout *layout = opaque;
    NtbServer *server = ntb_server_start();
    NtbPort *p = ntb_boot(server, layout->props);

    for (unsigned bar = 1; bar < IDT_NUM_BARS; bar++) {
        uint32_t reg = win_reg(bar, A_BARSETUP0);

        g_assert_cmphex(ntb_read(p, reg), ==, layout->setup[bar]);
        g_assert_cmphex(ntb_cfg_read(p, reg), ==, layout->setup[bar]);
        for (unsigned i = 0; i < 2; i++) {
            g_assert_cmphex(ntb_gas_read(p, ntb_gas_nt(ntb_ports[i], reg)),
                            ==, layout->setup[bar]);
        }
    }
    g_assert_cmphex(ntb_read(p, A_BARSETUP0), ==, 0x800004c0);
    assert_header(p, layout);
    ntb_quit(p);
    ntb_server_stop(server);
}

/*
 * Those that are not
 */

static void test_bad_size(void)
{
    NtbServer *server = ntb_server_start();

    ntb_assert_refused_at(server, "bar1-size", ",bar1-size=1000");
    ntb_assert_refused_at(server, "bar1-size|512", ",bar1-size=256");
    ntb_assert_refused_at(server, "bar1-size", ",bar1-size=0");
    ntb_assert_refused_at(server, "bar2-size", ",bar2-size=33M");
    ntb_assert_refused_at(server, "bar4-size", ",bar4-size=3T");
    ntb_assert_refused_at(server, "bar1-size|32 bits", ",bar1-size=4G");
    ntb_assert_refused_at(server, "bar2-size|32 bits",
                          ",bar2-64bit=off,bar2-size=4G");
    ntb_assert_refused_at(server, "bar5-size",
                          ",bar4-64bit=off,bar5-mode=direct,bar5-size=5k");
    ntb_server_stop(server);
}

static void test_bad_mode(void)
{
    NtbServer *server = ntb_server_start();

    ntb_assert_refused_at(server, "bar1-mode|BAR2", ",bar1-mode=lut12");
    ntb_assert_refused_at(server, "bar1-mode|BAR2", ",bar1-mode=lut24");
    ntb_assert_refused_at(server, "bar3-mode",
                          ",bar2-64bit=off,bar3-mode=lut24");
    ntb_assert_refused_at(server, "bar5-mode",
                          ",bar4-64bit=off,bar5-mode=lut12");
    ntb_assert_refused_at(server, "bar4-mode|lut24", ",bar4-mode=lut24");
    ntb_assert_refused_at(server, "mode|lut36", ",bar2-mode=lut36");
    ntb_server_stop(server);
}

static void test_bad_64bit(void)
{
    NtbServer *server = ntb_server_start();

    ntb_assert_refused_at(server, "bar1-64bit", ",bar1-64bit=on");
    ntb_assert_refused_at(server, "bar3-64bit",
                          ",bar2-mode=off,bar3-mode=direct,bar3-64bit=on");
    ntb_assert_refused_at(server, "bar5-64bit",
                          ",bar4-64bit=off,bar5-mode=direct,bar5-64bit=on");
    /* The upper half of the one below */
    ntb_assert_refused_at(server, "bar3-mode|bar2-64bit",
                          ",bar3-mode=direct");
    ntb_assert_refused_at(server, "bar5-mode|bar4-64bit",
                          ",bar5-mode=direct,bar5-size=4k");
    ntb_server_stop(server);
}

/* Once BAR2 is off, or is small, BAR3 can be used */
static void test_bar3_alone(void)
{
    NtbServer *server = ntb_server_start();
    NtbPort *p = ntb_boot(server, ",bar2-mode=off,bar3-mode=direct,"
                          "bar3-size=64k");

    g_assert_cmphex(ntb_read(p, win_reg(2, A_BARSETUP0)), ==, 0);
    g_assert_cmphex(ntb_read(p, win_reg(3, A_BARSETUP0)), ==, EN | LOG2(16));
    ntb_quit(p);
    ntb_server_stop(server);
}

/*
 * Two ports, one switch
 */

typedef struct Mismatch {
    const char *first, *second;
    const char *words;
} Mismatch;

static void test_mismatch(void)
{
    static const Mismatch mismatches[] = {
        { "", ",bar1-size=2M", "bar1|bar1-size=2|bar1-size=1" },
        { "", ",bar1-mode=off", "bar1-mode=off|bar1-mode=direct" },
        { "", ",bar2-mode=lut12", "bar2-mode=lut12|bar2-mode=lut24" },
        { "", ",bar4-64bit=off", "bar4-64bit=off|bar4-64bit=on" },
        { "", ",bar4-prefetch=off", "bar4-prefetch=off|bar4-prefetch=on" },
        { ",bar5-mode=direct,bar5-size=4k,bar4-64bit=off", "",
          "bar4-64bit=off|bar4-64bit=on" },
        { ",bar2-mode=off,bar3-mode=direct,bar3-size=4k", ",bar2-mode=off",
          "bar3-mode=off|bar3-mode=direct" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(mismatches); i++) {
        NtbServer *server = ntb_server_start();
        NtbPort *p = ntb_boot(server, mismatches[i].first);

        ntb_assert_refused_at(server, mismatches[i].words, "%s",
                              mismatches[i].second);
        /* The switch goes on, and takes one that is right */
        ntb_quit(ntb_boot(server, mismatches[i].first));
        ntb_quit(p);
        /* After the last one anything goes again */
        ntb_quit(ntb_boot(server, mismatches[i].second));
        ntb_server_stop(server);
    }
}

/* What is each port's own business */
static void test_own_properties(void)
{
    NtbServer *server = ntb_server_start();
    NtbPort *a = ntb_boot(server, ",direct=off,completion-timeout=7");
    NtbPort *b = ntb_boot(server, ",trust-peers=on,completion-timeout=1000");

    g_assert_false(ntb_qom_bool(a, "direct"));
    g_assert_true(ntb_qom_bool(b, "direct"));
    g_assert_false(ntb_qom_bool(a, "trust-peers"));
    g_assert_true(ntb_qom_bool(b, "trust-peers"));
    g_assert_cmpint(ntb_qom_int(a, "completion-timeout"), ==, 7);
    g_assert_cmpint(ntb_qom_int(b, "completion-timeout"), ==, 1000);
    g_assert_cmpint(ntb_qom_int(a, "direct-mappings"), ==, 0);
    ntb_assert_talk(a, b);
    ntb_quit(a);
    a = ntb_boot(server, NULL);
    g_assert_cmpint(ntb_qom_int(a, "completion-timeout"), ==, 100);
    ntb_quit(a);
    ntb_quit(b);
    ntb_server_stop(server);
}

/* What has gone into the BARs does not change them later */
static void test_read_only(void)
{
    static const char *const names[] = { "direct-mappings", "windows" };
    NtbServer *server = ntb_server_start();
    NtbPort *p = ntb_boot(server, NULL);
    QDict *error;

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        error = qtest_qmp_assert_failure_ref(p->qts, "{'execute': 'qom-set',"
            "'arguments': {'path': '/machine/peripheral/ntb0',"
            " 'property': %s, 'value': 1}}", names[i]);
        qobject_unref(error);
    }
    error = qtest_qmp_assert_failure_ref(p->qts, "{'execute': 'qom-set',"
        "'arguments': {'path': '/machine/peripheral/ntb0',"
        " 'property': 'bar1-size', 'value': 4096}}");
    qobject_unref(error);
    ntb_quit(p);
    ntb_server_stop(server);
}

/*
 * Warnings
 */

/* Start and end a QEMU.  Returns: what it says */
static char *said_at_start(NtbServer *server, const char *args,
                           const char *props)
{
    g_autofree char *log = ntb_tmp_path("stderr");
    g_autofree char *redirect = g_strdup_printf("%s 2>%s", args, log);
    NtbPort *p = win_boot(server, WIN_SHARED, redirect, props);
    char *text;

    ntb_settle(p->qts);
    ntb_quit(p);
    g_assert_true(g_file_get_contents(log, &text, NULL, NULL));
    g_unlink(log);
    return text;
}

static void assert_warns(const char *props, const char *words)
{
    NtbServer *server = ntb_server_start();
    g_autofree char *text = said_at_start(server, "", props);
    g_auto(GStrv) word = g_strsplit(words, "|", 0);

    g_test_message("%s", text);
    g_assert_nonnull(strstr(text, "warning"));
    for (unsigned i = 0; word[i]; i++) {
        if (!strstr(text, word[i])) {
            ntb_fail("'%s' is not in: %s", word[i], text);
        }
    }
    ntb_server_stop(server);
}

static void assert_silent(const char *props)
{
    NtbServer *server = ntb_server_start();
    g_autofree char *text = said_at_start(server, "", props);

    g_assert_cmpstr(text, ==, "");
    ntb_server_stop(server);
}

static void test_warnings(void)
{
    assert_warns(",bar4-size=2G", "bar4-size|Linux");
    assert_warns(",bar4-mode=lut12,bar4-size=16M", "37|29");
    assert_silent("");
    assert_silent(",bar4-size=1G");
    /* 29 of them */
    assert_silent(",bar2-mode=lut12,bar4-mode=lut12");
}

static void add_tests(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(layouts); i++) {
        g_autofree char *path = g_strdup_printf("/idt-ntb/window-layout/%s",
                                                layouts[i].name);

        if (ntb_machine_is_q35() || !layouts[i].only_q35) {
            qtest_add_data_func(path, &layouts[i], test_layout);
        }
    }
    qtest_add_func("/idt-ntb/window-options/bad-size", test_bad_size);
    qtest_add_func("/idt-ntb/window-options/bad-mode", test_bad_mode);
    qtest_add_func("/idt-ntb/window-options/bad-64bit", test_bad_64bit);
    qtest_add_func("/idt-ntb/window-options/bar3-alone", test_bar3_alone);
    qtest_add_func("/idt-ntb/window-options/mismatch", test_mismatch);
    qtest_add_func("/idt-ntb/window-options/own", test_own_properties);
    qtest_add_func("/idt-ntb/window-options/read-only", test_read_only);
    qtest_add_func("/idt-ntb/window-options/warnings", test_warnings);
}

libqos_init(add_tests);
