/*
 * IDT 89HPESxNTx PCIe switch: direct mappings of windows
 *
 * Where the guest at the other port has shared RAM, pages of it are mapped
 * into our BAR: QEMU is not involved in an access.
 *
 * Closing: whoever ends a window first makes the end visible, and then asks
 * each port that may hold mappings (@holds) to look at them, by counting its
 * close_req and signalling it.  The port gives up what is not allowed any more,
 * and shows in close_ack which request it has seen.  A port sets its bit in
 * @holds before it looks whether it may map: at least one side sees the other's
 * update.
 *
 * To give up a mapping whose window is closed is to put private memory in its
 * place: from then on no thread of ours can reach the peer's, whatever QEMU's
 * memory API or a translated block still refers to.  The port acknowledges at
 * once, and with TCG the guest's address space follows when no vCPU is in
 * translated code.  If the window stays open (because the peer's RAM changes,
 * its VM stops, or a larger mapping is made) no store may get lost: the mapping
 * leaves the address space first.  Until then it is in @holds, and a peer whose
 * VM stops waits for that.
 *
 * All functions are called with the BQL held, from the main loop or a vCPU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_MAPPING_H
#define HW_MISC_IDT_NTB_MAPPING_H

#include "alias.h"
#include "ram.h"
#include "request.h"
#include "translate.h"

/* The RAM of a peer that was opened last. */
typedef struct IdtNtbTakenRam {
    int fd;                     /* -1: none */
    IdtNtbOpenJob *job;         /* that opens it, or NULL */
    uint32_t seq;               /* of the table that named it */
    uint32_t generation;        /* of the port */
    uint32_t number;            /* of the descriptor there */
    bool refused;               /* it can't be had: don't try again */
    /* As a holder of our memory: does not acknowledge */
    bool silent;
    uint32_t silent_request;    /* what it owes us */
    int64_t silence_told;
} IdtNtbTakenRam;

typedef struct IdtNtbMapping {
    /* Set by the owner before idt_ntb_mapping_start() */
    IdtNtbSwitch *sw;
    PCIDevice *pci;
    IdtNtbRequest *request;
    MemoryRegion *bar[IDT_NUM_BARS];    /* where mappings appear */
    unsigned timeout_ms;
    bool enabled;
    bool trust_peers;

    QLIST_HEAD(, IdtNtbAlias) mappings;
    IdtNtbTakenRam peer[IDT_MAX_NT_PORTS];
    uint32_t acknowledged;      /* our close_ack */
    bool started;
    bool stopping;
    int ones;                   /* a file of ones, or -1 */
} IdtNtbMapping;

void idt_ntb_mapping_start(IdtNtbMapping *d);
void idt_ntb_mapping_stop(IdtNtbMapping *d);

/*
 * Finds or makes the mapping at @offset of BAR @bar, which is in @t.
 *
 * Returns: where the byte at @offset is, and in @len how many follow; or NULL,
 * and in @len how many bytes (at least 1) are to go by request.
 */
void *idt_ntb_mapping_map(IdtNtbMapping *d, unsigned bar, uint64_t offset,
                         const IdtNtbTranslation *t, uint64_t *len);

/* Gives up all mappings. */
void idt_ntb_mapping_drop_all(IdtNtbMapping *d);

/* Gives up the mappings that are not allowed any more. */
void idt_ntb_mapping_sync(IdtNtbMapping *d);

/* The same if somebody asked for it, and acknowledges it. */
void idt_ntb_mapping_look(IdtNtbMapping *d);

/* True while there is a mapping of memory behind @peer. */
bool idt_ntb_mapping_holds(const IdtNtbMapping *d, unsigned peer);

/*
 * Asks the ports in @holders, a bit per peer, to look at their mappings,
 * and waits up to the completion timeout until they have closed what is closed.
 * What they send after that they send by the registers as they are now.
 */
void idt_ntb_mapping_close(IdtNtbMapping *d, uint32_t holders);

/* Asks all that have memory of ours mapped, which has changed. */
void idt_ntb_mapping_ask(IdtNtbMapping *d);

/*
 * The same while our VM stops and shows no memory; waits, up to the completion
 * timeout, until no other process has any of it mapped.
 */
void idt_ntb_mapping_expel(IdtNtbMapping *d);

/* The number of mappings, and a text that lists them, to be freed. */
unsigned idt_ntb_mapping_count(const IdtNtbMapping *d);
char *idt_ntb_mapping_list(const IdtNtbMapping *d);

#endif
