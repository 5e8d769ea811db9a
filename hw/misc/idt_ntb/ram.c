/*
 * IDT 89HPESxNTx PCIe switch: tables of the RAM that other ports can map
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/sysmacros.h>
#include "qemu/atomic.h"
#include "qemu/main-loop.h"
#include "qemu/memfd.h"
#include "qemu/thread.h"
#include "qemu/units.h"
#include "exec/ramblock.h"
#include "ram.h"
#include "trace.h"

/* How often to read a table that keeps changing */
#define MAX_SEQ_TRIES   16

/* Read no more of a file in /proc/PID: a peer can make it long */
#define MAX_PROC_FILE   (4 * MiB)

static IdtNtbShmMemory *table_of(const IdtNtbSwitch *sw, unsigned slot)
{
    return &sw->shm->memory[slot].m;
}

/* Publishing */

static void publish_table(IdtNtbRam *m)
{
    IdtNtbShmMemory *table = table_of(m->sw, m->sw->slot);
    unsigned count = m->hidden ? 0 : m->count;

    qatomic_set(&table->seq, m->seq | 1);
    smp_wmb();                  /* a reader of any of it sees the odd number */
    qatomic_set(&table->pid, getpid());
    qatomic_set(&table->lock_fd, m->sw->fd);
    qatomic_set(&table->count, count);
    for (unsigned i = 0; i < count; i++) {
        qatomic_set(&table->ram[i].addr, m->ram[i].addr);
        qatomic_set(&table->ram[i].size, m->ram[i].size);
        qatomic_set(&table->ram[i].offset, m->ram[i].offset);
        qatomic_set(&table->ram[i].fd, m->ram[i].fd);
        qatomic_set(&table->ram[i].id, m->ram[i].id);
    }
    smp_wmb();                  /* a reader of the even number sees all */
    m->seq = (m->seq | 1) + 1;
    qatomic_set_mb(&table->seq, m->seq);

    memcpy(m->shown, m->ram, count * sizeof(m->ram[0]));
    m->shown_count = count;
    trace_idt_ntb_ram_publish(m->sw->port, count);
}

/*
 * Gives @ram the id that its descriptor has in the table, or a new one: a new
 * descriptor can have the number of one that was closed.
 */
static void set_id(IdtNtbRam *m, IdtNtbShmRam *ram)
{
    for (unsigned i = 0; i < m->shown_count; i++) {
        if (m->shown[i].fd == ram->fd) {
            ram->id = m->shown[i].id;
            return;
        }
    }
    for (IdtNtbShmRam *other = m->ram; other < ram; other++) {
        if (other->fd == ram->fd) {
            ram->id = other->id;
            return;
        }
    }
    ram->id = ++m->ids;
}

static void update_table(IdtNtbRam *m)
{
    unsigned count = m->hidden ? 0 : m->count;
    uint64_t fingerprint = m->hidden ? 0 : m->fingerprint;

    for (unsigned i = 0; i < count; i++) {
        set_id(m, &m->ram[i]);
    }
    if (count != m->shown_count ||
        memcmp(m->shown, m->ram, count * sizeof(m->ram[0]))) {
        publish_table(m);
    }
    if (fingerprint != m->shown_fingerprint) {
        m->shown_fingerprint = fingerprint;
        m->changed = true;
        qemu_bh_schedule(m->changed_bh);
    }
}

bool idt_ntb_ram_take_changed(IdtNtbRam *m)
{
    bool changed = m->changed;

    m->changed = false;
    return changed;
}

static void begin_listing(MemoryListener *listener)
{
    IdtNtbRam *m = container_of(listener, IdtNtbRam, listener);

    m->count = 0;
    m->fingerprint = 0;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * 0x9e3779b97f4a7c15ULL;
}

/* Cover all RAM: ports of this process map RAM that is not shared, too */
static void add_fingerprint(IdtNtbRam *m,
                            const MemoryRegionSection *section)
{
    uint64_t hash = mix(1, section->offset_within_address_space);

    hash = mix(hash, int128_get64(section->size));
    hash = mix(hash, section->offset_within_region);
    hash = mix(hash, (uintptr_t)section->mr);
    m->fingerprint = mix(m->fingerprint, hash);
}

bool idt_ntb_ram_is_plain(const MemoryRegionSection *section)
{
    MemoryRegion *mr = section->mr;

    return memory_region_is_ram(mr) && !memory_region_is_rom(mr) &&
           !memory_region_is_romd(mr) && !memory_region_is_ram_device(mr) &&
           !section->readonly && !section->nonvolatile;
}

static void list_section(MemoryListener *listener, MemoryRegionSection *section)
{
    IdtNtbRam *m = container_of(listener, IdtNtbRam, listener);
    RAMBlock *block = section->mr->ram_block;

    if (!idt_ntb_ram_is_plain(section)) {
        return;
    }
    add_fingerprint(m, section);
    if (!block || !qemu_ram_is_shared(block) || qemu_ram_get_fd(block) < 0 ||
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

static void commit_listing(MemoryListener *listener)
{
    IdtNtbRam *m = container_of(listener, IdtNtbRam, listener);

    if (m->started) {
        update_table(m);
    }
}

void idt_ntb_ram_start(IdtNtbRam *m, IdtNtbSwitch *sw, PCIDevice *pci,
                       QEMUBH *changed_bh)
{
    m->sw = sw;
    m->changed_bh = changed_bh;
    m->count = 0;
    m->listener = (MemoryListener) {
        .name = "idt-ntb",
        .begin = begin_listing,
        .region_add = list_section,
        .region_nop = list_section,
        .commit = commit_listing,
    };
    memory_listener_register(&m->listener, &pci->bus_master_as);
    m->started = true;
    idt_ntb_ram_reset(m);
}

void idt_ntb_ram_stop(IdtNtbRam *m)
{
    if (m->started) {
        m->started = false;
        memory_listener_unregister(&m->listener);
    }
}

void idt_ntb_ram_hide(IdtNtbRam *m, bool hidden)
{
    m->hidden = hidden;
    update_table(m);
}

void idt_ntb_ram_reset(IdtNtbRam *m)
{
    /* Continue where the last owner ended, which may have died in a write */
    m->seq = qatomic_read(&table_of(m->sw, m->sw->slot)->seq);
    publish_table(m);
}

/* Looking up */

uint32_t idt_ntb_ram_seq(const IdtNtbSwitch *sw, unsigned slot)
{
    return qatomic_load_acquire(&table_of(sw, slot)->seq);
}

static bool search_table(const IdtNtbShmMemory *table, uint64_t addr,
                         IdtNtbPeerRam *ram)
{
    unsigned count = MIN(qatomic_read(&table->count), IDT_NTB_MAX_RAM);

    ram->pid = qatomic_read(&table->pid);
    ram->lock_fd = qatomic_read(&table->lock_fd);
    for (unsigned i = 0; i < count; i++) {
        ram->addr = qatomic_read(&table->ram[i].addr);
        ram->size = qatomic_read(&table->ram[i].size);
        ram->offset = qatomic_read(&table->ram[i].offset);
        ram->fd = qatomic_read(&table->ram[i].fd);
        ram->id = qatomic_read(&table->ram[i].id);
        if (addr >= ram->addr && addr - ram->addr < ram->size) {
            return true;
        }
    }
    return false;
}

bool idt_ntb_ram_find(const IdtNtbSwitch *sw, unsigned slot,
                      uint64_t addr, IdtNtbPeerRam *ram)
{
    const IdtNtbShmMemory *table = table_of(sw, slot);

    for (unsigned i = 0; i < MAX_SEQ_TRIES; i++) {
        uint32_t seq = idt_ntb_ram_seq(sw, slot);
        bool found;

        if (seq & 1) {
            continue;
        }
        found = search_table(table, addr, ram);
        smp_rmb();              /* pairs with publish_table() */
        if (qatomic_read(&table->seq) == seq) {
            ram->seq = seq;
            return found;
        }
    }
    return false;
}

/* Opening */

/*
 * The work of a thread: a hostile peer can make the kernel wait, by a file
 * system of its own for example.
 */
struct IdtNtbOpenJob {
    dev_t dev;                  /* the memory of the switch */
    ino_t ino;
    uint64_t lock;              /* the byte that the owner of the port locks */
    uint64_t claim;             /* the offset that it has mapped */
    IdtNtbPeerRam ram;
    bool trust;
    int fd;                     /* the result */
    const char *why;
    QemuSemaphore done;
    bool is_done;
    int refs;                   /* the thread and the waiter */
};

static void open_job_unref(IdtNtbOpenJob *job)
{
    if (qatomic_fetch_dec(&job->refs) == 1) {
        if (job->fd >= 0) {
            close(job->fd);
        }
        qemu_sem_destroy(&job->done);
        g_free(job);
    }
}

/* Returns: the text of /proc/PID/@name, or NULL. */
static char *read_proc_file(int proc, const char *name)
{
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
    } while (len > 0 && text->len < MAX_PROC_FILE);
    close(file);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static char *read_fdinfo(int proc, uint32_t fd)
{
    g_autofree char *name = g_strdup_printf("fdinfo/%u", fd);

    return read_proc_file(proc, name);
}

/*
 * True if @fdinfo shows the write lock on the byte of the port.  That is not
 * enough: processes that share a descriptor all show its locks.
 */
static bool holds_lock(const IdtNtbOpenJob *job, const char *fdinfo)
{
    /* lock:\t1: OFDLCK ADVISORY  WRITE -1 00:17:42 8192 8192 */
    g_autofree char *end = g_strdup_printf(
        " %02x:%02x:%" PRIu64 " %" PRIu64 " %" PRIu64, major(job->dev),
        minor(job->dev), (uint64_t)job->ino, job->lock, job->lock);
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

/* True if the process has mapped the claim of the port: only it can do that */
static bool has_claim(const IdtNtbOpenJob *job, int proc)
{
    /* 7f2d46c7f000-7f2d46c80000 ---s 40000000 00:17 42     /dev/shm/ivshmem */
    g_autofree char *claim = g_strdup_printf(
        " ---s %08" PRIx64 " %02x:%02x %" PRIu64 " ", job->claim,
        major(job->dev), minor(job->dev), (uint64_t)job->ino);
    g_autofree char *maps = read_proc_file(proc, "maps");
    g_auto(GStrv) lines = g_strsplit(maps ?: "", "\n", -1);

    for (unsigned i = 0; lines[i]; i++) {
        /* Compare at this column only: others choose the names behind it */
        if (g_str_has_prefix(lines[i] + strcspn(lines[i], " "), claim)) {
            return true;
        }
    }
    return false;
}

/* Reads the number of @key in @fdinfo.  Returns: false if there is none. */
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

/*
 * True if the peer's descriptor @fd is open for reading and writing, and is the
 * same file as our descriptor @path.
 */
static bool is_open_rw(int proc, uint32_t fd, int path)
{
    g_autofree char *theirs = read_fdinfo(proc, fd);
    g_autofree char *name = g_strdup_printf("/proc/self/fdinfo/%d", path);
    g_autofree char *ours = NULL;
    uint64_t flags, a, b;

    if (!theirs || !g_file_get_contents(name, &ours, NULL, NULL) ||
        !fdinfo_number(theirs, "flags:", 8, &flags) ||
        (flags & O_ACCMODE) != O_RDWR || flags & O_PATH) {
        return false;
    }
    /* The peer may have changed what @fd is; Linux 5.14 shows the inode */
    return fdinfo_number(theirs, "mnt_id:", 10, &a) &&
           fdinfo_number(ours, "mnt_id:", 10, &b) && a == b &&
           (!fdinfo_number(ours, "ino:", 10, &b) ||
            (fdinfo_number(theirs, "ino:", 10, &a) && a == b));
}

/* True for a memfd with pages of the usual size: compares it with our own. */
static bool is_memfd(const struct stat *st)
{
    struct stat ours;
    int fd = qemu_memfd_create("idt-ntb", 0, false, 0, 0, NULL);
    bool same = fd >= 0 && !fstat(fd, &ours) && ours.st_dev == st->st_dev;

    if (fd >= 0) {
        close(fd);
    }
    return same;
}

/*
 * Opens the file after a look at it: opening a FIFO or a device has effects.
 * O_PATH keeps it the same file, whatever the peer does.
 */
static int open_ram(IdtNtbOpenJob *job, int proc)
{
    const IdtNtbPeerRam *ram = &job->ram;
    g_autofree char *name = g_strdup_printf("fd/%u", ram->fd);
    g_autofree char *self = NULL;
    struct stat st;
    int path = openat(proc, name, O_PATH | O_CLOEXEC);
    int fd = -1;
    int seals;

    if (path < 0) {
        job->why = "its descriptor can't be opened";
        return -1;
    }
    if (fstat(path, &st) < 0 || !S_ISREG(st.st_mode) ||
        !is_open_rw(proc, ram->fd, path)) {
        job->why = "it is no regular file open for reading and writing";
        goto out;
    }
    if (ram->size > st.st_size || ram->offset > st.st_size - ram->size) {
        job->why = "its file is too small";
        goto out;
    }
    /* The pool of huge pages can fail a page that its owner gave back */
    if (!job->trust && !is_memfd(&st)) {
        job->why = "it is no memfd with pages of the usual size; use "
                   "memory-backend-memfd there, or trust-peers=on here";
        goto out;
    }
    self = g_strdup_printf("/proc/self/fd/%d", path);
    fd = open(self, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        job->why = "its file can't be opened";
        goto out;
    }
    /* A file that shrinks would end QEMU by SIGBUS */
    seals = fcntl(fd, F_GET_SEALS);
    if (!job->trust && (seals < 0 || !(seals & F_SEAL_SHRINK))) {
        job->why = "its file is not sealed against shrinking; use "
                   "memory-backend-memfd there, or trust-peers=on here";
        close(fd);
        fd = -1;
    }
out:
    close(path);
    return fd;
}

static void *open_thread(void *opaque)
{
    IdtNtbOpenJob *job = opaque;
    g_autofree char *name = g_strdup_printf("/proc/%u", job->ram.pid);
    g_autofree char *fdinfo = NULL;
    /* Once open, it names this process, not a later one of the same PID */
    int proc = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (proc < 0) {
        job->why = "its process can't be found";
    } else {
        fdinfo = read_fdinfo(proc, job->ram.lock_fd);
        if (!fdinfo) {
            job->why = "its process does not belong to the same user";
        } else if (!holds_lock(job, fdinfo) || !has_claim(job, proc)) {
            job->why = "its process does not hold the port";
        } else {
            job->fd = open_ram(job, proc);
        }
        close(proc);
    }
    qemu_sem_post(&job->done);
    open_job_unref(job);
    return NULL;
}

IdtNtbOpenJob *idt_ntb_ram_open(const IdtNtbSwitch *sw, unsigned slot,
                                const IdtNtbPeerRam *ram, bool trust)
{
    IdtNtbOpenJob *job = g_new0(IdtNtbOpenJob, 1);
    QemuThread thread;

    *job = (IdtNtbOpenJob) {
        .dev = sw->dev,
        .ino = sw->ino,
        .lock = idt_ntb_shm_lock_offset(slot),
        .claim = idt_ntb_shm_claim_offset(slot),
        .ram = *ram,
        .trust = trust,
        .fd = -1,
        .refs = 2,
    };
    qemu_sem_init(&job->done, 0);
    qemu_thread_create(&thread, "idt-ntb-open", open_thread, job,
                       QEMU_THREAD_DETACHED);
    return job;
}

bool idt_ntb_ram_open_wait(IdtNtbOpenJob *job, unsigned timeout_ms)
{
    if (!job->is_done) {
        job->is_done = qemu_sem_timedwait(&job->done, timeout_ms) == 0;
    }
    return job->is_done;
}

int idt_ntb_ram_open_result(IdtNtbOpenJob *job, const char **why)
{
    int fd = job->fd;

    job->fd = -1;
    *why = job->why;
    return fd;
}

void idt_ntb_ram_open_end(IdtNtbOpenJob *job)
{
    open_job_unref(job);
}
