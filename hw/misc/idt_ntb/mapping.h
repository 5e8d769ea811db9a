/*
 * IDT 89HPESxNTx PCIe switch: mappings of other guests' RAM
 *
 * If the guest at the other port has shared RAM, map pages of it into our BAR:
 * QEMU is not involved in an access.  Give the mapping up when the owner of the
 * RAM asks for it (closing.h).
 *
 * If the window of a mapping is closed, replace its pages with private memory:
 * from then on no thread of ours can reach the peer's memory, whatever QEMU's
 * memory API or a translated block still refers to.  Acknowledge that at once,
 * unless a page is closed in part or no memory is left: then acknowledge when
 * the mapping has left.  With TCG the guest's address space follows when no
 * vCPU is in translated code.
 *
 * If the window stays open (because the peer's RAM changes, its VM stops, or a
 * larger mapping is made) no store may get lost: take the mapping out of the
 * address space first.  Until then it counts in @holds, and a peer whose VM
 * stops waits for that.
 *
 * Call all functions with the BQL held, from the main loop or a vCPU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_MAPPING_H
#define HW_MISC_IDT_NTB_MAPPING_H

#include "alias.h"
#include "ram.h"
#include "request.h"
#include "translate.h"

/* The RAM of a peer that we opened last. */
typedef struct IdtNtbTakenRam {
    int fd;                     /* -1: none */
    IdtNtbOpenJob *job;         /* opens it now, or NULL */
    uint32_t seq;               /* of the table that named it */
    uint32_t generation;        /* of the port */
    uint32_t number;            /* of the descriptor there */
    bool refused;               /* it can't be mapped: don't try again */
} IdtNtbTakenRam;

typedef struct IdtNtbMapping {
    /* Set by the owner before idt_ntb_mapping_start() */
    IdtNtbSwitch *sw;
    PCIDevice *pci;
    IdtNtbRequest *request;
    MemoryRegion *bar[IDT_NUM_BARS];    /* where mappings appear */
    bool enabled;
    bool trust_peers;

    QLIST_HEAD(, IdtNtbAlias) mappings;
    IdtNtbTakenRam taken[IDT_MAX_NT_PORTS];     /* by slot */
    uint32_t acknowledged;      /* our close_ack */
    bool started;
    bool stopping;
    int ones;                   /* a file of ones, or -1 */
} IdtNtbMapping;

/* Start to make mappings; @m->sw is attached. */
void idt_ntb_mapping_start(IdtNtbMapping *m);

/* Give up all mappings, before @m->sw is detached. */
void idt_ntb_mapping_stop(IdtNtbMapping *m);

/*
 * Find or make the mapping at @offset of BAR @bar, which is in @t.
 *
 * Returns: where the byte at @offset is, and in @len how many follow; or NULL,
 * and in @len how many bytes (at least 1) to send by request.
 */
void *idt_ntb_mapping_map(IdtNtbMapping *m, unsigned bar, uint64_t offset,
                          const IdtNtbTranslation *t, uint64_t *len);

/* Give up all mappings. */
void idt_ntb_mapping_drop_all(IdtNtbMapping *m);

/* Give up the mappings that are not allowed any more. */
void idt_ntb_mapping_sync(IdtNtbMapping *m);

/*
 * If another port has asked since the last call, do the same and acknowledge.
 */
void idt_ntb_mapping_look(IdtNtbMapping *m);

/* Return true while memory of the port at @slot is mapped. */
bool idt_ntb_mapping_holds(const IdtNtbMapping *m, unsigned slot);

/*
 * Return the number of mappings, and a text that lists them: free it by
 * g_free().
 */
unsigned idt_ntb_mapping_count(const IdtNtbMapping *m);
char *idt_ntb_mapping_list(const IdtNtbMapping *m);

#endif
