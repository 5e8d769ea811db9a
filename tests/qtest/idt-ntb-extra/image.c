/*
 * QTest testcase for idt-ntb: EEPROM images
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "image.h"

static void put(GByteArray *image, uint32_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte = value >> (8 * i);

        g_byte_array_append(image, &byte, 1);
    }
}

static void put_head(GByteArray *image, uint8_t type, uint32_t addr)
{
    put(image, type, 1);
    put(image, addr / 4, 2);
}

void image_write(GByteArray *image, uint32_t addr, uint32_t value)
{
    put_head(image, 0x00, addr);
    put(image, value, 4);
}

void image_write_many(GByteArray *image, uint32_t addr, const uint32_t *values,
                      unsigned count)
{
    put_head(image, 0x20, addr);
    put(image, count, 2);
    for (unsigned i = 0; i < count; i++) {
        put(image, values[i], 4);
    }
}

void image_jump(GByteArray *image, unsigned place)
{
    put(image, 0x40, 1);
    put(image, place, 2);
}

void image_wait(GByteArray *image, uint32_t addr, uint32_t value,
                uint32_t mask)
{
    put_head(image, 0x60, addr);
    put(image, value, 4);
    put(image, mask, 4);
}

void image_end_sum(GByteArray *image, uint8_t sum)
{
    put(image, 0xe0, 1);
    put(image, 0xff - (uint8_t)(sum + 0xe0), 1);
}

void image_end(GByteArray *image)
{
    uint8_t sum = 0;

    for (unsigned i = 0; i < image->len; i++) {
        sum += image->data[i];
    }
    image_end_sum(image, sum);
}

void image_partition(GByteArray *image, unsigned partition, uint32_t ctl)
{
    uint32_t sts = ntb_gas_partsts(partition);

    image_write(image, sts - A_SWPART0STS + A_SWPART0CTL, ctl);
    image_wait(image, sts, R_SWPART0STS_SCC_MASK, ~R_SWPART0STS_SCC_MASK);
    image_write(image, sts, R_SWPART0STS_SCI_MASK | R_SWPART0STS_SCC_MASK);
}

void image_port(GByteArray *image, unsigned port, uint32_t ctl)
{
    uint32_t sts = ntb_gas_portsts(port);

    image_write(image, sts - A_SWPORT0STS + A_SWPORT0CTL, ctl);
    image_wait(image, sts, R_SWPORT0STS_OMCC_MASK, ~R_SWPORT0STS_OMCC_MASK);
    image_write(image, sts, R_SWPORT0STS_OMCI_MASK | R_SWPORT0STS_OMCC_MASK);
}

void image_bars(GByteArray *image, unsigned port,
                const uint32_t barsetup[IDT_NUM_BARS])
{
    for (unsigned bar = 0; bar < IDT_NUM_BARS; bar++) {
        if (barsetup[bar]) {
            image_write(image, ntb_gas_nt(port, A_BARSETUP0 +
                                          bar * IDT_BAR_STRIDE),
                        barsetup[bar]);
        }
    }
}

void image_topology(GByteArray *image, unsigned count)
{
    static const uint32_t bar0[IDT_NUM_BARS] = { 0x800004c0 };

    for (unsigned i = 0; i < count; i++) {
        image_partition(image, i, IDT_PART_STATE_ACTIVE);
        image_port(image, ntb_ports[i],
                   FIELD_DP32(IDT_PORT_MODE_NT, SWPORT0CTL, SWPART, i));
        image_bars(image, ntb_ports[i], bar0);
    }
}

GByteArray *image_new(unsigned count)
{
    GByteArray *image = g_byte_array_new();

    image_topology(image, count);
    return image;
}

ImagePath *image_save(GByteArray *image)
{
    char *path = ntb_tmp_path("eeprom");

    g_assert_true(g_file_set_contents(path, (char *)image->data, image->len,
                                      NULL));
    g_byte_array_unref(image);
    return path;
}

ImagePath *image_finish(GByteArray *image)
{
    image_end(image);
    return image_save(image);
}

void image_free(ImagePath *path)
{
    g_unlink(path);
    g_free(path);
}

NtbPort *image_start(NtbFixture *f, unsigned i, const ImagePath *path,
                     const char *props)
{
    g_autofree char *all = g_strdup_printf(",eeprom=%s%s", path, props);

    return ntb_start(f, i, all);
}
