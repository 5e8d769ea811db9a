/*
 * IDT 89HPESxNTx PCIe switch: one mapping of other guests' RAM
 *
 * Pages of RAM that appear in a BAR.  This is a QOM object, because QEMU's
 * memory core can refer to its regions for some time after it was given up.
 *
 * Call all functions with the BQL held, from the main loop or a vCPU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_ALIAS_H
#define HW_MISC_IDT_NTB_ALIAS_H

#include "exec/memory.h"
#include "qom/object.h"

#define TYPE_IDT_NTB_ALIAS "idt-ntb-alias"
OBJECT_DECLARE_SIMPLE_TYPE(IdtNtbAlias, IDT_NTB_ALIAS)

struct IdtNtbAlias {
    Object parent_obj;

    MemoryRegion ram;           /* pages of another process */
    void *host;                 /* where they are mapped, whole pages */
    size_t host_size;
    MemoryRegion *local;        /* or RAM of this process, referenced */
    uint64_t local_offset;
    MemoryRegion shown;         /* an alias of either */
    MemoryRegion *container;    /* the BAR that it is in, or will be */
    bool open;                  /* it has to be there */
    uint8_t *ptr;               /* where @start is; NULL if it is local */
    uint64_t start;             /* offsets in the BAR */
    uint64_t end;

    /* Set and used by mapping.c */
    void *owner;
    void (*left)(IdtNtbAlias *alias);   /* see idt_ntb_alias_leave() */
    bool closed;                /* a closed part can still be reached */
    unsigned bar;
    unsigned slot;              /* of the port whose memory it is */
    uint64_t addr;              /* bus address there of @start */
    uint64_t file_offset;       /* of @start */
    uint32_t file;              /* number of the descriptor there */
    uint32_t id;                /* of the RAM */
    uint32_t seq;               /* of the memory table that says so */
    uint32_t generation;        /* of the port */
    QLIST_ENTRY(IdtNtbAlias) next;
};

/*
 * Map @size bytes at @offset of @fd, which stays the caller's.
 *
 * Returns: the mapping, or NULL with the reason in @why.
 */
IdtNtbAlias *idt_ntb_alias_new(int fd, uint64_t offset, uint64_t size,
                               const char **why);

/* Map @mr, RAM of this process, from @offset on. */
IdtNtbAlias *idt_ntb_alias_new_local(MemoryRegion *mr, uint64_t offset);

/*
 * Show @alias from @alias->start to @alias->end of @bar.  With TCG the guest
 * sees it when no vCPU is in translated code.  @alias->ptr can be used at once.
 */
void idt_ntb_alias_enter(IdtNtbAlias *alias, MemoryRegion *bar);

/*
 * Take @alias out of the guest's address space: at once if @at_once, as when
 * its BAR goes away.  Else with TCG when no vCPU is in translated code; then
 * call @alias->left, if that is set.  With @all, no vCPU begins another block
 * of code before that.
 *
 * Returns: true if it is out on return; @alias->left is not called.
 */
bool idt_ntb_alias_leave(IdtNtbAlias *alias, bool at_once, bool all);

/*
 * Replace another process's pages with private memory, from offset @from of the
 * BAR on: @alias->start, or a whole number of pages after it.  On return no
 * thread of this process can reach the pages.  One that tries sees ones, from
 * file @ones (idt_ntb_alias_ones_file()); or zeros, if that is -1 or the pages
 * are too many.
 *
 * Returns: false if no memory is left for that.
 */
bool idt_ntb_alias_cut_off(IdtNtbAlias *alias, uint64_t from, int ones);

/* Return a file of ones for idt_ntb_alias_cut_off(), or -1. */
int idt_ntb_alias_ones_file(void);

#endif
