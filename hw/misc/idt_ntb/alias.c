/*
 * IDT 89HPESxNTx PCIe switch: one mapping of other guests' RAM
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include "qemu/main-loop.h"
#include "qemu/memfd.h"
#include "qemu/mmap-alloc.h"
#include "qemu/units.h"
#include "hw/core/cpu.h"
#include "system/tcg.h"
#include "alias.h"

/* A cut-off mapping shows this file of ones, at most so many times */
#define ONES_SIZE   (1 * MiB)
#define ONES_MAX    32

/* In the guest's address space */

/* Enters or removes the alias, as @m->open says. */
static void apply_open(IdtNtbAlias *m)
{
    if (m->open && !m->alias.container) {
        memory_region_transaction_begin();
        /* Mark it as not ours: neither dump nor publish it */
        memory_region_set_nonvolatile(&m->alias, true);
        memory_region_add_subregion_overlap(m->container, m->start, &m->alias,
                                            1);
        memory_region_transaction_commit();
    } else if (!m->open && m->alias.container) {
        memory_region_del_subregion(m->container, &m->alias);
    }
}

static void apply_work(CPUState *cpu, run_on_cpu_data data)
{
    IdtNtbAlias *m = data.host_ptr;

    BQL_LOCK_GUARD();
    apply_open(m);
    if (!m->open && m->left) {
        m->left(m);
    }
    object_unref(OBJECT(m));
}

/* True if a vCPU can be in translated code. */
static bool runs_code(void)
{
    CPUState *cpu;

    if (tcg_enabled()) {
        CPU_FOREACH(cpu) {
            if (cpu->created && !cpu_is_stopped(cpu)) {
                return true;
            }
        }
    }
    return false;
}

/*
 * A vCPU in translated code uses its view of the address space until it leaves
 * the block.  That view has section numbers, which a commit of the address
 * space gives to other sections.  So commit while no vCPU is in a block.  With
 * @all, each vCPU leaves its block and waits for that: none begins another
 * block with the old address space.
 */
static void apply_soon(IdtNtbAlias *m, bool all)
{
    CPUState *first = current_cpu ? current_cpu : first_cpu;
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        if (cpu->created && (all || cpu == first)) {
            async_safe_run_on_cpu(cpu, apply_work,
                                  RUN_ON_CPU_HOST_PTR(object_ref(OBJECT(m))));
        }
    }
}

void idt_ntb_alias_enter(IdtNtbAlias *m, MemoryRegion *bar)
{
    MemoryRegion *mr = m->local ? m->local : &m->ram;
    uint64_t offset = m->local ? m->local_offset :
                                 m->ptr - (uint8_t *)m->host;

    m->container = bar;
    memory_region_init_alias(&m->alias, OBJECT(m), "idt-ntb-window", mr,
                             offset, m->end - m->start);
    m->open = true;
    if (runs_code()) {
        apply_soon(m, false);
    } else {
        apply_open(m);
    }
}

bool idt_ntb_alias_leave(IdtNtbAlias *m, bool at_once, bool all)
{
    m->open = false;
    if (at_once || !runs_code()) {
        apply_open(m);
    } else if (m->alias.container) {
        apply_soon(m, all);
    }
    return !m->alias.container;
}

/* Cutting off */

int idt_ntb_alias_ones_file(void)
{
    int fd = qemu_memfd_create("idt-ntb-ones", ONES_SIZE, false, 0, 0, NULL);
    uint8_t ones[4 * KiB];

    memset(ones, 0xff, sizeof(ones));
    for (unsigned at = 0; fd >= 0 && at < ONES_SIZE; at += sizeof(ones)) {
        if (pwrite(fd, ones, sizeof(ones), at) != sizeof(ones)) {
            close(fd);
            fd = -1;
        }
    }
    return fd;
}

bool idt_ntb_alias_cut_off(IdtNtbAlias *m, uint64_t from, int ones)
{
    uint8_t *host = from == m->start ? m->host : m->ptr + (from - m->start);
    uint64_t size = (uint8_t *)m->host + m->host_size - host;

    if (mmap(host, size, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE,
             -1, 0) == MAP_FAILED) {
        return false;
    }
    if (size > ONES_MAX * ONES_SIZE || ones < 0) {
        return true;            /* zeros for a moment */
    }
    for (uint64_t done = 0; done < size; done += ONES_SIZE) {
        if (mmap(host + done, MIN(size - done, ONES_SIZE),
                 PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, ones,
                 0) == MAP_FAILED) {
            break;
        }
    }
    return true;
}

/* Making */

/*
 * Make it device memory.  QEMU uses other RAM by its descriptor or its host
 * address (vhost-user, balloon, DMA in flight), and would not see it cut off.
 */
IdtNtbAlias *idt_ntb_alias_new(int fd, uint64_t offset, uint64_t size,
                               const char **why)
{
    size_t page = qemu_fd_getpagesize(fd);
    uint64_t start = ROUND_DOWN(offset, page);
    uint64_t length = ROUND_UP(offset + size, page) - start;
    IdtNtbAlias *m;
    struct stat st;
    void *host;

    if (fstat(fd, &st) < 0 || length > st.st_size ||
        start > st.st_size - length) {
        *why = "its file is too small";
        return NULL;
    }
    host = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, start);
    if (host == MAP_FAILED) {
        *why = "it can't be mapped";
        return NULL;
    }
    m = IDT_NTB_ALIAS(object_new(TYPE_IDT_NTB_ALIAS));
    m->host = host;
    m->host_size = length;
    m->ptr = m->host + (offset - start);
    memory_region_init_ram_device_ptr(&m->ram, OBJECT(m), "idt-ntb-ram",
                                      length, host);
    return m;
}

IdtNtbAlias *idt_ntb_alias_new_local(MemoryRegion *mr, uint64_t offset)
{
    IdtNtbAlias *m = IDT_NTB_ALIAS(object_new(TYPE_IDT_NTB_ALIAS));

    memory_region_ref(mr);
    m->local = mr;
    m->local_offset = offset;
    return m;
}

static void finalize_alias(Object *obj)
{
    IdtNtbAlias *m = IDT_NTB_ALIAS(obj);

    memory_region_unref(m->local);
    if (m->host) {
        munmap(m->host, m->host_size);
    }
}

static const TypeInfo type_info = {
    .name = TYPE_IDT_NTB_ALIAS,
    .parent = TYPE_OBJECT,
    .instance_size = sizeof(IdtNtbAlias),
    .instance_finalize = finalize_alias,
};

static void register_types(void)
{
    type_register_static(&type_info);
}

type_init(register_types)
