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
#define ONES_MAX    1024

/* In the guest's address space */

/* Enters or removes the alias, as @alias->open says. */
static void apply_open(IdtNtbAlias *alias)
{
    if (alias->open && !alias->shown.container) {
        memory_region_transaction_begin();
        /* Mark it as not ours: neither dump nor publish it */
        memory_region_set_nonvolatile(&alias->shown, true);
        memory_region_add_subregion_overlap(alias->container, alias->start,
                                            &alias->shown, 1);
        memory_region_transaction_commit();
    } else if (!alias->open && alias->shown.container) {
        memory_region_del_subregion(alias->container, &alias->shown);
    }
}

static void apply_work(CPUState *cpu, run_on_cpu_data data)
{
    IdtNtbAlias *alias = data.host_ptr;

    BQL_LOCK_GUARD();
    apply_open(alias);
    if (!alias->open && alias->left) {
        alias->left(alias);
    }
    object_unref(OBJECT(alias));
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
static void apply_soon(IdtNtbAlias *alias, bool all)
{
    CPUState *first = current_cpu ? current_cpu : first_cpu;
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        if (cpu->created && (all || cpu == first)) {
            object_ref(OBJECT(alias));
            async_safe_run_on_cpu(cpu, apply_work,
                                  RUN_ON_CPU_HOST_PTR(alias));
        }
    }
}

void idt_ntb_alias_enter(IdtNtbAlias *alias, MemoryRegion *bar)
{
    MemoryRegion *mr = alias->local ? alias->local : &alias->ram;
    uint64_t offset = alias->local ? alias->local_offset :
                                     alias->ptr - (uint8_t *)alias->host;

    memory_region_ref(bar);
    alias->container = bar;
    memory_region_init_alias(&alias->shown, OBJECT(alias), "idt-ntb-window", mr,
                             offset, alias->end - alias->start);
    alias->open = true;
    if (runs_code()) {
        apply_soon(alias, false);
    } else {
        apply_open(alias);
    }
}

bool idt_ntb_alias_leave(IdtNtbAlias *alias, bool at_once, bool all)
{
    alias->open = false;
    if (at_once || !runs_code()) {
        apply_open(alias);
    } else if (alias->shown.container) {
        apply_soon(alias, all);
    }
    return !alias->shown.container;
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

bool idt_ntb_alias_cut_off(IdtNtbAlias *alias, uint64_t from, int ones)
{
    uint8_t *host = from == alias->start ? alias->host :
                    alias->ptr + (from - alias->start);
    uint64_t size = (uint8_t *)alias->host + alias->host_size - host;
    uint64_t done = 0;

    /* Never show zeros first: a thread can read at any moment */
    if (ones >= 0 && size <= ONES_MAX * ONES_SIZE) {
        while (done < size &&
               mmap(host + done, MIN(size - done, ONES_SIZE),
                    PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, ones,
                    0) != MAP_FAILED) {
            done += MIN(size - done, ONES_SIZE);
        }
    }
    return done == size ||
           mmap(host + done, size - done, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE,
                -1, 0) != MAP_FAILED;
}

/* Late accesses */

/*
 * A vCPU of KVM can look an address up just when the alias appears, and then
 * wait for the BQL until the alias has gone.  Do what the window does now.
 */
static uint64_t late_offset(const IdtNtbAlias *alias, hwaddr addr)
{
    return alias->start + addr - (alias->ptr - (uint8_t *)alias->host);
}

static MemTxResult read_late(void *opaque, hwaddr addr, uint64_t *data,
                             unsigned size, MemTxAttrs attrs)
{
    IdtNtbAlias *alias = opaque;

    return memory_region_dispatch_read(alias->container,
                                       late_offset(alias, addr), data,
                                       size_memop(size) | MO_LE, attrs);
}

static MemTxResult write_late(void *opaque, hwaddr addr, uint64_t data,
                              unsigned size, MemTxAttrs attrs)
{
    IdtNtbAlias *alias = opaque;

    return memory_region_dispatch_write(alias->container,
                                        late_offset(alias, addr), data,
                                        size_memop(size) | MO_LE, attrs);
}

static const MemoryRegionOps late_ops = {
    .read_with_attrs = read_late,
    .write_with_attrs = write_late,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
    .impl = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
};

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
    IdtNtbAlias *alias;
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
    alias = IDT_NTB_ALIAS(object_new(TYPE_IDT_NTB_ALIAS));
    alias->host = host;
    alias->host_size = length;
    alias->ptr = alias->host + (offset - start);
    memory_region_init_ram_device_ptr(&alias->ram, OBJECT(alias), "idt-ntb-ram",
                                      length, host);
    alias->ram.ops = &late_ops;
    alias->ram.opaque = alias;
    return alias;
}

IdtNtbAlias *idt_ntb_alias_new_local(MemoryRegion *mr, uint64_t offset)
{
    IdtNtbAlias *alias = IDT_NTB_ALIAS(object_new(TYPE_IDT_NTB_ALIAS));

    memory_region_ref(mr);
    alias->local = mr;
    alias->local_offset = offset;
    return alias;
}

static void finalize_alias(Object *obj)
{
    IdtNtbAlias *alias = IDT_NTB_ALIAS(obj);

    memory_region_unref(alias->local);
    memory_region_unref(alias->container);
    if (alias->host) {
        munmap(alias->host, alias->host_size);
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
