/*
 * IDT 89HPESxNTx PCIe switch: serial EEPROM images
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bitmap.h"
#include "qemu/bswap.h"
#include "hw/misc/idt_ntb_regs.h"
#include "eeprom.h"

/* Types of blocks: their first byte */
enum {
    BLOCK_WRITE = 0x00,
    BLOCK_WRITE_MANY = 0x20,
    BLOCK_JUMP = 0x40,
    BLOCK_WAIT = 0x60,
    BLOCK_CHECKSUM = 0xe0,
};

static const struct {
    const char *name;
    uint8_t type;
    uint8_t size;               /* bytes, without the values of WRITE_MANY */
} block_types[] = {
    { "write", BLOCK_WRITE, 7 },
    { "consecutive write", BLOCK_WRITE_MANY, 5 },
    { "jump", BLOCK_JUMP, 3 },
    { "wait", BLOCK_WAIT, 11 },
    { "checksum", BLOCK_CHECKSUM, 2 },
};

/* A complete block of an image */
typedef struct EepromBlock {
    uint32_t at;                /* offset of its first byte in the image */
    uint32_t size;              /* bytes */
    uint32_t next;              /* offset of the block to execute next */
    uint8_t type;
    const uint8_t *data;        /* the bytes after the type */
} EepromBlock;

/* The chip counts addresses of registers in dwords: "CSR" */
static uint32_t block_addr(const EepromBlock *block)
{
    return lduw_le_p(block->data) * 4;
}

static unsigned block_count(const EepromBlock *block)
{
    return lduw_le_p(block->data + 2);
}

static bool check_count(const EepromBlock *block, Error **errp)
{
    if (!block_count(block)) {
        error_setg(errp, "byte 0x%04x: consecutive write of no registers",
                   block->at);
        return false;
    }
    if (block_addr(block) + block_count(block) * 4 > IDT_GAS_SIZE) {
        error_setg(errp, "byte 0x%04x: consecutive write of %u registers from "
                   "0x%05x on leads beyond the last register at 0x%05x",
                   block->at, block_count(block), block_addr(block),
                   IDT_GAS_SIZE - 4);
        return false;
    }
    return true;
}

/* The low bits of the type of a jump block: when to jump */
#define JUMP_SELECTOR   0x1f

/* Find the type of the block that starts at byte @at: block_types[*i] */
static bool find_type(const GByteArray *image, uint32_t at, unsigned *i,
                      Error **errp)
{
    uint8_t type = image->data[at];

    for (*i = 0; *i < ARRAY_SIZE(block_types); (*i)++) {
        if (block_types[*i].type == type) {
            return true;
        }
    }
    if ((type & ~JUMP_SELECTOR) == BLOCK_JUMP) {
        error_setg(errp, "byte 0x%04x: jump with selector %u: only selector 0 "
                   "is known, which always jumps", at, type & JUMP_SELECTOR);
    } else {
        error_setg(errp, "byte 0x%04x: block of unknown type 0x%02x", at, type);
    }
    return false;
}

/* Read the block that starts at byte @at, and check that it is complete */
static bool read_block(const GByteArray *image, uint32_t at, EepromBlock *block,
                       Error **errp)
{
    unsigned i;

    if (at >= image->len) {
        error_setg(errp, "byte 0x%04x: the image ends without a checksum block",
                   at);
        return false;
    }
    if (!find_type(image, at, &i, errp)) {
        return false;
    }
    *block = (EepromBlock) {
        .at = at,
        .size = block_types[i].size,
        .type = block_types[i].type,
        .data = image->data + at + 1,
    };
    if (block->type == BLOCK_WRITE_MANY && block->size <= image->len - at) {
        if (!check_count(block, errp)) {
            return false;
        }
        block->size += block_count(block) * 4;
    }
    if (block->size > image->len - at) {
        error_setg(errp, "byte 0x%04x: the image ends after %u of the %u bytes "
                   "of a %s block", at, image->len - at, block->size,
                   block_types[i].name);
        return false;
    }
    block->next = at + block->size;
    if (block->type == BLOCK_JUMP) {
        block->next = lduw_le_p(block->data);
        if (block->next >= image->len) {
            error_setg(errp, "byte 0x%04x: jump to byte 0x%04x, but the image "
                       "has 0x%04x bytes", at, block->next, image->len);
            return false;
        }
    }
    return true;
}

/* Return the checksum for bytes whose sum, with the block's type, is @sum */
static uint8_t make_checksum(uint8_t sum)
{
    return ~sum;
}

/* State of the check of the checksum while an image is walked */
typedef struct EepromCheck {
    uint8_t sum;                /* of the bytes that the chip has read */
    bool ignored;               /* the image has set SMBUSCTL.ICHECKSUM */
} EepromCheck;

static void add_to_sum(EepromCheck *check, const GByteArray *image,
                       const EepromBlock *block)
{
    for (uint32_t i = 0; i < block->size; i++) {
        check->sum += image->data[block->at + i];
    }
}

/* Take note of a write to SMBUSCTL */
static void follow_write(EepromCheck *check, const EepromBlock *block)
{
    bool many = block->type == BLOCK_WRITE_MANY;
    const uint8_t *values = block->data + (many ? 4 : 2);
    uint32_t offset = A_SMBUSCTL - block_addr(block);

    if (A_SMBUSCTL >= block_addr(block) &&
        offset < (many ? block_count(block) : 1) * 4) {
        check->ignored = FIELD_EX32(ldl_le_p(values + offset), SMBUSCTL,
                                    ICHECKSUM);
    }
}

static void check_checksum(const EepromCheck *check, const EepromBlock *block,
                           Error **errp)
{
    uint8_t wanted = make_checksum(check->sum + block->type);

    if (*block->data != wanted && !check->ignored) {
        error_setg(errp, "byte 0x%04x: the checksum is 0x%02x, but must be "
                   "0x%02x", block->at, *block->data, wanted);
    }
}

/*
 * Walks the image; control flow does not depend on register values.
 *
 * Returns: the number of blocks to execute before the checksum, or before the
 * error in @errp.
 */
static unsigned check_image(const GByteArray *image, Error **errp)
{
    g_autofree unsigned long *done = bitmap_new(MAX(image->len, 1));
    EepromBlock block = {};
    EepromCheck check = {};

    for (unsigned blocks = 0; ; blocks++) {
        unsigned long again;

        if (!read_block(image, block.next, &block, errp)) {
            return blocks;
        }
        again = find_next_bit(done, block.at + block.size, block.at);
        if (again < block.at + block.size) {
            error_setg(errp, "byte 0x%04lx: executed a second time: the image "
                       "does not end", again);
            return blocks;
        }
        bitmap_set(done, block.at, block.size);
        if (block.type == BLOCK_CHECKSUM) {
            check_checksum(&check, &block, errp);
            return blocks;
        }
        add_to_sum(&check, image, &block);
        if (block.type == BLOCK_WRITE || block.type == BLOCK_WRITE_MANY) {
            follow_write(&check, &block);
        }
    }
}

static bool run_wait(const EepromBlock *block, const IdtNtbEepromOps *ops,
                     void *opaque, Error **errp)
{
    uint32_t wanted = ldl_le_p(block->data + 2);
    uint32_t mask = ldl_le_p(block->data + 6);
    uint32_t value = ops->read(opaque, block_addr(block));

    if ((value ^ wanted) & ~mask) {
        error_setg(errp, "byte 0x%04x: wait for register 0x%05x to be 0x%08x "
                   "(mask 0x%08x) does not end: it is 0x%08x", block->at,
                   block_addr(block), wanted, mask, value);
        return false;
    }
    return true;
}

static bool run_write(const EepromBlock *block, const IdtNtbEepromOps *ops,
                      void *opaque, unsigned n, const uint8_t *value,
                      Error **errp)
{
    ERRP_GUARD();

    if (!ops->write(opaque, block_addr(block) + n * 4, ldl_le_p(value),
                    errp)) {
        error_prepend(errp, "byte 0x%04x: ", block->at);
        return false;
    }
    return true;
}

static bool run_block(const EepromBlock *block, const IdtNtbEepromOps *ops,
                      void *opaque, Error **errp)
{
    switch (block->type) {
    case BLOCK_WRITE:
        return run_write(block, ops, opaque, 0, block->data + 2, errp);
    case BLOCK_WRITE_MANY:
        for (unsigned i = 0; i < block_count(block); i++) {
            if (!run_write(block, ops, opaque, i, block->data + 4 + i * 4,
                           errp)) {
                return false;
            }
        }
        return true;
    case BLOCK_WAIT:
        return run_wait(block, ops, opaque, errp);
    default:
        return true;
    }
}

bool idt_ntb_eeprom_run(const GByteArray *image, bool to_error,
                        const IdtNtbEepromOps *ops, void *opaque, Error **errp)
{
    g_autoptr(Error) fault = NULL;
    unsigned blocks = check_image(image, &fault);
    EepromBlock block = {};

    for (unsigned i = 0; i < blocks && (to_error || !fault); i++) {
        if (!read_block(image, block.next, &block, errp) ||
            !run_block(&block, ops, opaque, errp)) {
            return false;
        }
    }
    if (fault) {
        error_propagate(errp, g_steal_pointer(&fault));
        return false;
    }
    return true;
}

static bool read_file(int fd, const char *path, GByteArray *image, Error **errp)
{
    ERRP_GUARD();
    struct stat st;

    if (fstat(fd, &st) < 0) {
        error_setg_errno(errp, errno, "can't get the size of '%s'", path);
        return false;
    }
    if (!S_ISREG(st.st_mode)) {
        error_setg(errp, "'%s' is no regular file", path);
        error_append_hint(errp, "Copy the image into a file.\n");
        return false;
    }
    if (st.st_size < 1 || st.st_size > IDT_EEPROM_SIZE) {
        error_setg(errp, "'%s' has %jd bytes, but an EEPROM image has 1 to %u",
                   path, (intmax_t)st.st_size, IDT_EEPROM_SIZE);
        error_append_hint(errp, "Make an image with idt-ntb-eeprom.py.\n");
        return false;
    }
    g_byte_array_set_size(image, st.st_size);
    for (unsigned done = 0; done < image->len; ) {
        /* Another user of an fdset may move the offset: read at our own */
        ssize_t got = RETRY_ON_EINTR(pread(fd, image->data + done,
                                           image->len - done, done));

        if (got <= 0) {
            error_setg_errno(errp, got ? errno : EIO, "can't read '%s'", path);
            return false;
        }
        done += got;
    }
    return true;
}

bool idt_ntb_eeprom_load(const char *path, bool writable, GByteArray **image,
                         int *fd, Error **errp)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    /* O_NONBLOCK: do not wait for the writer of a FIFO */
    int file = qemu_open(path, (writable ? O_RDWR : O_RDONLY) | O_NONBLOCK |
                               O_NOCTTY, errp);
    bool good;

    if (file < 0) {
        return false;
    }
    good = read_file(file, path, bytes, errp);
    if (good) {
        *image = g_steal_pointer(&bytes);
    }
    if (good && writable) {
        *fd = file;
    } else {
        qemu_close(file);
    }
    return good;
}

static void put_bytes(GByteArray *image, const void *bytes, unsigned size)
{
    assert(image->len + size <= IDT_EEPROM_SIZE);
    g_byte_array_append(image, bytes, size);
}

static void put_head(GByteArray *image, uint8_t type, uint32_t addr)
{
    uint8_t head[3] = { type };

    assert(addr < IDT_GAS_SIZE && addr % 4 == 0);
    stw_le_p(head + 1, addr / 4);
    put_bytes(image, head, sizeof(head));
}

static void put_dword(GByteArray *image, uint32_t value)
{
    uint32_t dword = cpu_to_le32(value);

    put_bytes(image, &dword, sizeof(dword));
}

GByteArray *idt_ntb_eeprom_new(void)
{
    return g_byte_array_new();
}

void idt_ntb_eeprom_put(GByteArray *image, uint32_t addr, uint32_t value)
{
    put_head(image, BLOCK_WRITE, addr);
    put_dword(image, value);
}

void idt_ntb_eeprom_put_wait(GByteArray *image, uint32_t addr, uint32_t value,
                             uint32_t mask)
{
    put_head(image, BLOCK_WAIT, addr);
    put_dword(image, value);
    put_dword(image, mask);
}

void idt_ntb_eeprom_end(GByteArray *image)
{
    uint8_t block[2] = { BLOCK_CHECKSUM };
    uint8_t sum = block[0];

    for (unsigned i = 0; i < image->len; i++) {
        sum += image->data[i];
    }
    block[1] = make_checksum(sum);
    put_bytes(image, block, sizeof(block));
}
