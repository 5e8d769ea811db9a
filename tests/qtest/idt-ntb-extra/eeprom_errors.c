/*
 * QTest testcase for idt-ntb: EEPROM images that are refused
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <sys/stat.h>
#include "qobject/qdict.h"
#include "extra.h"
#include "image.h"

/*
 * Bad blocks.  All images begin with a write of 7 bytes, SWCTL = 1.
 */

typedef struct Bad {
    const char *name;
    const char *bytes;          /* after it, in hexadecimal */
    bool checksum;              /* a good one follows */
    const char *words;          /* of the error */
} Bad;

static const Bad bad[] = {
    { "no-checksum", "", false,
      "byte 0x0007: the image ends without a checksum block" },
    { "type-80", "80", true, "byte 0x0007: block of unknown type 0x80" },
    { "type-low-bits", "01 00f8 00000000", true,
      "byte 0x0007: block of unknown type 0x01" },
    { "erased", "ffffffff", false,
      "byte 0x0007: block of unknown type 0xff" },
    { "truncated-write", "00 00f8 000000", false,
      "byte 0x0007: the image ends after 6 of the 7 bytes of a write block" },
    { "truncated-count", "20 00f8 01", false,
      "byte 0x0007: the image ends after 4 of the 5 bytes of a consecutive "
      "write block" },
    { "truncated-values", "20 00f8 0200 01000000 020000", false,
      "byte 0x0007: the image ends after 12 of the 13 bytes of a consecutive "
      "write block" },
    { "truncated-jump", "40 00", false,
      "byte 0x0007: the image ends after 2 of the 3 bytes of a jump block" },
    { "truncated-wait", "60 00f8 01000000", false,
      "byte 0x0007: the image ends after 7 of the 11 bytes of a wait block" },
    { "truncated-checksum", "e0", false,
      "byte 0x0007: the image ends after 1 of the 2 bytes of a checksum "
      "block" },
    { "truncated-later", "40 0b00 00 60", false,
      "byte 0x000b: the image ends after 1 of the 11 bytes of a wait block" },
    { "count-0", "20 00f8 0000", true,
      "byte 0x0007: consecutive write of no registers" },
    { "count-too-large", "20 ffff 0200 00000000 00000000", true,
      "byte 0x0007: consecutive write of 2 registers from 0x3fffc on leads "
      "beyond the last register at 0x3fffc" },
    { "jump-outside", "40 0c00", true,
      "byte 0x0007: jump to byte 0x000c, but the image has 0x000c bytes" },
    { "jump-far-outside", "40 ffff", true,
      "byte 0x0007: jump to byte 0xffff, but the image has 0x000c bytes" },
    { "loop", "40 0000", true,
      "byte 0x0000: executed a second time: the image does not end" },
    { "loop-of-one", "40 0700", true,
      "byte 0x0007: executed a second time: the image does not end" },
    { "loop-of-two", "40 0c00 0000 40 0700", true,
      "byte 0x0007: executed a second time: the image does not end" },
    /* A write from byte 10 on, of which the second jump is a part */
    { "loop-overlaps", "40 0b00 00 40 0a00 000000", true,
      "byte 0x000b: executed a second time: the image does not end" },
    { "jump-into-itself", "40 0800", true,
      "byte 0x0008: block of unknown type 0x08" },
    { "checksum", "e0 27", false,
      "byte 0x0007: the checksum is 0x27, but must be 0x26" },
    { "checksum-after-jump", "40 0b00 01 e0 00", false,
      "byte 0x000b: the checksum is 0x00, but must be 0xdb" },
    /* The byte that is jumped over does not count */
    { "checksum-of-all", "40 0b00 01 e0 da", false,
      "byte 0x000b: the checksum is 0xda, but must be 0xdb" },
    /* SMBUSCTL.ICHECKSUM was set, and cleared again */
    { "checksum-not-ignored", "00 63fc 00000200 00 63fc fffffdff e0 00", false,
      "byte 0x0015: the checksum is 0x00, but must be 0x" },
    { "jump-selector", "41 0a00", true,
      "byte 0x0007: jump with selector 1: only selector 0 is known" },
    { "jump-selector-31", "5f 0a00", true,
      "byte 0x0007: jump with selector 31" },
    { "wait", "60 00f8 02000000 fcffffff", true,
      "byte 0x0007: wait for register 0x3e000 to be 0x00000002 (mask "
      "0xfffffffc) does not end: it is 0x00000001" },
    { "wait-for-no-register", "60 ffff 01000000 00000000", true,
      "byte 0x0007: wait for register 0x3fffc to be 0x00000001 (mask "
      "0x00000000) does not end: it is 0x00000000" },
};

static GByteArray *image_of(const Bad *of)
{
    GByteArray *image = g_byte_array_new();

    image_write(image, A_SWCTL, 1);
    for (const char *c = of->bytes; *c; c++) {
        if (*c != ' ') {
            uint8_t byte = g_ascii_xdigit_value(c[0]) << 4 |
                           g_ascii_xdigit_value(c[1]);

            g_byte_array_append(image, &byte, 1);
            c++;
        }
    }
    if (of->checksum) {
        image_end(image);
    }
    return image;
}

/* QEMU refuses @path, and says its name and all of @words */
static void assert_bad(NtbFixture *f, const char *path, const char *words)
{
    g_autofree char *all = g_strdup_printf("%s|%s", path, words);

    ntb_assert_refused_at(f->server, all, ",eeprom=%s", path);
}

/* The refused image leaves nothing behind */
static void test_bad(NtbFixture *f)
{
    const Bad *of = f->test->data;
    g_autoptr(ImagePath) path = image_save(image_of(of));

    assert_bad(f, path, of->words);
    g_assert_cmphex(ntb_gas_read(ntb_start(f, 0, NULL), A_SWCTL), ==, 0);
}

/*
 * Other files.  None of them can make QEMU wait.
 */

static void test_files(NtbFixture *f)
{
    g_autofree char *path = ntb_tmp_path("file");
    g_autofree char *large = g_malloc0(65537);

    assert_bad(f, path, "No such file or directory");
    g_assert_cmpint(mkdir(path, 0700), ==, 0);
    assert_bad(f, path, "is no regular file");
    g_assert_cmpint(rmdir(path), ==, 0);
    g_assert_cmpint(mkfifo(path, 0600), ==, 0);
    assert_bad(f, path, "is no regular file");
    g_assert_cmpint(g_unlink(path), ==, 0);
    assert_bad(f, "/dev/zero", "is no regular file");
    g_assert_true(g_file_set_contents(path, "", 0, NULL));
    assert_bad(f, path, "has 0 bytes|1 to 65536");
    g_assert_true(g_file_set_contents(path, large, 65537, NULL));
    assert_bad(f, path, "has 65537 bytes|1 to 65536");
    g_assert_cmpint(g_unlink(path), ==, 0);
}

/*
 * Images with two NT ports and a value that the chip does not have
 */

typedef struct Wrong {
    const char *name;
    uint32_t addr;
    uint32_t value;
    const char *words;
} Wrong;

#define BARSETUP(bar)   (IDT_GAS_NT_FUNCTION + A_BARSETUP0 + \
                         (bar) * IDT_BAR_STRIDE)
#define PORTCTL(port)   (A_SWPORT0CTL + (port) * IDT_SWPORT_STRIDE)

static const Wrong wrong[] = {
    { "mode-9", PORTCTL(4), 9, "SWPORT4CTL = 0x00000009|mode 9" },
    { "no-nt-function", PORTCTL(1), 3, "SWPORT1CTL = 0x00000003|mode 3" },
    { "no-port", PORTCTL(23), 1, "SWPORT23CTL = 0x00000001|89HPES24NT6AG2" },
    { "bar0", BARSETUP(0), 0x800000c0, "BARSETUP0 = 0x800000c0|MODE" },
    { "bar0-size", BARSETUP(0), 0x800004d0, "BARSETUP0 = 0x800004d0|SIZE" },
    { "bar-cfg", BARSETUP(1), 0x800004c0, "BARSETUP1 = 0x800004c0|MODE" },
    { "bar-io", BARSETUP(1), 0x800000c1, "BARSETUP1 = 0x800000c1|MEMSI" },
    { "bar-type", BARSETUP(2), 0x800000c2, "BARSETUP2 = 0x800000c2|TYPE" },
    { "bar-64-bit", BARSETUP(3), 0x800000c4, "BARSETUP3 = 0x800000c4|TYPE" },
    { "bar-small", BARSETUP(1), 0x80000080, "BARSETUP1 = 0x80000080|SIZE" },
    { "bar-large", BARSETUP(1), 0x80000200, "BARSETUP1 = 0x80000200|SIZE" },
    { "bar-lut", BARSETUP(5), 0x80001140, "BARSETUP5 = 0x80001140|ATRAN" },
    { "bar-atran", BARSETUP(2), 0x80001940, "BARSETUP2 = 0x80001940|ATRAN" },
};

static void test_wrong(NtbFixture *f)
{
    const Wrong *of = f->test->data;
    GByteArray *image = image_new(2);
    g_autoptr(ImagePath) path = NULL;

    image_write(image, of->addr, of->value);
    path = image_finish(image);
    assert_bad(f, path, of->words);
}

static void test_wrong_pairs(NtbFixture *f)
{
    static const struct {
        uint32_t barsetup[IDT_NUM_BARS];
        const char *words;
    } pairs[] = {
        { { 0, 0, 0x8000019c, 0x80000140 }, "port 2|BARSETUP3|upper half" },
        { { 0, 0, 0x80001190, 0, 0x80001190 }, "port 2|BARSETUP2|BARSETUP4" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(pairs); i++) {
        GByteArray *image = image_new(2);
        g_autoptr(ImagePath) path = NULL;

        image_bars(image, 2, pairs[i].barsetup);
        path = image_finish(image);
        assert_bad(f, path, pairs[i].words);
    }
}

/* A good image, but no port can attach */
static void test_no_ports(NtbFixture *f)
{
    GByteArray *image = g_byte_array_new();
    g_autoptr(ImagePath) path = NULL;

    image_partition(image, 0, IDT_PART_STATE_ACTIVE);
    image_port(image, 0, IDT_PORT_MODE_UPSTREAM);
    path = image_finish(image);
    assert_bad(f, path, "no port|NT function");
}

/*
 * All ports of a switch must agree
 */

/* Three ports; @id makes a difference, but not in size */
static ImagePath *some_image(unsigned id)
{
    GByteArray *image = g_byte_array_new();

    image_write(image, A_TMPADJ, id);
    image_topology(image, 3);
    return image_finish(image);
}

static void test_agree(NtbFixture *f)
{
    g_autoptr(ImagePath) path = some_image(1);
    g_autoptr(ImagePath) same = some_image(1);
    g_autoptr(ImagePath) other = some_image(2);
    NtbPort *a = image_start(f, 0, path, "");
    NtbPort *b = image_start(f, 1, same, "");
    NtbPort *c = ntb_start(f, 2, NULL);

    g_assert_cmpuint(c->port, ==, 4);
    ntb_assert_talk(a, c);
    ntb_assert_talk(c, b);
    ntb_end(f, 2);
    assert_bad(f, other, "is not the image|the same");
    ntb_assert_refused_at(f->server, "EEPROM image|partitions=|eeprom=",
                          ",partitions=3");
    ntb_assert_refused_at(f->server, "EEPROM image|bar|eeprom=",
                          ",bar1-size=64k");
    /* Even the default value */
    ntb_assert_refused_at(f->server, "eeprom= sets|leave out partitions=",
                          ",partitions=2,eeprom=%s", path);
    ntb_assert_refused_at(f->server, "eeprom= sets|leave out bar2-mode=",
                          ",bar2-mode=off,eeprom=%s", path);
    ntb_assert_refused_at(f->server, "eeprom= sets|leave out bar5-prefetch=",
                          ",eeprom=%s,bar5-prefetch=off", path);
    ntb_assert_refused_at(f->server, "eeprom= sets|leave out bar4-size=",
                          ",eeprom=%s,bar4-size=1M", path);
    ntb_end(f, 0);
    ntb_end(f, 1);
    /* Without ports, there is no switch to agree with */
    a = image_start(f, 0, other, "");
    g_assert_cmphex(ntb_gas_read(a, A_TMPADJ), ==, 2);
    assert_bad(f, path, "is not the image");
}

static void test_agree_properties(NtbFixture *f)
{
    g_autoptr(ImagePath) path = some_image(0);

    assert_bad(f, path, "configured by properties|leave out eeprom=");
}

/* Devices with different images, and with a bad one, follow each other */
static void test_hotplug(NtbFixture *f)
{
    ImagePath *paths[] = {
        some_image(1), image_save(image_of(&bad[0])), some_image(2)
    };

    for (unsigned i = 0; i < 6; i++) {
        g_autofree char *props = g_strdup_printf(", 'eeprom': '%s'",
                                                 paths[i % 3]);

        if (i % 3 == 1) {
            QDict *error = qtest_qmp_assert_failure_ref(
                f->root, "{'execute': 'device_add', 'arguments': {"
                "'driver': 'idt-ntb', 'id': 'ntb1', 'bus': 'rp0',"
                "'chardev': 'ntb', 'eeprom': %s}}", paths[1]);

            g_assert_nonnull(strstr(qdict_get_str(error, "desc"),
                                    "without a checksum"));
            qobject_unref(error);
            continue;
        }
        g_assert_cmphex(ntb_gas_read(ntb_plug(f, 0, props), A_TMPADJ), ==,
                        i % 3 ? 2 : 1);
        ntb_unplug(f, 0);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(paths); i++) {
        image_free(paths[i]);
    }
}

/* The image configures the switch of a new server, even without its file */
static void test_new_server(NtbFixture *f)
{
    g_autoptr(ImagePath) same = some_image(1);
    g_autoptr(ImagePath) other = some_image(2);
    ImagePath *path = some_image(1);
    g_autofree char *props = g_strdup_printf(", 'eeprom': '%s'", path);
    NtbPort *a = ntb_plug(f, 0, props), *b, *c;

    image_free(path);
    ntb_server_kill(f->server);
    ntb_server_restart_empty(f->server);
    ntb_wait(ntb_is_up_in(f->server, 0));
    ntb_settle(f->root);
    assert_bad(f, other, "is not the image");
    ntb_assert_refused_at(f->server, "EEPROM image", ",partitions=3");
    b = image_start(f, 1, same, "");
    c = ntb_start(f, 2, NULL);
    g_assert_cmpuint(b->port, ==, 2);
    g_assert_cmpuint(c->port, ==, 4);
    ntb_assert_talk(a, c);
    ntb_assert_talk(b, a);
}

static const NtbTest tests[] = {
    { "eeprom/refuses-bars-that-exclude-each-other", test_wrong_pairs,
      .q35 = true },
    { "eeprom/refuses-an-image-without-nt-ports", test_no_ports, .q35 = true },
    { "eeprom/refuses-other-files", test_files, .q35 = true },
    { "eeprom/is-the-same-for-all-ports", test_agree, .q35 = true },
    { "eeprom/is-refused-with-properties", test_agree_properties, .ports = 1,
      .q35 = true },
    { "eeprom/each-device-brings-its-own", test_hotplug, .root_port = true,
      .q35 = true },
    { "eeprom/configures-the-switch-of-a-new-server", test_new_server,
      .server = ntb_server_start_process, .root_port = true, .q35 = true,
      .needs = ntb_reconnects },
};

ntb_tests(tests);

static void add_refused(const char *name, void (*run)(NtbFixture *f),
                        const void *data)
{
    g_autofree char *path = g_strdup_printf("eeprom/refuses-%s", name);

    ntb_add_test(&(NtbTest) {
        .path = path, .run = run, .q35 = true, .data = data
    });
}

static void add_all_refused(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        add_refused(bad[i].name, test_bad, &bad[i]);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        add_refused(wrong[i].name, test_wrong, &wrong[i]);
    }
}

libqos_init(add_all_refused);
