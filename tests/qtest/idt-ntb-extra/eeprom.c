/*
 * QTest testcase for idt-ntb: EEPROM images that are good
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/misc/idt_ntb/shm.h"
#include "hw/pci/pci_regs.h"
#include "control.h"
#include "image.h"

#define EN      R_BARSETUP0_EN_MASK
#define CFG     (EN | R_BARSETUP0_MODE_MASK | LOG2(12))
#define T64     (2 << R_BARSETUP0_TYPE_SHIFT)
#define PREF    R_BARSETUP0_PREF_MASK
#define LUT12   (1 << R_BARSETUP0_ATRAN_SHIFT)
#define LUT24   (2 << R_BARSETUP0_ATRAN_SHIFT)
#define TPART(n) ((n) << R_BARSETUP0_TPART_SHIFT)
#define LOG2(n) ((n) << R_BARSETUP0_SIZE_SHIFT)

/* Start ports[@partition] with @path, and find it at @port */
static NtbPort *attach(NtbFixture *f, const ImagePath *path, unsigned port,
                       unsigned partition)
{
    NtbPort *p = image_start(f, partition, path, "");

    g_assert_cmpuint(p->port, ==, port);
    g_assert_cmpuint(p->partition, ==, partition);
    g_assert_cmpint(ntb_qom_int(p, "partition"), ==, partition);
    return p;
}

static void reset_function(NtbPort *p)
{
    ntb_cfg_writew(p, IDT_CAP_PCIE + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR);
    ntb_setup_function(p);
}

/*
 * The image that properties make
 */

typedef struct Properties {
    const char *props;
    unsigned partitions;
    uint32_t barsetup[IDT_NUM_BARS];
} Properties;

static const Properties properties[] = {
    { "", 2,
      { CFG, EN | LOG2(20), EN | LUT24 | LOG2(25) | PREF | T64, 0,
        EN | LOG2(20) | PREF | T64, 0 } },
    { ",partitions=6,bar1-mode=off,bar2-mode=lut12,"
      "bar2-64bit=off,bar2-prefetch=off,bar2-size=64k,bar3-mode=direct,"
      "bar3-size=512,bar5-mode=direct,bar5-size=8k,bar4-mode=off", 6,
      { CFG, 0, EN | LUT12 | LOG2(16), EN | LOG2(9), 0, EN | LOG2(13) } },
};

/* In the order of docs/specs/idt-ntb-eeprom/default.txt */
static GByteArray *image_of(const Properties *of)
{
    GByteArray *image = g_byte_array_new();

    image_write(image, A_RDRAINDELAY, 0);
    image_write(image, A_POMCDELAY, 0);
    image_write(image, A_SEDELAY, 0);
    image_write(image, A_USSBRDELAY, 0);
    for (unsigned i = 0; i < of->partitions; i++) {
        image_partition(image, i, IDT_PART_STATE_ACTIVE);
    }
    for (unsigned i = 0; i < of->partitions; i++) {
        image_port(image, ntb_ports[i],
                   FIELD_DP32(IDT_PORT_MODE_NT, SWPORT0CTL, SWPART, i));
    }
    for (unsigned i = 0; i < NTB_NUM_PORTS; i++) {
        image_bars(image, ntb_ports[i], of->barsetup);
    }
    image_write(image, A_RDRAINDELAY, 0xfa);
    image_write(image, A_POMCDELAY, 0x3e8);
    image_write(image, A_SEDELAY, 0x3e8);
    image_write(image, A_USSBRDELAY, 0);
    image_write(image, A_TMPCTL, 0x80000000);
    image_end(image);
    return image;
}

/* The same bytes, by size and SHA-256: ports with and without it agree */
static void test_made(NtbFixture *f)
{
    const Properties *of = f->test->data;
    GByteArray *image = image_of(of);
    g_autofree char *good = g_compute_checksum_for_data(
        G_CHECKSUM_SHA256, image->data, image->len);
    unsigned size = image->len;
    g_autoptr(GString) made = g_string_new(NULL);
    g_autoptr(ImagePath) path = image_save(image);
    IdtNtbShmHeader *header = &f->server->mem->header;
    NtbPort *a = ntb_start(f, 0, of->props), *b;

    g_assert_cmpuint(header->image_size, ==, size);
    for (unsigned i = 0; i < sizeof(header->image_digest); i++) {
        g_string_append_printf(made, "%02x", header->image_digest[i]);
    }
    g_assert_cmpstr(made->str, ==, good);
    b = attach(f, path, 2, 1);
    ntb_assert_talk(a, b);
    ntb_end(f, 0);
    a = attach(f, path, 0, 0);
    ntb_assert_talk(b, a);
}

/*
 * Topology: a host above port 0, which has an NT function too; devices below
 * ports 2 and 4; hosts at NT ports 8 and 12
 */

static const struct {
    unsigned mode, partition, devnum;
    bool link;
} board[IDT_MAX_PORTS] = {
    [0] = { IDT_PORT_MODE_UP_NT, 0, 0, true },
    [2] = { IDT_PORT_MODE_DOWNSTREAM, 0, 2, false },
    [4] = { IDT_PORT_MODE_DOWNSTREAM, 0, 31, false },
    [8] = { IDT_PORT_MODE_NT, 2, 0, true },
    [12] = { IDT_PORT_MODE_NT, 1, 5, true },
};

static uint32_t board_ctl(unsigned port)
{
    return FIELD_DP32(port_ctl(board[port].mode, board[port].partition),
                      SWPORT0CTL, DEVNUM, board[port].devnum);
}

static ImagePath *board_image(void)
{
    static const uint32_t bars[IDT_NUM_BARS] = { CFG, EN | LOG2(20) };
    GByteArray *image = g_byte_array_new();

    for (unsigned part = 0; part < 3; part++) {
        image_partition(image, part, IDT_PART_STATE_ACTIVE);
    }
    /* From 13 on, ports that the chip does not have */
    for (unsigned port = 0; port < IDT_MAX_PORTS; port++) {
        if (board[port].mode || port > 12) {
            image_port(image, port, board_ctl(port));
        }
    }
    image_bars(image, 0, bars);
    image_bars(image, 8, bars);
    image_bars(image, 12, bars);
    return image_finish(image);
}

static void assert_board(NtbPort *p)
{
    static const uint32_t partsts[IDT_MAX_PARTITIONS] = {
        1 << 5 | R_SWPART0STS_US_MASK | R_SWPART0STS_NT_MASK,
        1 << 5 | R_SWPART0STS_NT_MASK,
        1 << 5 | R_SWPART0STS_NT_MASK,
    };

    for (unsigned part = 0; part < IDT_MAX_PARTITIONS; part++) {
        g_assert_cmphex(ntb_gas_read(p, ntb_gas_partsts(part)), ==,
                        partsts[part]);
        g_assert_cmphex(ntb_gas_read(p, part_reg(part, A_SWPART0CTL)), ==,
                        part < 3 ? IDT_PART_STATE_ACTIVE : 0);
    }
    for (unsigned port = 0; port < IDT_MAX_PORTS; port++) {
        unsigned mode = board[port].mode;
        uint32_t sts = 0;

        sts = FIELD_DP32(sts, SWPORT0STS, LINKUP, board[port].link);
        sts = FIELD_DP32(sts, SWPORT0STS, DS, mode == IDT_PORT_MODE_DOWNSTREAM);
        sts = FIELD_DP32(sts, SWPORT0STS, MODE, mode);
        sts = FIELD_DP32(sts, SWPORT0STS, SWPART, board[port].partition);
        sts = FIELD_DP32(sts, SWPORT0STS, DEVNUM, board[port].devnum);
        g_assert_cmphex(ntb_gas_read(p, ntb_gas_portsts(port)), ==, sts);
        g_assert_cmphex(ntb_gas_read(p, port_reg(port, A_SWPORT0CTL)), ==,
                        board_ctl(port));
    }
}

static void test_board(NtbFixture *f)
{
    g_autoptr(ImagePath) path = board_image();

    attach(f, path, 0, 0);
    attach(f, path, 8, 2);
    attach(f, path, 12, 1);
    for (unsigned i = 0; i < 3; i++) {
        assert_board(f->ports[i]);
        ntb_assert_talk(f->ports[i], f->ports[(i + 1) % 3]);
    }
    ntb_assert_refused_at(f->server, "taken|EEPROM image", ",eeprom=%s", path);
    ntb_assert_refused_at(f->server, "port=2|no NT function|0 8 12",
                          ",port=2,eeprom=%s", path);
    ntb_assert_refused_at(f->server, "port=6|no NT function|0 8 12", ",port=6");
}

/*
 * BARs: each NT function has a layout of its own
 */

static const uint32_t layouts[][IDT_NUM_BARS] = {
    { CFG, EN | LOG2(16), EN | LUT12 | LOG2(20) | PREF | T64 | TPART(1), 0, 0,
      EN | LOG2(9) | TPART(2) },
    { CFG, 0, EN | LOG2(12) | T64, 0, EN | LUT24 | LOG2(26) | PREF, 0 },
    { CFG },
};

static void assert_layout(NtbPort *p, const uint32_t setup[IDT_NUM_BARS])
{
    for (unsigned bar = 1; bar < IDT_NUM_BARS; bar++) {
        uint32_t reg = PCI_BASE_ADDRESS_0 + 4 * bar;
        uint32_t old = ntb_cfg_read(p, reg);
        uint32_t value;

        g_assert_cmphex(ntb_read(p, A_BARSETUP0 + IDT_BAR_STRIDE * bar), ==,
                        setup[bar]);
        ntb_cfg_write(p, reg, UINT32_MAX);
        value = ntb_cfg_read(p, reg);
        ntb_cfg_write(p, reg, old);
        if (setup[bar] & EN) {
            uint32_t bits = (setup[bar] & PREF ?
                             PCI_BASE_ADDRESS_MEM_PREFETCH : 0) |
                            (setup[bar] & T64 ?
                             PCI_BASE_ADDRESS_MEM_TYPE_64 : 0);

            g_assert_cmphex(value, ==, bits | -1U <<
                            FIELD_EX32(setup[bar], BARSETUP0, SIZE));
        } else {
            g_assert_cmphex(value, ==,
                            setup[bar - 1] & T64 ? UINT32_MAX : 0);
        }
    }
}

static void test_bars(NtbFixture *f)
{
    GByteArray *image = image_new(G_N_ELEMENTS(layouts));
    g_autoptr(ImagePath) path = NULL;
    NtbPort **p = f->ports;

    for (unsigned i = 0; i < G_N_ELEMENTS(layouts); i++) {
        image_bars(image, ntb_ports[i], layouts[i]);
    }
    path = image_finish(image);
    for (unsigned i = 0; i < G_N_ELEMENTS(layouts); i++) {
        attach(f, path, ntb_ports[i], i);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(layouts); i++) {
        assert_layout(p[i], layouts[i]);
        for (unsigned bar = 0; bar < IDT_NUM_BARS; bar++) {
            g_assert_cmphex(ntb_gas_read(p[0],
                ntb_gas_nt(ntb_ports[i], A_BARSETUP0 + IDT_BAR_STRIDE * bar)),
                ==, layouts[i][bar]);
        }
    }
    /* A reset returns to it */
    ntb_write(p[0], A_BARSETUP0 + 5 * IDT_BAR_STRIDE, UINT32_MAX);
    g_assert_cmphex(ntb_read(p[0], A_BARSETUP0 + 5 * IDT_BAR_STRIDE), ==,
                    0x8000ffff);
    reset_function(p[0]);
    assert_layout(p[0], layouts[0]);
}

/* A reset returns to the mapping table of the image, but sends nothing again */
static void test_deeds(NtbFixture *f)
{
    uint32_t entry = R_NTMTBLDATA_VALID_MASK | 1 << R_NTMTBLDATA_PART_SHIFT;
    GByteArray *image = image_new(2);
    g_autoptr(ImagePath) path = NULL;
    NtbPort *a, *b;

    image_write(image, ntb_gas_nt(2, A_NTMTBLADDR), 40);
    image_write(image, ntb_gas_nt(2, A_NTMTBLDATA), entry);
    image_write(image, ntb_gas_nt(2, A_NTUEEM), PCI_ERR_UNC_POISON_TLP);
    image_write(image, ntb_gas_nt(2, A_NTCEEM), PCI_ERR_COR_RCVR);
    image_write(image, ntb_gas_nt(2, A_OUTMSG0), 1);
    image_write(image, ntb_gas_nt(2, A_OUTDBELLSET), 1);
    path = image_finish(image);
    a = attach(f, path, 0, 0);
    b = attach(f, path, 2, 1);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmphex(ntb_mapping_entry(a, 40), ==, entry);
        g_assert_cmphex(ntb_read(b, A_MSGSTS), ==, 0);
        g_assert_cmphex(ntb_read(b, A_INDBELLSTS), ==, 0);
        g_assert_cmphex(ntb_cfg_read(b, IDT_CAP_AER + PCI_ERR_UNCOR_STATUS),
                        ==, 0);
        g_assert_cmphex(ntb_cfg_read(b, IDT_CAP_AER + PCI_ERR_COR_STATUS), ==,
                        0);
        /* A reset restores the port's own entry, not that of another port */
        ntb_write(a, A_NTMTBLADDR, 40);
        ntb_write(a, A_NTMTBLDATA, i == 1 ? R_NTMTBLDATA_VALID_MASK : 0);
        reset_function(b);
        if (i == 1) {
            g_assert_cmphex(ntb_mapping_entry(a, 40), ==,
                            R_NTMTBLDATA_VALID_MASK);
            ntb_write(a, A_NTMTBLDATA, entry);
        }
    }
    ntb_end(f, 1);
    g_assert_cmphex(ntb_mapping_entry(a, 40), ==, entry);
}

/* An image can read header and capabilities, and write some of them */
static void test_configuration(NtbFixture *f)
{
    uint32_t clock = ntb_gas_nt(2, A_PCIELCTLSTS);
    GByteArray *image = image_new(2);
    g_autoptr(ImagePath) path = NULL;
    NtbPort *p;

    image_wait(image, ntb_gas_nt(0, PCI_VENDOR_ID), NTB_ID, 0);
    image_wait(image, ntb_gas_nt(2, PCI_VENDOR_ID), NTB_ID, 0);
    image_wait(image, clock, R_PCIELCTLSTS_SCLK_MASK,
               ~R_PCIELCTLSTS_SCLK_MASK);
    image_write(image, clock, 0);
    image_wait(image, clock, 0, ~R_PCIELCTLSTS_SCLK_MASK);
    image_write(image, ntb_gas_nt(0, A_SSIDSSVID), 0x12345678);
    image_write(image, ntb_gas_nt(0, PCI_VENDOR_ID), 0);
    path = image_finish(image);
    p = attach(f, path, 0, 0);
    g_assert_cmphex(ntb_cfg_read(p, PCI_VENDOR_ID), ==, NTB_ID);
    g_assert_cmphex(ntb_cfg_read(p, A_SSIDSSVID), ==, 0x12345678);
    g_assert_cmphex(ntb_cfg_read(p, A_PCIELCTLSTS) & R_PCIELCTLSTS_SCLK_MASK,
                    !=, 0);
    g_assert_cmphex(ntb_gas_read(p, clock) & R_PCIELCTLSTS_SCLK_MASK, ==, 0);
}

/*
 * Registers: resets return to those of an NT function; those of the switch stay
 */

typedef struct Value {
    uint32_t addr;              /* in the NT function, or global */
    uint32_t value;
} Value;

static const Value function_values[] = {
    { A_NTCTL, R_NTCTL_IDPROTDIS_MASK },
    { A_NTINTMSK, R_NTINTSTS_SEVENT_MASK },
    { A_NTSDATA, 0xcafe0000 },
    { A_INDBELLMSK, 0x0f0f0f00 },
    { A_MSGSTSMSK, 0x00050003 },
    { A_BARLIMIT0 + IDT_BAR_STRIDE, 0xfe0003ff },
    { A_BARLTBASE0 + IDT_BAR_STRIDE, 0x12345678 },
    { A_BARUTBASE0 + IDT_BAR_STRIDE, 0x9a },
    { A_NTMTBLADDR, 3 },
};

static const Value switch_values[] = {
    { A_RDRAINDELAY, 0x123 },
    { A_POMCDELAY, 0x234 },
    { A_SEDELAY, 0x345 },
    { A_USSBRDELAY, 0x456 },
    { A_SEMSK, 0x15 },
    { A_SEPMSK, 0xf8 },
    { A_SELINKUPMSK, 0x00fff0 },
    { A_SELINKDNMSK, 0x000ff0 },
    { A_SEGSIGMSK, 0xfc },
    { A_GODBELLMSK0 + 4 * 31, 0x04 },
    { A_GIDBELLMSK0 + 4 * 30, 0x02 },
    { A_SWP0MSGCTL0 + 4 * 2, 0x11 },
    { A_SWP0MSGCTL0 + 4 * 7 + 0x60, 0x73 },
    { A_TMPADJ, 0x0a },
};

/* Some registers differ between ports in their lowest byte */
static uint32_t value_of(const Value *value, unsigned port)
{
    return value->addr == A_NTSDATA || value->addr == A_INDBELLMSK ?
           value->value + port : value->value;
}

static void assert_values(NtbPort *viewer, const NtbPort *of)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(function_values); i++) {
        g_assert_cmphex(ntb_gas_read(viewer, ntb_gas_nt(of->port,
                                     function_values[i].addr)), ==,
                        value_of(&function_values[i], of->port));
    }
}

static void test_registers(NtbFixture *f)
{
    GByteArray *image = image_new(3);
    g_autoptr(ImagePath) path = NULL;
    NtbPort **p = f->ports;

    for (unsigned i = 0; i < 3; i++) {
        for (unsigned n = 0; n < G_N_ELEMENTS(function_values); n++) {
            image_write(image, ntb_gas_nt(ntb_ports[i],
                                          function_values[n].addr),
                        value_of(&function_values[n], ntb_ports[i]));
        }
    }
    for (unsigned n = 0; n < G_N_ELEMENTS(switch_values); n++) {
        image_write(image, switch_values[n].addr, switch_values[n].value);
    }
    path = image_finish(image);
    attach(f, path, 0, 0);
    /* An attached port, and a free one */
    assert_values(p[0], &(NtbPort) { .port = ntb_ports[1] });
    attach(f, path, 2, 1);
    attach(f, path, 4, 2);
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned n = 0; n < G_N_ELEMENTS(switch_values); n++) {
            g_assert_cmphex(ntb_gas_read(p[i], switch_values[n].addr), ==,
                            switch_values[n].value);
        }
        assert_values(p[i], p[i]);
        assert_values(p[i], p[(i + 1) % 3]);
    }
    /* Resets return to them, and so does a port that attaches again */
    for (unsigned n = 0; n < G_N_ELEMENTS(function_values); n++) {
        ntb_write(p[1], function_values[n].addr, 0);
        ntb_write(p[2], function_values[n].addr, 0);
    }
    ntb_gas_write(p[0], A_SEDELAY, 7);
    reset_function(p[1]);
    assert_values(p[0], p[1]);
    ntb_end(f, 2);
    attach(f, path, 4, 2);
    assert_values(p[0], p[2]);
    g_assert_cmphex(ntb_gas_read(p[1], A_SEDELAY), ==, 7);
}

/*
 * Blocks
 */

/* A jump block has its place in 16 bits, one byte behind its start */
static void set_place(GByteArray *image, unsigned jump, unsigned place)
{
    image->data[jump + 1] = place;
    image->data[jump + 2] = place >> 8;
}

static unsigned sum_of(GByteArray *image, unsigned from, unsigned to)
{
    unsigned sum = 0;

    for (unsigned i = from; i < to; i++) {
        sum += image->data[i];
    }
    return sum;
}

/* The bytes that are jumped over are no blocks and not in the checksum */
static void test_jumps(NtbFixture *f)
{
    static const uint8_t junk[] = { 0xff, 0x80, 0x01, 0xe0 };
    static const uint32_t values[] = { 0x11, 0x22, 0x33, 0 };
    GByteArray *image = g_byte_array_new();
    unsigned back, on;
    g_autoptr(ImagePath) path = NULL;
    NtbPort *p;

    image_write(image, A_GODBELLMSK0, 1);
    image_jump(image, 0);
    g_byte_array_append(image, junk, sizeof(junk));
    back = image->len;
    image_write(image, A_GODBELLMSK0 + 4, 2);
    image_wait(image, A_GODBELLMSK0 + 4, 0x102, 0xff00);
    on = image->len;
    image_jump(image, 0);
    set_place(image, 7, image->len);
    image_write_many(image, A_GIDBELLMSK0, values, 3);
    /* Another order of the jumps leaves another value */
    image_write(image, A_GODBELLMSK0 + 4, 4);
    image_jump(image, back);
    set_place(image, on, image->len);
    image_write_many(image, A_GIDBELLMSK0 + 4 * 31, values, 1);
    image_topology(image, 2);
    image_end_sum(image, sum_of(image, 0, 10) +
                  sum_of(image, 10 + sizeof(junk), image->len));
    g_byte_array_append(image, junk, sizeof(junk));
    path = image_save(image);
    p = attach(f, path, 0, 0);
    g_assert_cmphex(ntb_gas_read(p, A_GODBELLMSK0), ==, 1);
    g_assert_cmphex(ntb_gas_read(p, A_GODBELLMSK0 + 4), ==, 2);
    for (unsigned i = 0; i < G_N_ELEMENTS(values); i++) {
        g_assert_cmphex(ntb_gas_read(p, A_GIDBELLMSK0 + 4 * i), ==, values[i]);
    }
    g_assert_cmphex(ntb_gas_read(p, A_GIDBELLMSK0 + 4 * 31), ==, 0x11);
}

/* SMBUSCTL.ICHECKSUM is set at the end of the image: accept any checksum */
static void test_checksum_ignored(NtbFixture *f)
{
    static const uint32_t values[] = { 0, R_SMBUSCTL_ICHECKSUM_MASK, 7 };
    GByteArray *image = image_new(2);
    g_autoptr(ImagePath) path = NULL;
    NtbPort *p;

    image_write_many(image, A_SMBUSSTS, values, G_N_ELEMENTS(values));
    image_end_sum(image, sum_of(image, 0, image->len) + 1);
    path = image_save(image);
    p = attach(f, path, 0, 0);
    g_assert_cmphex(ntb_gas_read(p, A_SMBUSCTL), ==,
                    R_SMBUSCTL_ICHECKSUM_MASK);
}

/* The last byte of 64 KiB is the checksum */
static void test_largest(NtbFixture *f)
{
    GByteArray *image = image_new(2);
    uint32_t values[IDT_NUM_DOORBELLS];
    unsigned jump_end;
    g_autoptr(ImagePath) path = NULL;
    NtbPort *p;

    for (unsigned i = 0; i < G_N_ELEMENTS(values); i++) {
        values[i] = i;
    }
    while (image->len < 65000) {
        image_write_many(image, A_GIDBELLMSK0, values, G_N_ELEMENTS(values));
    }
    image_jump(image, 65536 - 2 - 7);
    jump_end = image->len;
    while (image->len < 65536 - 2 - 7) {
        g_byte_array_append(image, (const uint8_t *)"\xff", 1);
    }
    image_write(image, A_GIDBELLMSK0, 0x5a);
    image_end_sum(image, sum_of(image, 0, jump_end) +
                  sum_of(image, 65536 - 2 - 7, image->len));
    g_assert_cmpuint(image->len, ==, 65536);
    path = image_save(image);
    p = attach(f, path, 0, 0);
    g_assert_cmphex(ntb_gas_read(p, A_GIDBELLMSK0), ==, 0x5a);
    g_assert_cmphex(ntb_gas_read(p, A_GIDBELLMSK0 + 4 * 31), ==, 31);
}

/* Write all ones to every dword that does not set the topology, by parts */
static void test_every_register(NtbFixture *f)
{
    g_autofree uint32_t *ones = g_new(uint32_t, 0x3000);

    memset(ones, 0xff, 0x3000 * sizeof(*ones));
    for (uint32_t addr = 0; addr < IDT_GAS_SIZE; addr += 0x3000 * 4) {
        GByteArray *image = g_byte_array_new();
        uint32_t end = MIN(addr + 0x3000 * 4, IDT_GAS_SIZE);
        g_autoptr(ImagePath) path = NULL;
        NtbPort *a, *b;

        if (addr < A_SWPART0CTL && end > A_SWPART0CTL) {
            image_write_many(image, addr, ones, (A_SWPART0CTL - addr) / 4);
            image_write_many(image, A_FCAP0CTL, ones, (end - A_FCAP0CTL) / 4);
        } else {
            image_write_many(image, addr, ones, (end - addr) / 4);
        }
        for (unsigned i = 0; i < NTB_NUM_PORTS; i++) {
            for (unsigned bar = 0; bar < IDT_NUM_BARS; bar++) {
                image_write(image, ntb_gas_nt(ntb_ports[i], A_BARSETUP0 +
                                              bar * IDT_BAR_STRIDE), 0);
            }
        }
        /* The test needs the global address space */
        image_write(image, A_GASAPROT, 0);
        image_topology(image, 2);
        path = image_finish(image);
        a = attach(f, path, 0, 0);
        b = attach(f, path, 2, 1);
        g_assert_true(ntb_link_up(a, b->port));
        g_assert_true(ntb_link_up(b, a->port));
        /* Nothing was sent */
        g_assert_cmphex(ntb_read(a, A_INDBELLSTS), ==, 0);
        g_assert_cmphex(ntb_read(a, A_MSGSTS), ==, 0);
        ntb_end(f, 0);
        ntb_end(f, 1);
    }
}

static const NtbTest tests[] = {
    { "eeprom/defaults-make-the-documented-image", test_made, .q35 = true,
      .data = &properties[0] },
    { "eeprom/properties-make-an-image", test_made, .q35 = true,
      .data = &properties[1] },
    { "eeprom/sets-the-topology-of-a-board", test_board, .q35 = true },
    { "eeprom/sets-the-bars-of-each-port", test_bars, .q35 = true },
    { "eeprom/sets-configuration-space", test_configuration, .q35 = true },
    { "eeprom/writes-with-effects-act-once", test_deeds, .q35 = true },
    { "eeprom/sets-what-resets-return-to", test_registers, .q35 = true },
    { "eeprom/jumps-lead-forward-and-back", test_jumps, .q35 = true },
    { "eeprom/checksum-can-be-ignored", test_checksum_ignored, .q35 = true },
    { "eeprom/may-have-64-kib", test_largest, .q35 = true },
    { "eeprom/all-ones-do-no-harm", test_every_register, .q35 = true },
};

ntb_tests(tests);
