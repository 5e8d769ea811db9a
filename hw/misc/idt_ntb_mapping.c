/*
 * IDT 89HPESxNTx PCIe switch: one direct mapping
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
#include "idt_ntb_mapping.h"

/* What is cut off shows this file of ones, up to so many times */
#define ONES_SIZE   (1 * MiB)
#define ONES_MAX    32

/* In the guest's address space */

/* Enters or removes the alias, as @m->open says. */
static void mapping_apply(IdtNtbMapping *m)
{
    if (m->open && !m->alias.container) {
        memory_region_transaction_begin();
        /* Not ours: not to be dumped, nor published */
        memory_region_set_nonvolatile(&m->alias, true);
        memory_region_add_subregion_overlap(m->container, m->start, &m->alias,
                                            1);
        memory_region_transaction_commit();
    } else if (!m->open && m->alias.container) {
        memory_region_del_subregion(m->container, &m->alias);
    }
}

static void mapping_apply_work(CPUState *cpu, run_on_cpu_data data)
{
    BQL_LOCK_GUARD();
    mapping_apply(data.host_ptr);
    object_unref(OBJECT(data.host_ptr));
}

/*
 * TCG's vCPUs use what they know of the address space until they come to flush
 * it, up to the end of a translated block, and that includes numbers which a
 * change of the address space makes those of other devices.  So it changes
 * while none of them is in translated code; until then window_access() does it.
 */
static void mapping_apply_soon(IdtNtbMapping *m)
{
    CPUState *cpu = current_cpu ? current_cpu : first_cpu;

    if (tcg_enabled() && cpu && cpu->created) {
        async_safe_run_on_cpu(cpu, mapping_apply_work,
                              RUN_ON_CPU_HOST_PTR(object_ref(OBJECT(m))));
    } else {
        mapping_apply(m);
    }
}

void idt_ntb_mapping_enter(IdtNtbMapping *m, MemoryRegion *bar, uint64_t start,
                           uint64_t end)
{
    MemoryRegion *mr = m->local ? m->local : &m->ram;
    uint64_t offset = m->local ? m->local_offset :
                                 m->ptr - (uint8_t *)m->host;

    m->start = start;
    m->end = end;
    m->container = bar;
    memory_region_init_alias(&m->alias, OBJECT(m), "idt-ntb-window", mr,
                             offset, end - start);
    m->open = true;
    mapping_apply_soon(m);
}

/* Giving up */

int idt_ntb_ones_file(void)
{
    g_autofree uint8_t *ones = g_malloc(ONES_SIZE);
    int fd = qemu_memfd_create("idt-ntb-ones", ONES_SIZE, false, 0, 0, NULL);

    memset(ones, 0xff, ONES_SIZE);
    if (fd >= 0 && pwrite(fd, ones, ONES_SIZE, 0) != ONES_SIZE) {
        close(fd);
        return -1;
    }
    return fd;
}

/*
 * Puts private memory in the place of the pages of the other process: what our
 * vCPUs still store there is theirs alone, and what they load is all ones.
 *
 * Returns: false if there is no memory for it.
 */
static bool mapping_cut_off(IdtNtbMapping *m, int ones)
{
    uint64_t size = m->host_size;
    uint8_t *host = m->host;

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

bool idt_ntb_mapping_give_up(IdtNtbMapping *m, bool at_once, int ones)
{
    bool done;

    at_once |= !tcg_enabled();
    m->open = false;
    if (at_once) {
        mapping_apply(m);
    }
    done = m->local || mapping_cut_off(m, ones);
    if (!at_once) {
        mapping_apply_soon(m);
    }
    object_unref(OBJECT(m));
    return done;
}

/* Making */

/*
 * As device memory: what QEMU does with RAM by its descriptor or its host
 * address (vhost-user, balloon, DMA in flight) would not see it cut off.
 */
IdtNtbMapping *idt_ntb_mapping_new(int fd, uint64_t offset, uint64_t size,
                                   const char **why)
{
    size_t page = qemu_fd_getpagesize(fd);
    uint64_t start = ROUND_DOWN(offset, page);
    uint64_t length = ROUND_UP(offset + size, page) - start;
    IdtNtbMapping *m;
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
    m = IDT_NTB_MAPPING(object_new(TYPE_IDT_NTB_MAPPING));
    m->host = host;
    m->host_size = length;
    m->ptr = m->host + (offset - start);
    memory_region_init_ram_device_ptr(&m->ram, OBJECT(m), "idt-ntb-ram",
                                      length, host);
    return m;
}

IdtNtbMapping *idt_ntb_mapping_new_local(MemoryRegion *mr, uint64_t offset)
{
    IdtNtbMapping *m = IDT_NTB_MAPPING(object_new(TYPE_IDT_NTB_MAPPING));

    memory_region_ref(mr);
    m->local = mr;
    m->local_offset = offset;
    return m;
}

bool idt_ntb_is_mapping(Object *obj)
{
    return obj && object_dynamic_cast(obj, TYPE_IDT_NTB_MAPPING);
}

static void idt_ntb_mapping_finalize(Object *obj)
{
    IdtNtbMapping *m = IDT_NTB_MAPPING(obj);

    memory_region_unref(m->local);
    if (m->host) {
        munmap(m->host, m->host_size);
    }
}

static const TypeInfo idt_ntb_mapping_info = {
    .name = TYPE_IDT_NTB_MAPPING,
    .parent = TYPE_OBJECT,
    .instance_size = sizeof(IdtNtbMapping),
    .instance_finalize = idt_ntb_mapping_finalize,
};

static void idt_ntb_mapping_register_types(void)
{
    type_register_static(&idt_ntb_mapping_info);
}

type_init(idt_ntb_mapping_register_types)
