/*
 * IDT 89HPESxNTx PCIe switch: the switch in shared memory
 *
 * Every port works on the same memory with atomic operations; no process owns
 * the switch.  The layout is an ABI between QEMU processes, described in
 * docs/specs/idt-ntb.rst; change IDT_NTB_SHM_VERSION with it.  Words are in the
 * byte order of the host.  What is read from there is input: another process
 * may have written anything.
 *
 * All functions are called with the BQL held, from the main loop or a vCPU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_SWITCH_H
#define HW_MISC_IDT_NTB_SWITCH_H

#include "chips.h"
#include "shm.h"

/* The bits of NTINTSTS that latch; MSG and DBELL are derived. */
#define IDT_NTINT_LATCHED (R_NTINTSTS_SEVENT_MASK | R_NTINTSTS_FMCI_MASK | \
                           R_NTINTSTS_FMCC_MASK | R_NTINTSTS_TMPSENSOR_MASK)

/*
 * A compare-and-swap fails when another process wrote in between.  Bound the
 * retries so that no writer can stall us.
 */
#define IDT_NTB_MAX_CAS_TRIES 64

/* Switch events; the position of their bit in SESTS. */
typedef enum IdtNtbEvent {
    IDT_NTB_EVENT_LINKUP = R_SESTS_LINKUP_SHIFT,
    IDT_NTB_EVENT_LINKDN = R_SESTS_LINKDN_SHIFT,
    IDT_NTB_EVENT_FRST = R_SESTS_FRST_SHIFT,
    IDT_NTB_EVENT_HRST = R_SESTS_HRST_SHIFT,
    IDT_NTB_EVENT_FAILOVER = R_SESTS_FAILOVER_SHIFT,
    IDT_NTB_EVENT_GSIGNAL = R_SESTS_GSIGNAL_SHIFT,
} IdtNtbEvent;

typedef struct IdtNtbServer IdtNtbServer;

typedef struct IdtNtbConfig IdtNtbConfig;

/* One port's attachment to the switch. */
typedef struct IdtNtbSwitch {
    IdtNtbShm *shm;             /* valid at all times after attach */
    size_t shm_size;            /* mapped */
    int fd;                     /* holds the lock of the port */
    void *claim;                /* see idt_ntb_shm_claim_offset() */
    size_t claim_size;
    dev_t dev;                  /* the file that the memory is */
    ino_t ino;
    bool is_up;                 /* our link, whatever our port block says */
    bool is_master;             /* our function, likewise */
    const IdtNtbChip *chip;
    unsigned num_ports;         /* that can carry an NT function */
    unsigned port;
    unsigned slot;              /* place of @port in the chip's list */
    IdtNtbServer *peers;         /* who is signalled through it */
    const IdtNtbConfig *boot;     /* what a new switch is configured by */
    uint32_t cfg[IDT_NT_REGS / 4];  /* in reset; the port is patched in */
    uint32_t barsetup[IDT_NUM_BARS];    /* layout that our BARs have */
} IdtNtbSwitch;

/*
 * The place of @port in the chip's list, which is what other ports are told
 * apart by; -1 when it can't carry an NT function.
 */
int idt_ntb_switch_index(const IdtNtbSwitch *sw, unsigned port);

/* All places, a bit each. */
static inline uint32_t idt_ntb_switch_all(const IdtNtbSwitch *sw)
{
    return MAKE_64BIT_MASK(0, sw->num_ports);
}

/* The port at place @index, which must be below @sw->num_ports. */
unsigned idt_ntb_switch_port(const IdtNtbSwitch *sw, unsigned index);

/* True when both are ports of the same switch. */
bool idt_ntb_switch_is_same(const IdtNtbSwitch *a, const IdtNtbSwitch *b);

/* The block of @port. */
IdtNtbShmPort *idt_ntb_switch_block(const IdtNtbSwitch *sw, unsigned port);

/*
 * What the NT function of @port is reset to, which is one that can carry one:
 * its registers as the EEPROM image left them.
 */
IdtNtbShmPort *idt_ntb_switch_boot(const IdtNtbSwitch *sw, unsigned port);

/* The layout of BARs that the registers in @block ask for. */
void idt_ntb_switch_layout(const IdtNtbShmPort *block,
                           uint32_t layout[IDT_NUM_BARS]);

/* True when @port, another one, is claimed by client @id. */
bool idt_ntb_switch_is_client(const IdtNtbSwitch *sw, unsigned port,
                              unsigned id);

/* The lookup table of BAR @bar, which is 2 or 4. */
static inline unsigned idt_ntb_lut(unsigned bar)
{
    return bar / 4;
}

/*
 * True while the link of @port is up: it is attached, carries an NT function,
 * its partition is active, and none of that is about to change.
 */
bool idt_ntb_switch_link(const IdtNtbSwitch *sw, unsigned port);

/* True while our link is trained, be it on the way down. */
bool idt_ntb_switch_is_up(const IdtNtbSwitch *sw);

/* The topology: idt_ntb_topology.c, which has more for who changes it */

/* The partition that @port is in, below IDT_MAX_PARTITIONS. */
unsigned idt_ntb_switch_partition(const IdtNtbSwitch *sw, unsigned port);

/* The ports in @partition, a bit each by their place; one, as a rule. */
uint32_t idt_ntb_switch_ports_in(const IdtNtbSwitch *sw, unsigned partition);

/* True while @port carries an NT function. */
bool idt_ntb_switch_has_nt(const IdtNtbSwitch *sw, unsigned port);

/*
 * The place of the port whose NT function is in @partition; -1 if there is
 * none.  Of several it is the lowest one that no change is pending for: a port
 * that is about to leave gives way to one that takes over.
 */
int idt_ntb_switch_find_nt(const IdtNtbSwitch *sw, unsigned partition);

/* Attach and detach: idt_ntb_attach.c */

#define IDT_NTB_PORT_AUTO   -1

/*
 * Attaches to the switch in the memory @shm_fd (which stays the caller's), and
 * creates it when no port is attached.  @port: IDT_NTB_PORT_AUTO takes the
 * lowest free one; the link stays down.  @sw->chip, @num_ports, @peers, @boot
 * and @cfg are set by the caller.  Waits up to @timeout_ms for another process
 * that attaches.
 *
 * Returns: true, or false with @errp set and @sw unchanged.
 */
bool idt_ntb_switch_attach(IdtNtbSwitch *sw, int shm_fd, int port,
                           unsigned client, unsigned timeout_ms, Error **errp);

/*
 * Goes on at a new server, whose memory is @shm_fd.  The same memory again: the
 * attachment goes on.  Another one: attaches there with the same port number,
 * and detaches from the old one; the function keeps its registers, its link is
 * down.
 *
 * Returns: true, or false with @errp set and @sw unchanged.
 */
bool idt_ntb_switch_reattach(IdtNtbSwitch *sw, int shm_fd, unsigned client,
                             unsigned timeout_ms, Error **errp);

/* True when @shm_fd is the memory that the port is attached to. */
bool idt_ntb_switch_is_attached_to(const IdtNtbSwitch *sw, int shm_fd);

/*
 * Leaves the switch: the link goes down for the others, the port is free and in
 * its reset state.
 */
void idt_ntb_switch_detach(IdtNtbSwitch *sw);

/*
 * Frees the ports of other processes that died; to be repeated, since the lock
 * of a dead process can outlive it by a moment.
 *
 * Returns: true if there was one.
 */
bool idt_ntb_switch_reap(IdtNtbSwitch *sw);

/* The switch at work: idt_ntb_switch.c */

/*
 * Takes the link of @port down, which is our own or that of a dead process,
 * tells the others, and resets its NT function.  A process that is killed in
 * here leaves a state from which another finishes.
 */
void idt_ntb_switch_put_down(IdtNtbSwitch *sw, unsigned port);

/*
 * Ends all that goes through the windows of @port and those onto its memory
 * while its link stays up.
 */
void idt_ntb_switch_end_access(IdtNtbSwitch *sw, unsigned port);

/*
 * Brings our link up, if it may be, and tells everybody; that it is up they are
 * shown again in any case.  The caller evaluates our interrupt.
 */
void idt_ntb_switch_link_up(IdtNtbSwitch *sw);

/* The dword at @offset of the configuration space of @port without an image. */
uint32_t idt_ntb_switch_default_cfg(const IdtNtbSwitch *sw, unsigned port,
                                    unsigned offset);

/* The dword at @offset of the configuration space of @port in reset. */
uint32_t idt_ntb_switch_reset_cfg(const IdtNtbSwitch *sw, unsigned port,
                                  unsigned offset);

/*
 * Changes that dword, as far as an EEPROM image can; of a switch that nobody is
 * attached to.
 */
void idt_ntb_switch_boot_cfg(IdtNtbSwitch *sw, unsigned port, unsigned offset,
                             uint32_t value);

/* Shows the others the configuration space of @port as it is in reset. */
void idt_ntb_switch_publish_reset(IdtNtbSwitch *sw, unsigned port);

/*
 * Shows the others @config, the first IDT_NT_REGS bytes of our function.
 *
 * Returns: true if our function is no bus master any more.
 */
bool idt_ntb_switch_publish(IdtNtbSwitch *sw, const uint8_t *config);

/* Makes the owner of @port look at its registers; no-op for our own. */
void idt_ntb_switch_signal(IdtNtbSwitch *sw, unsigned port);

/*
 * The operations below act for @port, which is the own one or, through the
 * global address space, any other.  They signal all owners but our own device:
 * the caller evaluates its interrupt itself.
 */

/* Raises doorbells @bits through GODBELLMSK and GIDBELLMSK. */
void idt_ntb_switch_doorbell(IdtNtbSwitch *sw, unsigned port, uint32_t bits);

/*
 * Sends @data through outbound message register @n.  OUTMSGSTS is final on
 * return.
 */
void idt_ntb_switch_message(IdtNtbSwitch *sw, unsigned port, unsigned n,
                            uint32_t data);

/*
 * Sets bit @n of the event's sub-status and latches SEVENT in all ports with a
 * link whose partition the masks admit.  The sub-status of a failover is
 * FCAPxSTS of capability @n, which the caller has set.
 */
void idt_ntb_switch_event(IdtNtbSwitch *sw, IdtNtbEvent event, unsigned n);

/* In the following a port is named by its place in the chip's list. */

/*
 * True while @from is entitled to send requests through its windows: by
 * NTCTL.IDPROTDIS or by the mapping table.
 */
bool idt_ntb_switch_admitted(const IdtNtbSwitch *sw, unsigned from);

/*
 * True while requests of @from reach @to: @from is admitted, both links are up,
 * and the function of @to is a bus master.
 */
bool idt_ntb_switch_open(const IdtNtbSwitch *sw, unsigned from, unsigned to);

/*
 * Changes with every end of idt_ntb_switch_open(): a request that was sent
 * before such an end is not executed after it.
 */
uint32_t idt_ntb_switch_epoch(const IdtNtbSwitch *sw, unsigned from,
                              unsigned to);

/*
 * True while completions come back to @from: NTCTL.CPEN of its function is set.
 * Else its reads end without an answer.  Writes need none.
 */
bool idt_ntb_switch_has_completions(const IdtNtbSwitch *sw, unsigned from);

/* To be called when @from may have lost its admission. */
void idt_ntb_switch_admission_changed(IdtNtbSwitch *sw, unsigned from);

/* The ports that hold direct mappings of memory behind those of @targets. */
uint32_t idt_ntb_switch_holders(const IdtNtbSwitch *sw, uint32_t targets);

/*
 * Asks the owner of @port to look at its direct mappings, see
 * idt_ntb_direct.h.
 *
 * Returns: what its close_ack reaches when it has.
 */
uint32_t idt_ntb_switch_ask_close(IdtNtbSwitch *sw, unsigned port);

/* MSGSTS as it reads. */
uint32_t idt_ntb_switch_msgsts(IdtNtbSwitch *sw, unsigned port);

/* SESTS as it reads. */
uint32_t idt_ntb_switch_sests(IdtNtbSwitch *sw);

/* The words that an NT function's interrupt is derived from. */
typedef struct IdtNtbIntState {
    uint32_t ntintsts;          /* latched bits only */
    uint32_t ntintmsk;
    uint32_t indbellsts;
    uint32_t indbellmsk;
    uint32_t msgsts;
    uint32_t msgstsmsk;
} IdtNtbIntState;

void idt_ntb_switch_int_state(IdtNtbSwitch *sw, unsigned port,
                              IdtNtbIntState *state);

/* NTINTSTS as it reads, from @state. */
uint32_t idt_ntb_int_status(const IdtNtbIntState *state);

/*
 * Records which of @bits of NTINTSTS were low or masked, not set in @status,
 * when a write to an interrupt register of @port took effect: they may rise
 * anew.  If the port is not ours, records all of @bits.  Two processes that
 * write at the same time see each other's words as they were before, and
 * neither knows that the level fell; see docs/spin/idt-ntb-interrupt.promela.
 */
void idt_ntb_switch_settle(IdtNtbSwitch *sw, unsigned port, uint32_t bits,
                           uint32_t status);

/* Takes what was recorded for our own port. */
uint32_t idt_ntb_switch_take_low(IdtNtbSwitch *sw);

#endif
