/*
 * QTest testcase for idt-ntb: EEPROM images that are refused
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <sys/stat.h>
#include "qemu/atomic.h"
#include "qemu/module.h"
#include "hw/misc/idt_ntb/shm.h"
#include "qobject/qdict.h"
#include "image.h"

/*
 * Images that are no images.  All begin with a write of 7 bytes, SWCTL = 1.
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
    /* Right with the byte that is jumped over, which is not read */
    { "checksum-of-all", "40 0b00 01 e0 da", false,
      "byte 0x000b: the checksum is 0xda, but must be 0xdb" },
    /* SMBUSCTL.ICHECKSUM was set, but is not any more */
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

/* @server refuses to be configured by @path; names it, and all @words */
static void assert_bad(NtbServer *server, const char *path, const char *words)
{
    g_autofree char *all = g_strdup_printf("%s|%s", path, words);

    ntb_assert_refused_at(server, all, ",eeprom=%s", path);
}

/* Nothing is left of it: the next one makes its own switch */
static void test_bad(const void *data)
{
    const Bad *of = data;
    NtbServer *server = ntb_server_start();
    char *path = image_save(image_of(of));
    NtbPort *p;

    assert_bad(server, path, of->words);
    p = ntb_boot(server, NULL);
    g_assert_cmphex(ntb_gas_read(p, A_SWCTL), ==, 0);
    ntb_quit(p);
    ntb_server_stop(server);
    image_free(path);
}

/*
 * Files that are no images.  None of them can make QEMU wait.
 */

static void test_files(void)
{
    NtbServer *server = ntb_server_start();
    g_autofree char *path = ntb_tmp_path("file");
    g_autofree char *large = g_malloc0(65537);

    assert_bad(server, path, "No such file or directory");
    g_assert_cmpint(mkdir(path, 0700), ==, 0);
    assert_bad(server, path, "is no regular file");
    g_assert_cmpint(rmdir(path), ==, 0);
    g_assert_cmpint(mkfifo(path, 0600), ==, 0);
    assert_bad(server, path, "is no regular file");
    g_assert_cmpint(g_unlink(path), ==, 0);
    assert_bad(server, "/dev/zero", "is no regular file");
    g_assert_true(g_file_set_contents(path, "", 0, NULL));
    assert_bad(server, path, "has 0 bytes|1 to 65536");
    g_assert_true(g_file_set_contents(path, large, 65537, NULL));
    assert_bad(server, path, "has 65537 bytes|1 to 65536");
    g_assert_cmpint(g_unlink(path), ==, 0);
    ntb_server_stop(server);
}

/*
 * Images that ask for what there is not.  They have two NT ports, and more.
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

static void test_wrong(const void *data)
{
    const Wrong *of = data;
    NtbServer *server = ntb_server_start();
    GByteArray *image = g_byte_array_new();
    char *path;

    image_topology(image, 2);
    image_write(image, of->addr, of->value);
    image_end(image);
    path = image_save(image);
    assert_bad(server, path, of->words);
    ntb_server_stop(server);
    image_free(path);
}

static void test_wrong_pairs(void)
{
    static const struct {
        uint32_t barsetup[IDT_NUM_BARS];
        const char *words;
    } pairs[] = {
        { { 0, 0, 0x8000019c, 0x80000140 }, "port 2|BARSETUP3|upper half" },
        { { 0, 0, 0x80001190, 0, 0x80001190 }, "port 2|BARSETUP2|BARSETUP4" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(pairs); i++) {
        NtbServer *server = ntb_server_start();
        GByteArray *image = g_byte_array_new();
        char *path;

        image_topology(image, 2);
        image_bars(image, 2, pairs[i].barsetup);
        image_end(image);
        path = image_save(image);
        assert_bad(server, path, pairs[i].words);
        ntb_server_stop(server);
        image_free(path);
    }
}

/* An image that is good, and no use */
static void test_no_ports(void)
{
    NtbServer *server = ntb_server_start();
    GByteArray *image = g_byte_array_new();
    char *path;

    image_partition(image, 0, IDT_PART_STATE_ACTIVE);
    image_port(image, 0, IDT_PORT_MODE_UPSTREAM);
    image_end(image);
    path = image_save(image);
    assert_bad(server, path, "no port|NT function");
    ntb_server_stop(server);
    image_free(path);
}

/*
 * Agreement: an image and the switch that is running
 */

/* Three ports; images with another @id differ, their sizes don't */
static char *some_image(unsigned id)
{
    GByteArray *image = g_byte_array_new();

    image_write(image, A_TMPADJ, id);
    image_topology(image, 3);
    image_end(image);
    return image_save(image);
}

static void test_agree(void)
{
    NtbServer *server = ntb_server_start();
    char *path = some_image(1), *same = some_image(1), *other = some_image(2);
    g_autofree char *image = g_strdup_printf(",eeprom=%s", path);
    g_autofree char *copy = g_strdup_printf(",eeprom=%s", same);
    g_autofree char *another = g_strdup_printf(",eeprom=%s", other);
    NtbPort *a = ntb_boot(server, image);
    NtbPort *b = ntb_boot(server, copy);
    NtbPort *c = ntb_boot(server, NULL);

    g_assert_cmpuint(c->port, ==, 4);
    ntb_assert_talk(a, c);
    ntb_assert_talk(c, b);
    ntb_quit(c);
    assert_bad(server, other, "is not the image|the same");
    ntb_assert_refused_at(server, "EEPROM image|partitions=|eeprom=",
                          ",partitions=3");
    ntb_assert_refused_at(server, "EEPROM image|bar|eeprom=",
                          ",bar1-size=64k");
    /* The default, too */
    ntb_assert_refused_at(server, "eeprom= sets|leave out partitions=",
                          ",partitions=2,eeprom=%s", path);
    ntb_assert_refused_at(server, "eeprom= sets|leave out bar2-mode=",
                          ",bar2-mode=off,eeprom=%s", path);
    ntb_assert_refused_at(server, "eeprom= sets|leave out bar5-prefetch=",
                          ",eeprom=%s,bar5-prefetch=off", path);
    ntb_assert_refused_at(server, "eeprom= sets|leave out bar4-size=",
                          ",eeprom=%s,bar4-size=1M", path);
    ntb_quit(a);
    ntb_quit(b);
    /* Nobody is left */
    a = ntb_boot(server, another);
    g_assert_cmphex(ntb_gas_read(a, A_TMPADJ), ==, 2);
    assert_bad(server, path, "is not the image");
    ntb_quit(a);
    ntb_server_stop(server);
    image_free(path);
    image_free(same);
    image_free(other);
}

static void test_agree_properties(void)
{
    NtbServer *server = ntb_server_start();
    char *path = some_image(0);
    NtbPort *a = ntb_boot(server, NULL);

    assert_bad(server, path, "configured by properties|leave out eeprom=");
    ntb_quit(a);
    ntb_server_stop(server);
    image_free(path);
}

/* The device goes and another one comes, with another image, or a bad one */
static void test_hotplug(void)
{
    NtbServer *server = ntb_server_start();
    QTestState *qts = ntb_boot_root_port(server);
    char *paths[] = { some_image(1), image_save(image_of(&bad[0])),
                      some_image(2) };

    for (unsigned i = 0; i < 6; i++) {
        g_autofree char *props = g_strdup_printf(", 'eeprom': '%s'",
                                                 paths[i % 3]);
        NtbPort *p;

        if (i % 3 == 1) {
            QDict *error = qtest_qmp_assert_failure_ref(
                qts, "{'execute': 'device_add', 'arguments': {"
                "'driver': 'idt-ntb', 'id': 'ntb1', 'bus': 'rp0',"
                "'chardev': 'ntb', 'eeprom': %s}}", paths[1]);

            g_assert_nonnull(strstr(qdict_get_str(error, "desc"),
                                    "without a checksum"));
            qobject_unref(error);
            continue;
        }
        ntb_device_add_with(qts, props);
        p = ntb_open_plugged(qts);
        g_assert_cmphex(ntb_gas_read(p, A_TMPADJ), ==, i % 3 ? 2 : 1);
        ntb_quit(p);
        ntb_device_del(qts);
    }
    qtest_quit(qts);
    ntb_server_stop(server);
    for (unsigned i = 0; i < G_N_ELEMENTS(paths); i++) {
        image_free(paths[i]);
    }
}

static bool is_up_in(NtbServer *server, unsigned port)
{
    IdtNtbShm *shm = (IdtNtbShm *)server->mem;

    return qatomic_read(&shm->slot[ntb_slot(port)].p.state) == IDT_NTB_PORT_UP;
}

/* The image, not its file, configures the switch of a new server as well */
static void test_new_server(void)
{
    NtbServer *server = ntb_server_start_process();
    QTestState *qts = ntb_boot_root_port(server);
    char *path = some_image(1), *same = some_image(1), *other = some_image(2);
    g_autofree char *props = g_strdup_printf(", 'eeprom': '%s'", path);
    NtbPort *a, *b, *c;

    ntb_device_add_with(qts, props);
    a = ntb_open_plugged(qts);
    image_free(path);
    ntb_server_kill(server);
    ntb_server_restart_empty(server);
    ntb_wait(is_up_in(server, 0));
    ntb_settle(qts);
    assert_bad(server, other, "is not the image");
    ntb_assert_refused_at(server, "EEPROM image", ",partitions=3");
    g_free(props);
    props = g_strdup_printf(",eeprom=%s", same);
    b = ntb_boot(server, props);
    c = ntb_boot(server, NULL);
    g_assert_cmpuint(b->port, ==, 2);
    g_assert_cmpuint(c->port, ==, 4);
    ntb_assert_talk(a, c);
    ntb_assert_talk(b, a);
    ntb_quit(a);
    ntb_quit(b);
    ntb_quit(c);
    qtest_quit(qts);
    ntb_server_stop(server);
    image_free(same);
    image_free(other);
}

static void add_tests(void)
{
    if (!ntb_machine_is_q35()) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *path = g_strdup_printf("idt-ntb/eeprom/bad-%s",
                                                bad[i].name);

        qtest_add_data_func(path, &bad[i], test_bad);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *path = g_strdup_printf("idt-ntb/eeprom/wrong-%s",
                                                wrong[i].name);

        qtest_add_data_func(path, &wrong[i], test_wrong);
    }
    qtest_add_func("idt-ntb/eeprom/wrong-pairs", test_wrong_pairs);
    qtest_add_func("idt-ntb/eeprom/wrong-no-ports", test_no_ports);
    qtest_add_func("idt-ntb/eeprom/files", test_files);
    qtest_add_func("idt-ntb/eeprom/agree", test_agree);
    qtest_add_func("idt-ntb/eeprom/agree-properties", test_agree_properties);
    qtest_add_func("idt-ntb/eeprom/hotplug", test_hotplug);
    ntb_add_reconnect_test("idt-ntb/eeprom/new-server", test_new_server);
}

libqos_init(add_tests);
