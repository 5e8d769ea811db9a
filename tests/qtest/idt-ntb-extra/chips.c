/*
 * QTest testcase for idt-ntb: the chips of the family
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "idt-ntb/fixture.h"

typedef struct Chip {
    const char *name;
    uint16_t device;
    unsigned num_ports;
    uint8_t ports[IDT_MAX_PARTITIONS];  /* that can carry an NT function */
} Chip;

static const Chip chips[] = {
    { "89HPES24NT6AG2", 0x8091, 6, { 0, 2, 4, 6, 8, 12 } },
    { "89HPES32NT8AG2", 0x808f, 8, { 0, 2, 4, 6, 8, 12, 16, 20 } },
    { "89HPES32NT8BG2", 0x8088, 8, { 0, 2, 4, 6, 8, 12, 16, 20 } },
    { "89HPES12NT12G2", 0x8092, 3, { 0, 8, 16 } },
    { "89HPES16NT16G2", 0x8090, 4, { 0, 8, 12, 16 } },
    { "89HPES24NT24G2", 0x808e, 8, { 0, 2, 4, 6, 8, 12, 16, 20 } },
    { "89HPES32NT24AG2", 0x808c, 8, { 0, 2, 4, 6, 8, 12, 16, 20 } },
    { "89HPES32NT24BG2", 0x808a, 8, { 0, 2, 4, 6, 8, 12, 16, 20 } },
};

/* Which partition @port of @chip is in; -1 without NT function */
static int chip_partition(const Chip *chip, unsigned port)
{
    for (unsigned i = 0; i < chip->num_ports; i++) {
        if (chip->ports[i] == port) {
            return i;
        }
    }
    return -1;
}

/* The driver scans all ports that exist, and no others */
static void check_topology(NtbPort *p, const Chip *chip)
{
    for (unsigned port = 0; port < IDT_MAX_PORTS; port++) {
        uint32_t sts = ntb_gas_read(p, ntb_gas_portsts(port));
        int partition = chip_partition(chip, port);

        g_assert_cmpuint(FIELD_EX32(sts, SWPORT0STS, MODE), ==,
                         partition < 0 ? IDT_PORT_MODE_DISABLED :
                                         IDT_PORT_MODE_NT);
        g_assert_cmpuint(FIELD_EX32(sts, SWPORT0STS, SWPART), ==,
                         MAX(partition, 0));
        g_assert_cmphex(ntb_gas_read(p, ntb_gas_nt(port, A_BARSETUP0)), ==,
                        partition < 0 ? 0 : 0x800004c0);
    }
    for (unsigned part = 0; part < IDT_MAX_PARTITIONS; part++) {
        uint32_t sts = ntb_gas_read(p, ntb_gas_partsts(part));

        g_assert_cmpuint(FIELD_EX32(sts, SWPART0STS, STATE), ==,
                         part < chip->num_ports ? IDT_PART_STATE_ACTIVE :
                                                  IDT_PART_STATE_DISABLED);
    }
}

/* The first and the last port, with all partitions there can be */
static void test_chip(NtbFixture *f)
{
    const Chip *chip = f->test->data;
    g_autofree char *all = g_strdup_printf(",chip=%s,partitions=%u",
                                           chip->name, chip->num_ports);
    g_autofree char *last = g_strdup_printf("%s,port=%u", all,
                                            chip->ports[chip->num_ports - 1]);
    NtbPort *a = ntb_start(f, 0, all);
    NtbPort *b = ntb_start(f, 1, last);

    g_assert_cmphex(ntb_cfg_readw(a, PCI_VENDOR_ID), ==, NTB_VENDOR);
    g_assert_cmphex(ntb_cfg_readw(a, PCI_DEVICE_ID), ==, chip->device);
    g_assert_cmphex(ntb_cfg_readw(a, PCI_SUBSYSTEM_ID), ==, chip->device);
    g_assert_cmphex(ntb_read(b, PCI_VENDOR_ID), ==,
                    (uint32_t)chip->device << 16 | NTB_VENDOR);
    g_assert_cmphex(ntb_gas_read(a, ntb_gas_nt(b->port, PCI_VENDOR_ID)), ==,
                    (uint32_t)chip->device << 16 | NTB_VENDOR);
    check_topology(a, chip);
    check_topology(b, chip);
    ntb_assert_talk(a, b);
    ntb_assert_talk(b, a);
}

/* Refused, with all the words in the message */
static void test_unknown(NtbFixture *f)
{
    ntb_assert_refused_at(f->server,
                          "chip=89HPES99|89HPES12NT12G2|89HPES32NT8BG2",
                          ",chip=89HPES99");
    ntb_assert_refused_at(f->server, "partitions=4|89HPES12NT12G2|2 to 3",
                          ",chip=89HPES12NT12G2,partitions=4");
    ntb_assert_refused_at(f->server, "port=2|89HPES12NT12G2|0 8",
                          ",chip=89HPES12NT12G2,port=2");
}

static void test_mismatch(NtbFixture *f)
{
    ntb_assert_refused_at(f->server, "89HPES32NT8BG2|0x8088|0x808f",
                          ",chip=89HPES32NT8BG2");
}

static const NtbTest tests[] = {
    { "chip/refuses-what-it-does-not-have", test_unknown },
    { "chip/is-the-same-for-all-ports", test_mismatch, .ports = 1,
      .props = ",chip=89HPES32NT8AG2" },
};

ntb_tests(tests);

static void add_chips(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(chips); i++) {
        g_autofree char *path = g_strdup_printf("chip/%s", chips[i].name);

        ntb_add_test(&(NtbTest) {
            .path = path, .run = test_chip, .data = &chips[i]
        });
    }
}

libqos_init(add_chips);
