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
#include "qemu/module.h"
#include "hw/misc/idt_ntb/shm.h"
#include "image.h"
#include "vcpu.h"

#define ADDR(n)     (n)
#define DATA(n)     ((uint32_t)(n) << R_EEPROMINTF_DATA_SHIFT)
#define BUSY        R_EEPROMINTF_BUSY_MASK
#define DONE        R_EEPROMINTF_DONE_MASK
#define READ        R_EEPROMINTF_OP_MASK
#define ERASED      0xff

/* The end of an operation, as a driver waits for it; the register then */
/* SMBUSSTS without the addresses */
static uint32_t smbus_status(NtbPort *p)
{
    return ntb_gas_read(p, A_SMBUSSTS) & ~(R_SMBUSSTS_SSMBADDR_MASK |
                                           R_SMBUSSTS_MSMBADDR_MASK);
}

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
    g_assert_cmphex(smbus_status(p), ==,
                    R_SMBUSSTS_EEPROMDONE_MASK);
}

static NtbPort *boot_file(NtbServer *server, const char *path, bool writable)
{
    g_autofree char *props = g_strdup_printf(",eeprom=%s,eeprom-writable=%s",
                                             path, writable ? "on" : "off");

    return ntb_boot(server, props);
}

/* An image for @ports of them; @id tells two of the same size apart */
static GByteArray *make_image(unsigned ports, unsigned id)
{
    GByteArray *image = g_byte_array_new();

    image_write(image, A_TMPADJ, id);
    image_topology(image, ports);
    image_end(image);
    return image;
}

/* What the file has: @image, and nothing else */
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

/* The image that was made of the properties, from all ports */
static void test_read(void)
{
    NtbServer *server = ntb_server_start();
    NtbPort *p[] = { ntb_boot(server, NULL), ntb_boot(server, NULL) };
    IdtNtbShmHeader *header = &((IdtNtbShm *)server->mem)->header;

    for (unsigned i = 0; i < G_N_ELEMENTS(p); i++) {
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
    ntb_quit(p[0]);
    ntb_quit(p[1]);
    ntb_server_stop(server);
}

/* Without a file: for all ports, and as long as there is one */
static void test_memory(void)
{
    NtbServer *server = ntb_server_start();
    NtbPort *a = ntb_boot(server, NULL), *b = ntb_boot(server, NULL);
    uint8_t first = rom_read(a, 0);

    rom_write(a, 0, 0x5a);
    rom_write(b, 0xffff, 0xa5);
    g_assert_cmphex(rom_read(b, 0), ==, 0x5a);
    g_assert_cmphex(rom_read(a, 0xffff), ==, 0xa5);
    ntb_quit(a);
    a = ntb_boot(server, NULL);
    g_assert_cmphex(rom_read(a, 0), ==, 0x5a);
    ntb_quit(a);
    ntb_quit(b);
    a = ntb_boot(server, NULL);
    g_assert_cmphex(rom_read(a, 0), ==, first);
    g_assert_cmphex(rom_read(a, 0xffff), ==, ERASED);
    ntb_quit(a);
    ntb_server_stop(server);
}

/* Only a write of DATA starts an operation */
static void test_lanes(void)
{
    NtbServer *server = ntb_server_start();
    NtbPort *p = ntb_boot(server, NULL);
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
    ntb_quit(p);
    ntb_server_stop(server);
}

/* The image itself cannot: the switch reads it */
static void test_not_by_image(void)
{
    NtbServer *server = ntb_server_start();
    GByteArray *image = g_byte_array_new();
    char *path;
    NtbPort *p;

    image_topology(image, 2);
    image_wait(image, A_EEPROMINTF, BUSY, 0);
    image_write(image, A_EEPROMINTF, ADDR(0x8000) | DATA(1));
    image_end(image);
    path = image_save(image);
    p = boot_file(server, path, true);
    g_assert_cmphex(ntb_gas_read(p, A_EEPROMINTF), ==, 0);
    g_assert_cmphex(rom_read(p, 0x8000), ==, ERASED);
    ntb_quit(p);
    ntb_server_stop(server);
    image_free(path);
}

/* What dies within an operation, which the other port sees, ends it */
static void test_death(void)
{
    NtbServer *server = ntb_server_start();
    IdtNtbShmSwitch *sw = &((IdtNtbShm *)server->mem)->sw;
    NtbPort *a = ntb_boot(server, NULL), *b = ntb_boot(server, NULL);

    qatomic_set(&sw->eepromintf, BUSY | ADDR(5) |
                1 << R_SHM_EEPROMINTF_SLOT_SHIFT);
    g_assert_cmphex(ntb_gas_read(a, A_EEPROMINTF), ==, BUSY | ADDR(5));
    /* Ignored */
    ntb_gas_write(a, A_EEPROMINTF, ADDR(6) | DATA(1));
    g_assert_cmphex(ntb_gas_read(a, A_EEPROMINTF), ==, BUSY | ADDR(5));
    ntb_kill(b);
    g_assert_cmphex(wait_done(a), ==, ADDR(5) | DONE);
    g_assert_cmphex(smbus_status(a), ==,
                    R_SMBUSSTS_EEPROMDONE_MASK | R_SMBUSSTS_NAERR_MASK);
    ntb_gas_write(a, A_SMBUSSTS, UINT32_MAX);
    assert_no_errors(a);
    rom_write(a, 6, 1);
    ntb_quit(a);
    ntb_server_stop(server);
}

static bool is_up_in(NtbServer *server, unsigned port)
{
    IdtNtbShm *shm = (IdtNtbShm *)server->mem;

    return qatomic_read(&shm->slot[ntb_slot(port)].p.state) == IDT_NTB_PORT_UP;
}

/* A switch that goes on at a new server takes its EEPROM along */
static void test_new_server(void)
{
    NtbServer *server = ntb_server_start_process();
    QTestState *qts = ntb_boot_root_port(server);
    NtbPort *a;

    ntb_device_add(qts);
    a = ntb_open_plugged(qts);
    rom_write(a, 0x9000, 0x42);
    ntb_server_kill(server);
    ntb_server_restart_empty(server);
    ntb_wait(is_up_in(server, 0));
    ntb_settle(qts);
    g_assert_cmphex(rom_read(a, 0x9000), ==, 0x42);
    assert_no_errors(a);
    ntb_quit(a);
    qtest_quit(qts);
    ntb_server_stop(server);
}

/*
 * Files
 */

/* A board is flashed, and comes up with the new image when all hosts did */
static void test_procedure(void)
{
    NtbServer *server = ntb_server_start();
    g_autoptr(GByteArray) image = make_image(3, 7);
    char *path = image_save(make_image(2, 0));
    NtbPort *a = boot_file(server, path, true);
    NtbPort *b = boot_file(server, path, false), *c;

    for (unsigned i = 0; i < image->len; i++) {
        rom_write(a, i, image->data[i]);
    }
    for (unsigned i = 0; i < image->len; i++) {
        g_assert_cmphex(rom_read(b, i), ==, image->data[i]);
    }
    assert_no_errors(a);
    assert_file(path, image);
    /* A host that starts again finds the switch as it is */
    ntb_quit(b);
    ntb_assert_refused_at(server, "port=4|no NT function", ",port=4,eeprom=%s",
                          path);
    b = boot_file(server, path, false);
    g_assert_cmphex(ntb_gas_read(b, A_TMPADJ), ==, 0);
    ntb_quit(a);
    a = boot_file(server, path, true);
    g_assert_cmphex(ntb_gas_read(a, A_TMPADJ), ==, 0);
    ntb_quit(a);
    ntb_quit(b);

    a = boot_file(server, path, true);
    b = boot_file(server, path, true);
    c = boot_file(server, path, false);
    g_assert_cmpuint(c->port, ==, 4);
    g_assert_cmphex(ntb_gas_read(a, A_TMPADJ), ==, 7);
    ntb_assert_talk(a, c);
    ntb_quit(a);
    ntb_quit(b);
    ntb_quit(c);
    ntb_server_stop(server);
    image_free(path);
}

/* The same by a guest that runs */
static void test_vcpu(void)
{
    g_autoptr(GByteArray) image = make_image(2, 0);
    NtbServer *server;
    g_autofree char *props = NULL;
    char *path;
    NtbPort *p;

    if (!vcpu_possible()) {
        return;
    }
    server = ntb_server_start();
    path = image_save(make_image(2, 0));
    props = g_strdup_printf(",eeprom=%s,eeprom-writable=on", path);
    p = win_boot(server, WIN_PLAIN, vcpu_args(), props);
    vcpu_write(p, p->bar0 + A_GASAADDR, 4, A_EEPROMINTF);
    for (unsigned i = 0; i < 64; i++) {
        vcpu_write(p, p->bar0 + A_GASADATA, 4, ADDR(i) | DATA(i + 1));
        ntb_wait(!(vcpu_read(p, p->bar0 + A_GASADATA, 4) & BUSY));
        g_assert_cmphex(vcpu_read(p, p->bar0 + A_GASADATA, 4), ==,
                        ADDR(i) | DATA(i + 1) | DONE);
        image->data[i] = i + 1;
    }
    assert_file(path, image);
    ntb_quit(p);
    ntb_server_stop(server);
    image_free(path);
}

/* It grows, erased in between, up to 64 KiB */
static void test_growth(void)
{
    NtbServer *server = ntb_server_start();
    g_autoptr(GByteArray) image = make_image(2, 0);
    char *path = image_save(make_image(2, 0));
    NtbPort *p = boot_file(server, path, true);
    unsigned size = image->len;

    rom_write(p, size - 1, image->data[size - 1]);
    assert_file(path, image);
    rom_write(p, 0xffff, 0x12);
    g_byte_array_set_size(image, 0x10000);
    memset(image->data + size, ERASED, 0xffff - size);
    image->data[0xffff] = 0x12;
    assert_file(path, image);
    ntb_quit(p);
    p = boot_file(server, path, true);
    g_assert_cmphex(rom_read(p, 0xffff), ==, 0x12);
    ntb_quit(p);
    ntb_server_stop(server);
    image_free(path);
}

/* Another guest's write is seen, but it is not what our user allowed */
static void test_other_guest(void)
{
    NtbServer *server = ntb_server_start();
    g_autoptr(GByteArray) image = make_image(2, 0);
    char *path = image_save(make_image(2, 0));
    NtbPort *a = boot_file(server, path, true);
    NtbPort *b = boot_file(server, path, false);

    rom_write(b, 3, 0x33);
    g_assert_cmphex(rom_read(a, 3), ==, 0x33);
    assert_file(path, image);
    ntb_quit(b);
    ntb_quit(a);
    ntb_server_stop(server);
    image_free(path);
}

/* A file that can't be written any more: the EEPROM keeps what the file has */
static void test_failure(void)
{
    g_autoptr(GByteArray) image = make_image(2, 0);
    NtbServer *server = ntb_server_start();
    g_autofree char *props = NULL;
    int fd = memfd_create("eeprom", MFD_ALLOW_SEALING);
    NtbPort *p;

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(write(fd, image->data, image->len), ==, image->len);
    props = g_strdup_printf(",eeprom=/dev/fdset/1,eeprom-writable=on "
                            "-add-fd fd=%d,set=1", fd);
    p = ntb_boot(server, props);
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
    ntb_quit(p);
    close(fd);
    ntb_server_stop(server);
}

/* What is wrong at start */
static void test_options(void)
{
    NtbServer *server = ntb_server_start();
    char *path = image_save(make_image(2, 0));
    char *other = image_save(make_image(2, 0));
    NtbPort *a;

    ntb_assert_refused_at(server, "eeprom-writable=on|eeprom=FILE",
                          ",eeprom-writable=on");
    ntb_assert_refused_at(server, "Is a directory",
                          ",eeprom=/,eeprom-writable=on");
    a = boot_file(server, path, true);
    rom_write(a, 0x8000, 1);
    /* What the switch was configured by, but the EEPROM is another now */
    ntb_quit(boot_file(server, other, false));
    ntb_assert_refused_at(server, "does not hold what the EEPROM|one file for "
                          "all ports", ",eeprom=%s,eeprom-writable=on", other);
    ntb_quit(boot_file(server, path, true));
    ntb_quit(a);
    ntb_server_stop(server);
    image_free(path);
    image_free(other);
}

/*
 * SMBUSSTS: what was wrong when the switch was configured
 */

/* A board that was flashed badly: what is executed until the error stays */
static void test_bad_flash(void)
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
        NtbServer *server = ntb_server_start();
        GByteArray *image = make_image(2, 9);
        NtbPort *a, *b;
        char *path;

        g_byte_array_set_size(image, image->len - 2);
        g_byte_array_append(image, (const uint8_t *)bad[i].tail, bad[i].size);
        path = image_save(image);
        ntb_assert_refused_at(server, path, ",eeprom=%s", path);
        a = boot_file(server, path, true);
        b = boot_file(server, path, false);
        g_assert_cmphex(smbus_status(b), ==,
                        R_SMBUSSTS_EEPROMDONE_MASK | R_SMBUSSTS_EED_MASK);
        g_assert_cmphex(ntb_gas_read(b, A_TMPADJ), ==, 9);
        ntb_assert_talk(a, b);
        ntb_gas_write(b, A_SMBUSSTS, R_SMBUSSTS_EED_MASK);
        assert_no_errors(a);
        ntb_quit(a);
        ntb_quit(b);
        ntb_server_stop(server);
        image_free(path);
    }
}

/* One of no use ends QEMU, and says what was wrong with it */
static void test_useless_flash(void)
{
    NtbServer *server = ntb_server_start();
    GByteArray *image = g_byte_array_new();
    char *path;

    g_byte_array_append(image, (const uint8_t *)"\xff\xff", 2);
    path = image_save(image);
    ntb_assert_refused_at(server, "byte 0x0000: block of unknown type 0xff",
                          ",eeprom=%s,eeprom-writable=on", path);
    ntb_server_stop(server);
    image_free(path);
}

/* A write to what is no port's */
static void test_unmapped(void)
{
    NtbServer *server = ntb_server_start();
    GByteArray *image = g_byte_array_new();
    char *path;
    NtbPort *p;

    image_topology(image, 2);
    image_write(image, ntb_gas_nt(1, A_NTCTL), 1);
    image_end(image);
    path = image_save(image);
    p = boot_file(server, path, false);
    g_assert_cmphex(smbus_status(p), ==,
                    R_SMBUSSTS_EEPROMDONE_MASK | R_SMBUSSTS_URIA_MASK);
    ntb_quit(p);
    ntb_server_stop(server);
    image_free(path);
}

static void add_tests(void)
{
    if (!ntb_machine_is_q35()) {
        return;
    }
    qtest_add_func("idt-ntb/flash/read", test_read);
    qtest_add_func("idt-ntb/flash/memory", test_memory);
    qtest_add_func("idt-ntb/flash/lanes", test_lanes);
    qtest_add_func("idt-ntb/flash/not-by-image", test_not_by_image);
    qtest_add_func("idt-ntb/flash/death", test_death);
    ntb_add_reconnect_test("idt-ntb/flash/new-server", test_new_server);
    qtest_add_func("idt-ntb/flash/procedure", test_procedure);
    qtest_add_func("idt-ntb/flash/vcpu", test_vcpu);
    qtest_add_func("idt-ntb/flash/growth", test_growth);
    qtest_add_func("idt-ntb/flash/other-guest", test_other_guest);
    qtest_add_func("idt-ntb/flash/failure", test_failure);
    qtest_add_func("idt-ntb/flash/options", test_options);
    qtest_add_func("idt-ntb/flash/bad", test_bad_flash);
    qtest_add_func("idt-ntb/flash/useless", test_useless_flash);
    qtest_add_func("idt-ntb/flash/unmapped", test_unmapped);
}

libqos_init(add_tests);
