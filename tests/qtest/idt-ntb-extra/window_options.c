/*
 * QTest testcase for idt-ntb: properties of memory windows
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "hw/pci/pci_regs.h"
#include "qobject/qdict.h"
#include "idt-ntb/fixture.h"

/*
 * Layouts, and what the registers and the header say of them
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
    bool q35;           /* elsewhere it is at 0, in the way of BAR0 */
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

/* Values of the header after a write of all ones */
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

/* The registers of the other port, which has no QEMU, are the same */
static void test_layout(NtbFixture *f)
{
    const Layout *layout = f->test->data;
    NtbPort *p = f->ports[0];

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
}

static void add_layouts(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(layouts); i++) {
        g_autofree char *path = g_strdup_printf("window-layout/%s",
                                                layouts[i].name);

        ntb_add_test(&(NtbTest) {
            .path = path, .run = test_layout, .ports = 1,
            .props = layouts[i].props, .q35 = layouts[i].q35,
            .data = &layouts[i]
        });
    }
}

libqos_init(add_layouts);

/*
 * Properties that are refused
 */

typedef struct Refused {
    const char *props;
    const char *words;
} Refused;

static void test_refused(NtbFixture *f)
{
    for (const Refused *r = f->test->data; r->props; r++) {
        ntb_assert_refused_at(f->server, r->words, "%s", r->props);
    }
}

static const Refused sizes[] = {
    { ",bar1-size=1000", "bar1-size" },
    { ",bar1-size=256", "bar1-size|512" },
    { ",bar1-size=0", "bar1-size" },
    { ",bar2-size=33M", "bar2-size" },
    { ",bar4-size=3T", "bar4-size" },
    { ",bar1-size=4G", "bar1-size|32 bits" },
    { ",bar2-64bit=off,bar2-size=4G", "bar2-size|32 bits" },
    { ",bar4-64bit=off,bar5-mode=direct,bar5-size=5k", "bar5-size" },
    { }
};

static const Refused modes[] = {
    { ",bar1-mode=lut12", "bar1-mode|BAR2" },
    { ",bar1-mode=lut24", "bar1-mode|BAR2" },
    { ",bar2-64bit=off,bar3-mode=lut24", "bar3-mode" },
    { ",bar4-64bit=off,bar5-mode=lut12", "bar5-mode" },
    { ",bar4-mode=lut24", "bar4-mode|lut24" },
    { ",bar2-mode=lut36", "mode|lut36" },
    { }
};

static const Refused odd_64bit[] = {
    { ",bar1-64bit=on", "bar1-64bit" },
    { ",bar2-mode=off,bar3-mode=direct,bar3-64bit=on", "bar3-64bit" },
    { ",bar4-64bit=off,bar5-mode=direct,bar5-64bit=on", "bar5-64bit" },
    { }
};

static const Refused upper_halves[] = {
    { ",bar3-mode=direct", "bar3-mode|bar2-64bit" },
    { ",bar5-mode=direct,bar5-size=4k", "bar5-mode|bar4-64bit" },
    { }
};

/* Once BAR2 is off, BAR3 can be used */
static void test_bar3_alone(NtbFixture *f)
{
    NtbPort *p = f->ports[0];

    g_assert_cmphex(ntb_read(p, win_reg(2, A_BARSETUP0)), ==, 0);
    g_assert_cmphex(ntb_read(p, win_reg(3, A_BARSETUP0)), ==, EN | LOG2(16));
}

/*
 * Two ports, one switch
 */

typedef struct Mismatch {
    const char *first, *second;
    const char *words;
} Mismatch;

static void test_mismatch(NtbFixture *f)
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
        const Mismatch *m = &mismatches[i];

        ntb_start(f, 0, m->first);
        ntb_assert_refused_at(f->server, m->words, "%s", m->second);
        /* The switch goes on, and takes a port with the right properties */
        ntb_start(f, 1, m->first);
        ntb_end(f, 1);
        ntb_end(f, 0);
        /* Without ports, the switch takes any properties */
        ntb_start(f, 0, m->second);
        ntb_end(f, 0);
    }
}

static void test_own_properties(NtbFixture *f)
{
    NtbPort *a = ntb_start(f, 0, ",direct=off,completion-timeout=7");
    NtbPort *b = ntb_start(f, 1, ",trust-peers=on,completion-timeout=1000");

    g_assert_false(ntb_qom_bool(a, "direct"));
    g_assert_true(ntb_qom_bool(b, "direct"));
    g_assert_false(ntb_qom_bool(a, "trust-peers"));
    g_assert_true(ntb_qom_bool(b, "trust-peers"));
    g_assert_cmpint(ntb_qom_int(a, "completion-timeout"), ==, 7);
    g_assert_cmpint(ntb_qom_int(b, "completion-timeout"), ==, 1000);
    g_assert_cmpint(ntb_qom_int(a, "direct-mappings"), ==, 0);
    ntb_assert_talk(a, b);
    ntb_end(f, 0);
    a = ntb_start(f, 0, NULL);
    g_assert_cmpint(ntb_qom_int(a, "completion-timeout"), ==, 100);
}

/* Refuse to set what the BARs were made from, and what is only shown */
static void test_read_only(NtbFixture *f)
{
    static const char *const names[] = {
        "direct-mappings", "windows", "bar1-size"
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        QDict *error = qtest_qmp_assert_failure_ref(f->ports[0]->qts,
            "{'execute': 'qom-set', 'arguments': {'property': %s,"
            " 'path': '/machine/peripheral/ntb0', 'value': 4096}}", names[i]);

        qobject_unref(error);
    }
}

/*
 * Warnings
 */

/* Start and end a QEMU: its messages have all the @words, NULL: are empty */
static void assert_says(NtbFixture *f, const char *props, const char *words)
{
    g_autofree char *log = ntb_tmp_path("stderr");
    g_autofree char *args = g_strdup_printf("2>%s", log);
    g_auto(GStrv) word = g_strsplit(words ?: "", "|", 0);
    g_autofree char *text = NULL;

    ntb_settle(ntb_start_args(f, 0, args, props)->qts);
    ntb_end(f, 0);
    g_assert_true(g_file_get_contents(log, &text, NULL, NULL));
    g_unlink(log);
    g_test_message("%s", text);
    g_assert_cmpint(!*text, ==, !words);
    for (unsigned i = 0; word[i]; i++) {
        if (!strstr(text, word[i])) {
            ntb_fail("'%s' is not in: %s", word[i], text);
        }
    }
}

static void test_warnings(NtbFixture *f)
{
    assert_says(f, ",bar4-size=2G", "warning|bar4-size|Linux");
    assert_says(f, ",bar4-mode=lut12,bar4-size=16M", "warning|37|29");
    assert_says(f, "", NULL);
    assert_says(f, ",bar4-size=1G", NULL);
    /* 29 windows */
    assert_says(f, ",bar2-mode=lut12,bar4-mode=lut12", NULL);
}

static const NtbTest tests[] = {
    { "window-options/refuse-bad-sizes", test_refused, .data = sizes },
    { "window-options/refuse-bad-modes", test_refused, .data = modes },
    { "window-options/refuse-odd-64-bit-bars", test_refused,
      .data = odd_64bit },
    { "window-options/refuse-upper-halves-as-bars", test_refused,
      .data = upper_halves },
    { "window-options/take-bar3-without-bar2", test_bar3_alone, .ports = 1,
      .props = ",bar2-mode=off,bar3-mode=direct,bar3-size=64k" },
    { "window-options/refuse-another-layout", test_mismatch },
    { "window-options/of-a-port-may-differ", test_own_properties },
    { "window-options/do-not-change-later", test_read_only, .ports = 1 },
    { "window-options/warn-of-what-linux-cannot-use", test_warnings,
      .windows = WIN_ONLY(WIN_SHARED) },
};

ntb_tests(tests);
