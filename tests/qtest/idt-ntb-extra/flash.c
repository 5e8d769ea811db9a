/*
 * QTest testcase for idt-ntb: the serial EEPROM, read and written by software
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <sys/stat.h>
#include "qemu/atomic.h"
#include "qemu/memfd.h"
#include "hw/misc/idt_ntb/shm.h"
#include "extra.h"
#include "image.h"
#include "vcpu.h"

#define ADDR(n)     (n)
#define DATA(n)     ((uint32_t)(n) << R_EEPROMINTF_DATA_SHIFT)
#define BUSY        R_EEPROMINTF_BUSY_MASK
#define DONE        R_EEPROMINTF_DONE_MASK
#define READ        R_EEPROMINTF_OP_MASK
#define ERASED      0xff

#define WRITABLE    ",eeprom-writable=on"
#define READ_ONLY   ",eeprom-writable=off"

/* SMBUSSTS without the addresses */
static uint32_t smbus_status(NtbPort *p)
{
    return ntb_gas_read(p, A_SMBUSSTS) & ~(R_SMBUSSTS_SSMBADDR_MASK |
                                           R_SMBUSSTS_MSMBADDR_MASK);
}

/* Wait for the end of an operation, as a driver does; return the register */
static uint32_t wait_done(NtbPort *p)
{
    uint32_t value = 0;

    ntb_wait(!((value = ntb_gas_read(p, A_EEPROMINTF)) & BUSY));
    g_assert_cmphex(value & DONE, ==, DONE);
    return value;
}

static uint8_t rom_read(NtbPort *p, uint16_t addr)
{
    uint32_t value;

    ntb_gas_write(p, A_EEPROMINTF, ADDR(addr) | READ);
    value = wait_done(p);
    g_assert_cmphex(value & (READ | 0xffff), ==, READ | addr);
    return FIELD_EX32(value, EEPROMINTF, DATA);
}

static void rom_write(NtbPort *p, uint16_t addr, uint8_t data)
{
    ntb_gas_write(p, A_EEPROMINTF, ADDR(addr) | DATA(data));
    g_assert_cmphex(wait_done(p), ==, ADDR(addr) | DATA(data) | DONE);
}

static void assert_no_errors(NtbPort *p)
{
    g_assert_cmphex(smbus_status(p), ==, R_SMBUSSTS_EEPROMDONE_MASK);
}

/* An image for @ports ports; @id tells two of the same size apart */
static GByteArray *make_image(unsigned ports, unsigned id)
{
    GByteArray *image = g_byte_array_new();

    image_write(image, A_TMPADJ, id);
    image_topology(image, ports);
    image_end(image);
    return image;
}

/* The file has @image, and nothing else */
static void assert_file(const char *path, const GByteArray *image)
{
    g_autofree char *bytes = NULL;
    gsize size;

    g_assert_true(g_file_get_contents(path, &bytes, &size, NULL));
    g_assert_cmpmem(bytes, size, image->data, image->len);
}

/*
 * The register
 */

/* All ports read the image that the properties made */
static void test_read(NtbFixture *f)
{
    NtbPort **p = f->ports;
    IdtNtbShmHeader *header = &f->server->mem->header;

    for (unsigned i = 0; i < 2; i++) {
        g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
        uint8_t digest[IDT_NTB_DIGEST_SIZE];
        gsize size = sizeof(digest);

        for (unsigned at = 0; at < header->image_size; at++) {
            uint8_t byte = rom_read(p[i], at);

            g_checksum_update(sum, &byte, 1);
        }
        g_checksum_get_digest(sum, digest, &size);
        g_assert_cmpmem(digest, size, header->image_digest, size);
        g_assert_cmphex(rom_read(p[i], header->image_size), ==, ERASED);
        g_assert_cmphex(rom_read(p[i], 0xffff), ==, ERASED);
        assert_no_errors(p[i]);
    }
}

/* Without a file, all ports share it, as long as one is attached */
static void test_memory(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    uint8_t first = rom_read(a, 0);

    rom_write(a, 0, 0x5a);
    rom_write(b, 0xffff, 0xa5);
    g_assert_cmphex(rom_read(b, 0), ==, 0x5a);
    g_assert_cmphex(rom_read(a, 0xffff), ==, 0xa5);
    ntb_end(f, 0);
    a = ntb_start(f, 0, NULL);
    g_assert_cmphex(rom_read(a, 0), ==, 0x5a);
    ntb_end(f, 0);
    ntb_end(f, 1);
    a = ntb_start(f, 0, NULL);
    g_assert_cmphex(rom_read(a, 0), ==, first);
    g_assert_cmphex(rom_read(a, 0xffff), ==, ERASED);
}

/* Only a write of DATA starts an operation */
static void test_lanes(NtbFixture *f)
{
    NtbPort *p = f->ports[0];
    uint64_t data = p->bar0 + A_GASADATA;

    rom_write(p, 0x1234, 0x77);
    ntb_write(p, A_GASAADDR, A_EEPROMINTF);
    /* DONE is cleared by writing 1 */
    ntb_write_sized(p, data + 3, 1, DONE >> 24);
    g_assert_cmphex(ntb_read(p, A_GASADATA), ==, ADDR(0x1234) | DATA(0x77));
    ntb_write_sized(p, data, 2, 0xffff);
    ntb_write_sized(p, data + 3, 1, READ >> 24);
    g_assert_cmphex(ntb_read(p, A_GASADATA), ==,
                    READ | ADDR(0xffff) | DATA(0x77));
    ntb_write_sized(p, data + 2, 1, 0);
    g_assert_cmphex(ntb_read(p, A_GASADATA), ==,
                    READ | ADDR(0xffff) | DATA(ERASED) | DONE);
    /* 0 in DONE leaves it */
    ntb_write_sized(p, data + 3, 1, 0);
    g_assert_cmphex(ntb_read(p, A_GASADATA), ==,
                    ADDR(0xffff) | DATA(ERASED) | DONE);
    ntb_write_sized(p, data, 2, 0x1234);
    ntb_write_sized(p, data + 2, 1, 0x88);
    g_assert_cmphex(rom_read(p, 0x1234), ==, 0x88);
    g_assert_cmphex(rom_read(p, 0xffff), ==, ERASED);
}

/* The image cannot start an operation: the switch reads the EEPROM then */
static void test_not_by_image(NtbFixture *f)
{
    GByteArray *image = image_new(2);
    g_autoptr(ImagePath) path = NULL;
    NtbPort *p;

    image_wait(image, A_EEPROMINTF, BUSY, 0);
    image_write(image, A_EEPROMINTF, ADDR(0x8000) | DATA(1));
    path = image_finish(image);
    p = image_start(f, 0, path, WRITABLE);
    g_assert_cmphex(ntb_gas_read(p, A_EEPROMINTF), ==, 0);
    g_assert_cmphex(rom_read(p, 0x8000), ==, ERASED);
}

/* An operation ends when the port that does it dies */
static void test_death(NtbFixture *f)
{
    IdtNtbShmSwitch *sw = &f->server->mem->sw;
    NtbPort *a = f->ports[0];

    qatomic_set(&sw->eepromintf, BUSY | ADDR(5) |
                1 << R_SHM_EEPROMINTF_SLOT_SHIFT);
    g_assert_cmphex(ntb_gas_read(a, A_EEPROMINTF), ==, BUSY | ADDR(5));
    /* Ignored while busy */
    ntb_gas_write(a, A_EEPROMINTF, ADDR(6) | DATA(1));
    g_assert_cmphex(ntb_gas_read(a, A_EEPROMINTF), ==, BUSY | ADDR(5));
    ntb_end_by_kill(f, 1);
    g_assert_cmphex(wait_done(a), ==, ADDR(5) | DONE);
    g_assert_cmphex(smbus_status(a), ==,
                    R_SMBUSSTS_EEPROMDONE_MASK | R_SMBUSSTS_NAERR_MASK);
    ntb_gas_write(a, A_SMBUSSTS, UINT32_MAX);
    assert_no_errors(a);
    rom_write(a, 6, 1);
}

/* A switch takes its EEPROM along to a new server */
static void test_new_server(NtbFixture *f)
{
    NtbPort *a = ntb_plug(f, 0, NULL);

    rom_write(a, 0x9000, 0x42);
    ntb_server_kill(f->server);
    ntb_server_restart_empty(f->server);
    ntb_wait(ntb_is_up_in(f->server, 0));
    ntb_settle(f->root);
    g_assert_cmphex(rom_read(a, 0x9000), ==, 0x42);
    assert_no_errors(a);
}

/*
 * Files
 */

/* A board that is flashed uses the new image after all hosts restarted */
static void test_procedure(NtbFixture *f)
{
    g_autoptr(GByteArray) image = make_image(3, 7);
    g_autoptr(ImagePath) path = image_save(make_image(2, 0));
    NtbPort *a = image_start(f, 0, path, WRITABLE);
    NtbPort *b = image_start(f, 1, path, READ_ONLY), *c;

    for (unsigned i = 0; i < image->len; i++) {
        rom_write(a, i, image->data[i]);
    }
    for (unsigned i = 0; i < image->len; i++) {
        g_assert_cmphex(rom_read(b, i), ==, image->data[i]);
    }
    assert_no_errors(a);
    assert_file(path, image);
    /* One host that restarts finds the switch as it is */
    ntb_end(f, 1);
    ntb_assert_refused_at(f->server, "port=4|no NT function",
                          ",port=4,eeprom=%s", path);
    b = image_start(f, 1, path, READ_ONLY);
    g_assert_cmphex(ntb_gas_read(b, A_TMPADJ), ==, 0);
    ntb_end(f, 0);
    a = image_start(f, 0, path, WRITABLE);
    g_assert_cmphex(ntb_gas_read(a, A_TMPADJ), ==, 0);
    ntb_end(f, 0);
    ntb_end(f, 1);

    a = image_start(f, 0, path, WRITABLE);
    b = image_start(f, 1, path, WRITABLE);
    c = image_start(f, 2, path, READ_ONLY);
    g_assert_cmpuint(c->port, ==, 4);
    g_assert_cmphex(ntb_gas_read(a, A_TMPADJ), ==, 7);
    ntb_assert_talk(a, c);
}

/* A running guest writes the EEPROM */
static void test_vcpu(NtbFixture *f)
{
    g_autoptr(GByteArray) image = make_image(2, 0);
    g_autoptr(ImagePath) path = image_save(make_image(2, 0));
    g_autofree char *props = g_strdup_printf(",eeprom=%s" WRITABLE, path);
    NtbPort *p = win_boot(f->server, WIN_PLAIN, vcpu_args(), props);

    f->ports[0] = p;
    vcpu_write(p, p->bar0 + A_GASAADDR, 4, A_EEPROMINTF);
    for (unsigned i = 0; i < 64; i++) {
        vcpu_write(p, p->bar0 + A_GASADATA, 4, ADDR(i) | DATA(i + 1));
        ntb_wait(!(vcpu_read(p, p->bar0 + A_GASADATA, 4) & BUSY));
        g_assert_cmphex(vcpu_read(p, p->bar0 + A_GASADATA, 4), ==,
                        ADDR(i) | DATA(i + 1) | DONE);
        image->data[i] = i + 1;
    }
    assert_file(path, image);
}

/* The file grows, with erased bytes between, up to 64 KiB */
static void test_growth(NtbFixture *f)
{
    g_autoptr(GByteArray) image = make_image(2, 0);
    g_autoptr(ImagePath) path = image_save(make_image(2, 0));
    NtbPort *p = image_start(f, 0, path, WRITABLE);
    unsigned size = image->len;

    rom_write(p, size - 1, image->data[size - 1]);
    assert_file(path, image);
    rom_write(p, 0xffff, 0x12);
    g_byte_array_set_size(image, 0x10000);
    memset(image->data + size, ERASED, 0xffff - size);
    image->data[0xffff] = 0x12;
    assert_file(path, image);
    ntb_end(f, 0);
    p = image_start(f, 0, path, WRITABLE);
    g_assert_cmphex(rom_read(p, 0xffff), ==, 0x12);
}

/* Ports see the write of another guest, but do not put it into their file */
static void test_other_guest(NtbFixture *f)
{
    g_autoptr(GByteArray) image = make_image(2, 0);
    g_autoptr(ImagePath) path = image_save(make_image(2, 0));
    NtbPort *a = image_start(f, 0, path, WRITABLE);
    NtbPort *b = image_start(f, 1, path, READ_ONLY);

    rom_write(b, 3, 0x33);
    g_assert_cmphex(rom_read(a, 3), ==, 0x33);
    assert_file(path, image);
}

/* The guest flashes after the QEMU that it moves to has started */
static void test_moves(NtbFixture *f)
{
    g_autoptr(ImagePath) path = image_save(make_image(2, 0));
    g_autofree char *socket = ntb_tmp_path("migrate");
    g_autofree char *uri = g_strdup_printf("unix:%s", socket);
    NtbPort *a = image_start(f, 0, path, WRITABLE ",port=0");
    QTestState *to = qtest_initf(
        "%s -incoming %s -chardev socket,path=%s,id=ntb "
        "-device idt-ntb,id=ntb0,chardev=ntb,addr=4.0,port=0,eeprom=%s"
        WRITABLE, ntb_next_machine(), uri, f->server->socket, path);

    rom_write(a, 200, 0x33);
    qtest_qmp_assert_success(a->qts, "{'execute': 'migrate', 'arguments': "
                             "{'uri': %s}}", uri);
    qtest_qmp_eventwait(to, "RESUME");
    qtest_quit(a->qts);
    a->qts = a->dev->bus->qts = to;
    g_assert_cmphex(rom_read(a, 200), ==, 0x33);
    rom_write(a, 201, 0x44);
    assert_no_errors(a);
}

/* If the file can't be written any more, the EEPROM keeps what the file has */
static void test_failure(NtbFixture *f)
{
    g_autoptr(GByteArray) image = make_image(2, 0);
    g_autofree char *props = NULL;
    int fd = memfd_create("eeprom", MFD_ALLOW_SEALING);
    NtbPort *p;

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(write(fd, image->data, image->len), ==, image->len);
    props = g_strdup_printf(",eeprom=/dev/fdset/1" WRITABLE
                            " -add-fd fd=%d,set=1", fd);
    p = ntb_start(f, 0, props);
    rom_write(p, 0, 0x20);
    g_assert_cmpint(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), ==, 0);
    ntb_gas_write(p, A_EEPROMINTF, ADDR(0x8000) | DATA(1));
    wait_done(p);
    g_assert_cmphex(smbus_status(p), ==,
                    R_SMBUSSTS_EEPROMDONE_MASK | R_SMBUSSTS_NAERR_MASK);
    g_assert_cmphex(rom_read(p, 0x8000), ==, ERASED);
    ntb_gas_write(p, A_SMBUSSTS, R_SMBUSSTS_NAERR_MASK);
    rom_write(p, 1, 0x21);
    assert_no_errors(p);
    g_assert_cmpint(pread(fd, image->data, image->len, 0), ==, image->len);
    g_assert_cmphex(image->data[0], ==, 0x20);
    g_assert_cmphex(image->data[1], ==, 0x21);
    g_assert_cmpint(lseek(fd, 0, SEEK_END), ==, image->len);
    close(fd);
}

static void test_options(NtbFixture *f)
{
    g_autoptr(ImagePath) path = image_save(make_image(2, 0));
    g_autoptr(ImagePath) other = image_save(make_image(2, 0));
    NtbPort *a;

    ntb_assert_refused_at(f->server, "eeprom-writable=on|eeprom=FILE",
                          ",eeprom-writable=on");
    ntb_assert_refused_at(f->server, "Is a directory",
                          ",eeprom=/,eeprom-writable=on");
    a = image_start(f, 0, path, WRITABLE);
    rom_write(a, 0x8000, 1);
    /* The image that configured the switch, but the EEPROM has changed */
    image_start(f, 1, other, READ_ONLY);
    ntb_end(f, 1);
    ntb_assert_refused_at(f->server, "does not hold what the EEPROM|"
                          "one file for all ports", ",eeprom=%s" WRITABLE,
                          other);
    image_start(f, 1, path, WRITABLE);
}

/*
 * SMBUSSTS: what was wrong when the switch was configured
 */

/* A bad image is executed up to the error */
static void test_bad_flash(NtbFixture *f)
{
    static const struct {
        const char *tail;       /* in place of the checksum block */
        unsigned size;
    } bad[] = {
        { "\xe0\x00", 2 }, { "\xff", 1 }, { "\x40\x00\x00", 3 },
        { "\x41\x00\x00", 3 }, { "", 0 },
        { "\x60\x00\xf8\x00\x00\x00\x01\x00\x00\x00\x00", 11 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        GByteArray *image = make_image(2, 9);
        g_autoptr(ImagePath) path = NULL;
        NtbPort *a, *b;

        g_byte_array_set_size(image, image->len - 2);
        g_byte_array_append(image, (const uint8_t *)bad[i].tail, bad[i].size);
        path = image_save(image);
        ntb_assert_refused_at(f->server, path, ",eeprom=%s", path);
        a = image_start(f, 0, path, WRITABLE);
        b = image_start(f, 1, path, READ_ONLY);
        g_assert_cmphex(smbus_status(b), ==,
                        R_SMBUSSTS_EEPROMDONE_MASK | R_SMBUSSTS_EED_MASK);
        g_assert_cmphex(ntb_gas_read(b, A_TMPADJ), ==, 9);
        ntb_assert_talk(a, b);
        ntb_gas_write(b, A_SMBUSSTS, R_SMBUSSTS_EED_MASK);
        assert_no_errors(a);
        ntb_end(f, 0);
        ntb_end(f, 1);
    }
}

/* QEMU ends with an error if a bad image leaves no port */
static void test_useless_flash(NtbFixture *f)
{
    GByteArray *image = g_byte_array_new();
    g_autoptr(ImagePath) path = NULL;

    g_byte_array_append(image, (const uint8_t *)"\xff\xff", 2);
    path = image_save(image);
    ntb_assert_refused_at(f->server, "byte 0x0000: block of unknown type 0xff",
                          ",eeprom=%s" WRITABLE, path);
}

/* A write to a port that does not exist */
static void test_unmapped(NtbFixture *f)
{
    GByteArray *image = image_new(2);
    g_autoptr(ImagePath) path = NULL;
    NtbPort *p;

    image_write(image, ntb_gas_nt(1, A_NTCTL), 1);
    path = image_finish(image);
    p = image_start(f, 0, path, READ_ONLY);
    g_assert_cmphex(smbus_status(p), ==,
                    R_SMBUSSTS_EEPROMDONE_MASK | R_SMBUSSTS_URIA_MASK);
}

static const NtbTest tests[] = {
    { "flash/reads-the-image-of-the-switch", test_read, .ports = 2,
      .q35 = true },
    { "flash/without-file-is-shared-by-all-ports", test_memory, .ports = 2,
      .q35 = true },
    { "flash/write-of-data-starts-an-operation", test_lanes, .ports = 1,
      .q35 = true },
    { "flash/image-starts-no-operation", test_not_by_image, .q35 = true },
    { "flash/operation-ends-with-its-port", test_death, .ports = 2,
      .q35 = true },
    { "flash/moves-to-a-new-server", test_new_server,
      .server = ntb_server_start_process, .root_port = true, .q35 = true,
      .needs = ntb_reconnects },
    { "flash/new-image-applies-after-all-restarted", test_procedure,
      .q35 = true },
    { "flash/running-guest-writes-the-file", test_vcpu, .q35 = true,
      .needs = vcpu_possible },
    { "flash/file-grows-to-64-kib", test_growth, .q35 = true },
    { "flash/other-guests-do-not-write-our-file", test_other_guest,
      .q35 = true },
    { "flash/moves-with-its-guest", test_moves, .q35 = true },
    { "flash/failed-write-changes-nothing", test_failure, .q35 = true },
    { "flash/refuses-another-file", test_options, .q35 = true },
    { "flash/bad-image-acts-up-to-its-error", test_bad_flash, .q35 = true },
    { "flash/refuses-an-image-without-ports", test_useless_flash, .q35 = true },
    { "flash/image-that-writes-no-port-sets-uria", test_unmapped, .q35 = true },
};

ntb_tests(tests);
