/*
 * QTest testcase for idt-ntb: EEPROM images
 *
 * Made byte by byte after the specification, with nothing of the device's code.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_QTEST_IDT_NTB_IMAGE_H
#define TESTS_QTEST_IDT_NTB_IMAGE_H

#include "idt-ntb/fixture.h"

/* An image with image_topology() of @count ports */
GByteArray *image_new(unsigned count);

/* Append a block of this kind */
void image_write(GByteArray *image, uint32_t addr, uint32_t value);
void image_write_many(GByteArray *image, uint32_t addr, const uint32_t *values,
                      unsigned count);
void image_jump(GByteArray *image, unsigned place);
void image_wait(GByteArray *image, uint32_t addr, uint32_t value,
                uint32_t mask);

/* Append the checksum of all bytes */
void image_end(GByteArray *image);

/* Append the checksum of bytes whose sum is @sum, without its own block */
void image_end_sum(GByteArray *image, uint8_t sum);

/* As boards do it: change, wait until it applies, clear its status */
void image_partition(GByteArray *image, unsigned partition, uint32_t ctl);
void image_port(GByteArray *image, unsigned port, uint32_t ctl);

/* BARSETUP registers of the NT function of @port, those that are not 0 */
void image_bars(GByteArray *image, unsigned port,
                const uint32_t barsetup[IDT_NUM_BARS]);

/* The first @count ports, each in its partition, with BAR0 and no windows */
void image_topology(GByteArray *image, unsigned count);

/*
 * Write @image, which is freed, to a file, and return its path; image_finish()
 * appends the checksum first.  The file is removed with the g_autoptr.
 */
typedef char ImagePath;

ImagePath *image_save(GByteArray *image);
ImagePath *image_finish(GByteArray *image);
void image_free(ImagePath *path);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImagePath, image_free)

/* Start ports[i] with @path for eeprom=, and @props */
NtbPort *image_start(NtbFixture *f, unsigned i, const ImagePath *path,
                     const char *props);

#endif
