/*
 * IDT 89HPESxNTx PCIe switch: software access to the serial EEPROM
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/error-report.h"
#include "qemu/log.h"
#include "block/thread-pool.h"
#include "flash.h"
#include "trace.h"

/* An erased byte of the EEPROM */
#define ERASED  0xff

/* A byte that a worker thread writes to the file */
typedef struct FlashStore {
    IdtNtbFlash *flash;         /* NULL: it was freed, close @fd */
    int fd;
    uint16_t addr;
    uint8_t data;
} FlashStore;

struct IdtNtbFlash {
    IdtNtbSwitch *sw;
    int fd;
    char *path;
    FlashStore *store;          /* the write in progress, or NULL */
    bool failed;                /* the last write failed, and was reported */
};

IdtNtbFlash *idt_ntb_flash_new(IdtNtbSwitch *sw, int fd, const char *path)
{
    IdtNtbFlash *flash = g_new0(IdtNtbFlash, 1);

    flash->sw = sw;
    flash->fd = fd;
    flash->path = g_strdup(path);
    return flash;
}

void idt_ntb_flash_free(IdtNtbFlash *flash)
{
    if (!flash) {
        return;
    }
    if (flash->store) {
        flash->store->flash = NULL;
    } else {
        qemu_close(flash->fd);
    }
    g_free(flash->path);
    g_free(flash);
}

void idt_ntb_flash_fill(IdtNtbSwitch *sw, const GByteArray *image)
{
    memset(sw->shm->eeprom, ERASED, sizeof(sw->shm->eeprom));
    memcpy(sw->shm->eeprom, image->data, image->len);
}

bool idt_ntb_flash_holds(const IdtNtbSwitch *sw, const GByteArray *image)
{
    for (unsigned i = 0; i < sizeof(sw->shm->eeprom); i++) {
        uint8_t wanted = i < image->len ? image->data[i] : ERASED;

        if (qatomic_read(&sw->shm->eeprom[i]) != wanted) {
            return false;
        }
    }
    return true;
}

void idt_ntb_flash_copy(IdtNtbSwitch *sw, const IdtNtbSwitch *old)
{
    uint32_t word = qatomic_read(&sw->shm->sw.eepromintf);

    memcpy(sw->shm->eeprom, old->shm->eeprom, sizeof(sw->shm->eeprom));
    /* The other ports are not on the new switch: end their operation */
    if (FIELD_EX32(word, SHM_EEPROMINTF, SLOT) != old->slot) {
        qatomic_set(&sw->shm->sw.eepromintf, word & ~R_EEPROMINTF_BUSY_MASK);
    }
}

uint32_t idt_ntb_flash_read(const IdtNtbSwitch *sw)
{
    uint32_t value = qatomic_read(&sw->shm->sw.eepromintf) &
                     ~R_SHM_EEPROMINTF_SLOT_MASK;

    /* The chip is busy while it loads the image */
    if (!(qatomic_read(&sw->shm->sw.smbussts) & R_SMBUSSTS_EEPROMDONE_MASK)) {
        value |= R_EEPROMINTF_BUSY_MASK;
    }
    return value;
}

/*
 * End the operation of @slot, if there is one.  If @good, it is done and DATA
 * becomes @data; else it failed.
 */
static void end_operation(IdtNtbSwitch *sw, unsigned slot, bool good,
                          uint8_t data)
{
    uint32_t *word = &sw->shm->sw.eepromintf;
    uint32_t old = qatomic_read(word);
    uint32_t new = old & ~(R_EEPROMINTF_BUSY_MASK | R_SHM_EEPROMINTF_SLOT_MASK);

    if (!(old & R_EEPROMINTF_BUSY_MASK) ||
        FIELD_EX32(old, SHM_EEPROMINTF, SLOT) != slot) {
        return;
    }
    if (good) {
        new = FIELD_DP32(new, EEPROMINTF, DATA, data);
    } else {
        qatomic_or(&sw->shm->sw.smbussts, R_SMBUSSTS_NAERR_MASK);
    }
    /* While BUSY is set, only the port in SLOT changes the word */
    qatomic_cmpxchg(word, old, new | R_EEPROMINTF_DONE_MASK);
}

void idt_ntb_flash_abandon(IdtNtbSwitch *sw, unsigned slot)
{
    end_operation(sw, slot, false, 0);
}

/*
 * Write a byte to the file, in a worker thread.  If the file is too short, fill
 * it up to the byte with erased ones.  On failure, restore its size.
 *
 * Returns: 0, or a negative errno.
 */
static int store_byte(void *opaque)
{
    FlashStore *store = opaque;
    g_autofree uint8_t *bytes = NULL;
    struct stat st;
    ssize_t done;
    size_t size;
    off_t from;
    int err;

    if (fstat(store->fd, &st) < 0) {
        return -errno;
    }
    from = MIN(st.st_size, store->addr);
    size = store->addr - from + 1;
    bytes = g_malloc(size);
    memset(bytes, ERASED, size);
    bytes[size - 1] = store->data;
    done = RETRY_ON_EINTR(pwrite(store->fd, bytes, size, from));
    if (done == size) {
        return 0;
    }
    err = done < 0 ? errno : ENOSPC;
    if (done > 0 && ftruncate(store->fd, st.st_size) < 0) {
        err = errno;
    }
    return -err;
}

/* End an operation in the main loop, after the worker thread */
static void finish_store(void *opaque, int ret)
{
    g_autofree FlashStore *store = opaque;
    IdtNtbFlash *flash = store->flash;

    if (!flash) {
        qemu_close(store->fd);
        return;
    }
    flash->store = NULL;
    if (!flash->sw->shm) {
        return;                 /* see idt_ntb_flash_abandon() */
    }
    if (!ret) {
        qatomic_set(&flash->sw->shm->eeprom[store->addr], store->data);
    } else if (!flash->failed) {
        error_report("idt-ntb: port %u: can't write byte 0x%04x of '%s': %s",
                     flash->sw->port, store->addr, flash->path,
                     strerror(-ret));
    }
    flash->failed = ret;
    end_operation(flash->sw, flash->sw->slot, !ret, store->data);
}

/* Start the operation in @word, a value of EEPROMINTF */
static void start_operation(IdtNtbSwitch *sw, IdtNtbFlash *flash, uint32_t word)
{
    unsigned addr = FIELD_EX32(word, EEPROMINTF, ADDR);
    uint8_t data = FIELD_EX32(word, EEPROMINTF, DATA);
    bool is_read = FIELD_EX32(word, EEPROMINTF, OP) == IDT_EEPROM_OP_READ;

    if (is_read) {
        data = qatomic_read(&sw->shm->eeprom[addr]);
    } else if (!flash) {
        qatomic_set(&sw->shm->eeprom[addr], data);
    }
    trace_idt_ntb_eeprom(sw->port, addr, is_read, data, flash != NULL);
    if (is_read || !flash) {
        end_operation(sw, sw->slot, true, data);
        return;
    }
    flash->store = g_new(FlashStore, 1);
    *flash->store = (FlashStore) {
        .flash = flash, .fd = flash->fd, .addr = addr, .data = data,
    };
    thread_pool_submit_aio(store_byte, flash->store, finish_store,
                           flash->store);
}

void idt_ntb_flash_write(IdtNtbSwitch *sw, IdtNtbFlash *flash, uint32_t value,
                         uint32_t lanes)
{
    const uint32_t rw = (R_EEPROMINTF_ADDR_MASK | R_EEPROMINTF_DATA_MASK |
                         R_EEPROMINTF_OP_MASK) & lanes;
    bool starts = lanes & R_EEPROMINTF_DATA_MASK;
    uint32_t *word = &sw->shm->sw.eepromintf;
    uint32_t old = qatomic_read(word);
    uint32_t new = (old & ~rw) | (value & rw);

    if (starts) {
        new = (new & ~R_EEPROMINTF_DONE_MASK) | R_EEPROMINTF_BUSY_MASK;
        new = FIELD_DP32(new, SHM_EEPROMINTF, SLOT, sw->slot);
    } else {
        new &= ~(value & lanes & R_EEPROMINTF_DONE_MASK);
    }
    if (idt_ntb_flash_read(sw) & R_EEPROMINTF_BUSY_MASK ||
        (flash && flash->store) || qatomic_cmpxchg(word, old, new) != old) {
        qemu_log_mask(LOG_GUEST_ERROR, "idt-ntb: port %u: write of 0x%08x to "
                      "EEPROMINTF while it is busy\n", sw->port, value);
        return;
    }
    if (starts) {
        start_operation(sw, flash, new);
    }
}
