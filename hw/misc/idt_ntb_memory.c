/*
 * IDT 89HPESxNTx PCIe switch: the bus memory tables
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/sysmacros.h>
#include "qemu/atomic.h"
#include "qemu/main-loop.h"
#include "exec/ramblock.h"
#include "idt_ntb_memory.h"
#include "trace.h"

/* How often to look at a table that changes all the time */
#define MAX_SEQ_TRIES   16

/* More of /proc/PID/fdinfo is not read: a peer can make it long */
#define MAX_FDINFO      (64 * 1024)

static IdtNtbShmMemory *memory_table(const IdtNtbSwitch *sw, unsigned partition)
{
    return &sw->shm->memory[partition].m;
}

/* Publishing */

static void memory_publish(IdtNtbMemory *m)
{
    IdtNtbShmMemory *table = memory_table(m->sw, m->sw->partition);
    uint32_t seq = qatomic_read(&table->seq) | 1;
    unsigned count = m->hidden ? 0 : m->count;

    /* Who died while writing left it odd */
    qatomic_set(&table->seq, seq);
    smp_wmb();
    qatomic_set(&table->pid, getpid());
    qatomic_set(&table->lock_fd, m->sw->fd);
    qatomic_set(&table->count, count);
    for (unsigned i = 0; i < count; i++) {
        qatomic_set(&table->ram[i].addr, m->ram[i].addr);
        qatomic_set(&table->ram[i].size, m->ram[i].size);
        qatomic_set(&table->ram[i].offset, m->ram[i].offset);
        qatomic_set(&table->ram[i].fd, m->ram[i].fd);
    }
    smp_wmb();
    qatomic_set(&table->seq, seq + 1);
    smp_mb();

    memcpy(m->shown, m->ram, count * sizeof(m->ram[0]));
    m->shown_count = count;
    trace_idt_ntb_memory_publish(m->sw->port, count);
}

/* True if all that is published still is what it was. */
static bool memory_shown_remains(const IdtNtbMemory *m)
{
    for (unsigned i = 0; i < m->shown_count; i++) {
        bool found = false;

        for (unsigned j = 0; !m->hidden && !found && j < m->count; j++) {
            found = !memcmp(&m->shown[i], &m->ram[j], sizeof(m->ram[0]));
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

static void memory_update(IdtNtbMemory *m)
{
    unsigned count = m->hidden ? 0 : m->count;
    bool remains = memory_shown_remains(m);

    if (remains && count == m->shown_count) {
        return;
    }
    memory_publish(m);
    if (!remains) {
        /* Not now: this may be in the middle of a memory transaction */
        m->changed = true;
        qemu_bh_schedule(m->changed_bh);
    }
}

static void memory_begin(MemoryListener *listener)
{
    container_of(listener, IdtNtbMemory, listener)->count = 0;
}

static void memory_add(MemoryListener *listener, MemoryRegionSection *section)
{
    IdtNtbMemory *m = container_of(listener, IdtNtbMemory, listener);
    MemoryRegion *mr = section->mr;
    RAMBlock *block = mr->ram_block;

    /*
     * Nonvolatile is how windows are marked: what others see through us is not
     * ours to publish.
     */
    if (!memory_region_is_ram(mr) || memory_region_is_rom(mr) ||
        memory_region_is_romd(mr) || memory_region_is_ram_device(mr) ||
        section->readonly || section->nonvolatile || !block ||
        !qemu_ram_is_shared(block) || qemu_ram_get_fd(block) < 0 ||
        m->count == ARRAY_SIZE(m->ram)) {
        return;
    }
    m->ram[m->count++] = (IdtNtbShmRam) {
        .addr = section->offset_within_address_space,
        .size = int128_get64(section->size),
        .offset = block->fd_offset + section->offset_within_region,
        .fd = qemu_ram_get_fd(block),
    };
}

static void memory_commit(MemoryListener *listener)
{
    IdtNtbMemory *m = container_of(listener, IdtNtbMemory, listener);

    if (m->started) {
        memory_update(m);
    }
}

void idt_ntb_memory_start(IdtNtbMemory *m, IdtNtbSwitch *sw, PCIDevice *pci,
                          QEMUBH *changed_bh)
{
    m->sw = sw;
    m->changed_bh = changed_bh;
    m->count = 0;
    m->listener = (MemoryListener) {
        .name = "idt-ntb",
        .begin = memory_begin,
        .region_add = memory_add,
        .region_nop = memory_add,
        .commit = memory_commit,
    };
    memory_listener_register(&m->listener, &pci->bus_master_as);
    m->started = true;
    memory_publish(m);
}

void idt_ntb_memory_stop(IdtNtbMemory *m)
{
    if (m->started) {
        m->started = false;
        memory_listener_unregister(&m->listener);
    }
}

void idt_ntb_memory_hide(IdtNtbMemory *m, bool hidden)
{
    m->hidden = hidden;
    memory_update(m);
}

void idt_ntb_memory_reset(IdtNtbMemory *m)
{
    memory_publish(m);
}

/* Looking up */

uint32_t idt_ntb_memory_seq(const IdtNtbSwitch *sw, unsigned partition)
{
    return qatomic_load_acquire(&memory_table(sw, partition)->seq);
}

static bool memory_search(const IdtNtbShmMemory *table, uint64_t addr,
                          IdtNtbRam *ram)
{
    unsigned count = MIN(qatomic_read(&table->count), IDT_NTB_MAX_RAM);

    ram->pid = qatomic_read(&table->pid);
    ram->lock_fd = qatomic_read(&table->lock_fd);
    for (unsigned i = 0; i < count; i++) {
        ram->addr = qatomic_read(&table->ram[i].addr);
        ram->size = qatomic_read(&table->ram[i].size);
        ram->offset = qatomic_read(&table->ram[i].offset);
        ram->fd = qatomic_read(&table->ram[i].fd);
        if (addr >= ram->addr && addr - ram->addr < ram->size) {
            return true;
        }
    }
    return false;
}

bool idt_ntb_memory_find(const IdtNtbSwitch *sw, unsigned partition,
                         uint64_t addr, IdtNtbRam *ram)
{
    const IdtNtbShmMemory *table = memory_table(sw, partition);

    for (unsigned i = 0; i < MAX_SEQ_TRIES; i++) {
        uint32_t seq = idt_ntb_memory_seq(sw, partition);
        bool found;

        if (seq & 1) {
            continue;
        }
        found = memory_search(table, addr, ram);
        smp_rmb();
        if (qatomic_read(&table->seq) == seq) {
            ram->seq = seq;
            return found;
        }
    }
    return false;
}

/* Opening */

/* The text of /proc/PID/fdinfo/@fd; NULL if there is none. */
static char *read_fdinfo(int proc, uint32_t fd)
{
    g_autofree char *name = g_strdup_printf("fdinfo/%u", fd);
    g_autoptr(GString) text = g_string_new(NULL);
    char buf[4096];
    ssize_t len;
    int file = openat(proc, name, O_RDONLY | O_CLOEXEC);

    if (file < 0) {
        return NULL;
    }
    do {
        len = RETRY_ON_EINTR(read(file, buf, sizeof(buf)));
        g_string_append_len(text, buf, MAX(len, 0));
    } while (len > 0 && text->len < MAX_FDINFO);
    close(file);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/* True if @fdinfo shows the write lock on the byte of @port. */
static bool holds_lock(const IdtNtbSwitch *sw, unsigned port,
                       const char *fdinfo)
{
    /* lock:\t1: OFDLCK ADVISORY  WRITE -1 00:17:42 8192 8192 */
    g_autofree char *end = g_strdup_printf(
        " %02x:%02x:%" PRIu64 " %" PRIu64 " %" PRIu64, major(sw->dev),
        minor(sw->dev), (uint64_t)sw->ino, idt_ntb_switch_lock_offset(port),
        idt_ntb_switch_lock_offset(port));
    g_auto(GStrv) lines = g_strsplit(fdinfo, "\n", -1);

    for (unsigned i = 0; lines[i]; i++) {
        if (g_str_has_prefix(lines[i], "lock:") &&
            strstr(lines[i], " OFDLCK ") && strstr(lines[i], " WRITE ") &&
            g_str_has_suffix(lines[i], end)) {
            return true;
        }
    }
    return false;
}

/* A number of @fdinfo, in base @base; false if it is not there. */
static bool fdinfo_number(const char *fdinfo, const char *key, int base,
                          uint64_t *value)
{
    g_auto(GStrv) lines = g_strsplit(fdinfo, "\n", -1);

    for (unsigned i = 0; lines[i]; i++) {
        if (g_str_has_prefix(lines[i], key)) {
            *value = g_ascii_strtoull(lines[i] + strlen(key), NULL, base);
            return true;
        }
    }
    return false;
}

/* The peer has @st open for reading and writing, as @fd. */
static bool is_open_rw(int proc, uint32_t fd, const struct stat *st)
{
    g_autofree char *fdinfo = read_fdinfo(proc, fd);
    uint64_t flags, ino;

    return fdinfo && fdinfo_number(fdinfo, "flags:", 8, &flags) &&
           (flags & O_ACCMODE) == O_RDWR && !(flags & O_PATH) &&
           /* Linux 5.14 */
           (!fdinfo_number(fdinfo, "ino:", 10, &ino) || ino == st->st_ino);
}

/*
 * Looks before it opens: to open a FIFO or a device can have effects.  With
 * O_PATH it is the same file all the time, whatever the peer does.
 */
static int open_ram(int proc, const IdtNtbRam *ram, bool trust,
                    const char **why)
{
    g_autofree char *name = g_strdup_printf("fd/%u", ram->fd);
    g_autofree char *self = NULL;
    struct stat st;
    int path = openat(proc, name, O_PATH | O_CLOEXEC);
    int fd = -1;
    int seals;

    if (path < 0) {
        *why = "its descriptor can't be opened";
        return -1;
    }
    if (fstat(path, &st) < 0 || !S_ISREG(st.st_mode) ||
        !is_open_rw(proc, ram->fd, &st)) {
        *why = "it is no regular file open for reading and writing";
        goto out;
    }
    if (ram->size > st.st_size || ram->offset > st.st_size - ram->size) {
        *why = "its file is too small";
        goto out;
    }
    self = g_strdup_printf("/proc/self/fd/%d", path);
    fd = open(self, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        *why = "its file can't be opened";
        goto out;
    }
    /* A file that shrinks would kill us */
    seals = fcntl(fd, F_GET_SEALS);
    if (!trust && (seals < 0 || !(seals & F_SEAL_SHRINK))) {
        *why = "its file is not sealed against shrinking";
        close(fd);
        fd = -1;
    }
out:
    close(path);
    return fd;
}

int idt_ntb_memory_open(const IdtNtbSwitch *sw, unsigned partition,
                        const IdtNtbRam *ram, bool trust, const char **why)
{
    unsigned port = idt_ntb_switch_port(sw, partition);
    g_autofree char *name = g_strdup_printf("/proc/%u", ram->pid);
    g_autofree char *fdinfo = NULL;
    /* What is open names this process only, not who gets its PID after it */
    int proc = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = -1;

    if (proc < 0) {
        *why = "its process is not to be found";
        return -1;
    }
    fdinfo = read_fdinfo(proc, ram->lock_fd);
    if (!fdinfo) {
        *why = "its process does not belong to the same user";
    } else if (!holds_lock(sw, port, fdinfo)) {
        *why = "its process does not hold the port";
    } else {
        fd = open_ram(proc, ram, trust, why);
    }
    close(proc);
    return fd;
}
