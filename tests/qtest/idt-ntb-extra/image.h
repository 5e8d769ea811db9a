/*
 * QTest testcase for idt-ntb: EEPROM images
 *
 * Made byte by byte after the specification, with nothing of the device's code.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_QTEST_IDT_NTB_IMAGE_H
#define TESTS_QTEST_IDT_NTB_IMAGE_H

#include "idt-ntb/harness.h"

/* Blocks of their kind, at the end of @image */
void image_write(GByteArray *image, uint32_t addr, uint32_t value);
void image_write_many(GByteArray *image, uint32_t addr, const uint32_t *values,
                      unsigned count);
void image_jump(GByteArray *image, unsigned place);
void image_wait(GByteArray *image, uint32_t addr, uint32_t value,
                uint32_t mask);

/* The checksum over all bytes before it */
void image_end(GByteArray *image);

/* The same over bytes that add up to @sum, the type of the block not counted */
void image_end_sum(GByteArray *image, uint8_t sum);

/* As boards do it: change, wait for the end of the change, clear its status */
void image_partition(GByteArray *image, unsigned partition, uint32_t ctl);
void image_port(GByteArray *image, unsigned port, uint32_t ctl);

/* BARSETUP registers of the NT function of @port; those that are 0 are not */
void image_bars(GByteArray *image, unsigned port,
                const uint32_t barsetup[IDT_NUM_BARS]);

/*
 * Partitions 0 to @count - 1 with the NT function of ntb_ports[] of that number
 * alone, BAR0 on and no windows; not the checksum.
 */
void image_topology(GByteArray *image, unsigned count);

/* Where @image, which is freed, was written to; free it with image_free() */
char *image_save(GByteArray *image);
void image_free(char *path);

#endif
