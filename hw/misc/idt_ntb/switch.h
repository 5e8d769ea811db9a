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

#include "hw/misc/idt_ntb_regs.h"

/* What tells the chips of the family apart. */
typedef struct IdtNtbChip {
    const char *name;
    uint16_t device_id;
    uint32_t all_ports;                 /* a bit per port that it has */
    uint8_t num_ports;                  /* of those in @ports */
    uint8_t ports[IDT_MAX_NT_PORTS];    /* can carry an NT function */
} IdtNtbChip;

/* The chip of that name; NULL with the names there are in @errp. */
const IdtNtbChip *idt_ntb_chip_find(const char *name, Error **errp);

#define IDT_NTB_SHM_MAGIC   0x0042544e2d544449ULL   /* "IDT-NTB" in ASCII */
#define IDT_NTB_SHM_VERSION 4
#define IDT_NTB_SHM_BLOCK   4096
#define IDT_NTB_SHM_MAILBOX (7 * IDT_NTB_SHM_BLOCK)
#define IDT_NTB_DIGEST_SIZE 32
#define IDT_NTB_EEPROM_SIZE 0x10000     /* places in it have 16 bits */

typedef struct IdtNtbShmHeader {
    uint64_t magic;             /* written last by the creator */
    uint32_t version;
    uint32_t size;              /* of IdtNtbShm, in bytes */
    uint32_t device_id;         /* PCI device ID of the chip */
    /* What the switch was configured by: see idt_ntb_boot.h */
    uint32_t from_file;         /* an EEPROM image of the user's */
    uint32_t partitions;        /* else these */
    uint32_t barsetup[IDT_NUM_BARS];
    uint32_t nt_ports;          /* places of those that it made NT ports */
    uint32_t image_size;        /* of the image, in bytes */
    uint8_t image_digest[IDT_NTB_DIGEST_SIZE];  /* SHA-256 */
} IdtNtbShmHeader;

typedef struct IdtNtbShmSwitch {
    uint32_t reserved;          /* offset 0 is no register */
    uint32_t semsk;
    uint32_t sepmsk;
    uint32_t selinkupsts;
    uint32_t selinkupmsk;
    uint32_t selinkdnsts;
    uint32_t selinkdnmsk;
    uint32_t sefrststs;
    uint32_t sefrstmsk;
    uint32_t sehrststs;
    uint32_t sehrstmsk;
    uint32_t sefovrmsk;
    uint32_t segsigsts;
    uint32_t segsigmsk;
    uint32_t godbellmsk[IDT_NUM_DOORBELLS];
    uint32_t gidbellmsk[IDT_NUM_DOORBELLS];
    uint32_t msgctl[IDT_NUM_MESSAGES][IDT_MAX_PARTITIONS];
    uint32_t mtbl[IDT_NUM_MTBL];
    uint32_t tmpctl;
    uint32_t tmpadj;
    uint32_t tmp_sample;        /* what the sensor measures, half degrees */
    uint32_t tmp_lowest;
    uint32_t tmp_highest;
    uint32_t tmpalarm;          /* TMPALARM.IRQ, in its place */
    uint32_t tmp_level;         /* thresholds that are passed and enabled */
    /* Topology: see idt_ntb_topology.h */
    uint32_t swpartctl[IDT_MAX_PARTITIONS];
    uint32_t swpartsts[IDT_MAX_PARTITIONS];     /* SCI and SCC */
    uint32_t swpart_pending;    /* a bit per partition that changes */
    uint32_t swportctl[IDT_MAX_PORTS];
    uint32_t swportsts[IDT_MAX_PORTS];  /* OMCI, OMCC, MODE, SWPART, DEVNUM */
    uint32_t gasaprot;
    uint32_t ntmtblprot[IDT_MAX_PARTITIONS];
    /* Stored only, in the order of the address map */
    uint32_t swctl;
    uint32_t pclkmode;
    uint32_t stkcfg[IDT_NUM_STACKS];
    uint32_t rdraindelay;
    uint32_t pomcdelay;
    uint32_t sedelay;
    uint32_t ussbrdelay;
    uint32_t swpartfctl[IDT_MAX_PARTITIONS];
    uint32_t swportfctl[IDT_MAX_PORTS];
    uint32_t fcapctl[IDT_NUM_FAILOVER_CAPS];
    uint32_t fcaptimer[IDT_NUM_FAILOVER_CAPS];
    uint32_t sctl[IDT_NUM_SERDES];
    uint32_t stxlctl0[IDT_NUM_SERDES];
    uint32_t stxlctl1[IDT_NUM_SERDES];
    uint32_t srxeqlctl[IDT_NUM_SERDES];
    uint32_t gpio[IDT_NUM_GPIO_REGS];
    uint32_t smbusctl;
    uint32_t eepromintf;        /* and FIELD(SHM_EEPROMINTF, ...) */
    uint32_t ioexpaddr[IDT_NUM_IO_EXPANDERS];
    uint32_t gpectl;
    uint32_t tsslope;
    uint32_t smbuscbhl;
    uint32_t boot_mtbl[IDT_NUM_MTBL];   /* @mtbl as the image left it */
    uint32_t smbussts;
    uint32_t fcapsts[IDT_NUM_FAILOVER_CAPS];
    uint32_t failover_pending;  /* a bit per failover that is under way */
} IdtNtbShmSwitch;

FIELD(SHM_EEPROMINTF, SLOT, 27, 3)      /* whose operation makes it busy */

/*
 * A port is claimed by who holds the write lock (F_OFD_SETLK) of the first byte
 * of its block; the kernel drops the lock with its owner.
 */
typedef enum IdtNtbPortState {
    IDT_NTB_PORT_FREE,
    IDT_NTB_PORT_DOWN,          /* claimed, no link */
    IDT_NTB_PORT_UP,            /* link up */
    IDT_NTB_PORT_GOING_DOWN,    /* no link, the others are not told yet */
} IdtNtbPortState;

typedef struct IdtNtbShmPort {
    uint32_t generation;        /* counts the claims */
    uint32_t state;             /* IdtNtbPortState */
    uint32_t client;            /* client id of the owner at the server */
    /*
     * Bits of NTINTSTS that were low or masked when a write to this port's
     * interrupt registers took effect; taken by the owner.
     */
    uint32_t irq_low;
    uint32_t ntctl;
    uint32_t ntintsts;          /* the bits that latch: not MSG and DBELL */
    uint32_t ntintmsk;
    uint32_t ntsdata;
    uint32_t indbellsts;
    uint32_t indbellmsk;
    uint32_t outmsg[IDT_NUM_MESSAGES];
    uint32_t outmsgsts;         /* MSGSTS.OUTMSGSTS */
    uint32_t msgstsmsk;
    uint32_t ntmtbladdr;
    uint32_t ntmtblsts;
    uint64_t inmsg[IDT_NUM_MESSAGES];   /* FIELD(SHM_INMSG, ...) */
    uint32_t cfg[IDT_NT_REGS / 4];      /* header and capabilities, published */
    uint32_t barsetup[IDT_NUM_BARS];
    uint32_t barlimit[IDT_NUM_BARS];
    uint32_t barltbase[IDT_NUM_BARS];
    uint32_t barutbase[IDT_NUM_BARS];
    uint32_t lutoffset;
    uint32_t lut[IDT_NUM_LUTS][IDT_LUT_ENTRIES][IDT_LUT_WORDS];
    /* Windows: see idt_ntb_direct.h and idt_ntb_request.h */
    uint32_t holds;             /* peers onto which it has mappings */
    uint32_t close_req;         /* counts who asks it to look at those */
    uint32_t close_ack;         /* @close_req when it did so last */
    uint32_t send_epoch;        /* counts the ends of its admission */
    uint32_t receive_epoch;     /* counts the ends of access to its memory */
    uint32_t waiting;           /* sleeps: wants a signal for an answer */
    /* Changes of the partition's state, and those that have taken place */
    uint32_t topology_req;
    uint32_t topology_ack;
    /* Stored only */
    uint32_t ntierrormsk[2];
    uint32_t ptcctl[2];
    uint32_t ptcdata;
    uint32_t ntmcgpa[IDT_NUM_MCAST_GROUPS];
    uint32_t bridge_sclk;       /* PCIELSTS.SCLK of the bridge function */
    uint32_t ntueem;            /* errors to emulate; taken by the owner */
    uint32_t ntceem;
} IdtNtbShmPort;

/* Which memory of a port's guest may be mapped, by bus address. */
typedef struct IdtNtbShmRam {
    uint64_t addr;
    uint64_t size;
    uint64_t offset;            /* in the file */
    uint32_t fd;                /* number in the process */
    uint32_t id;                /* another one: other RAM, with the same @fd */
} IdtNtbShmRam;

#define IDT_NTB_MAX_RAM         120

typedef struct IdtNtbShmMemory {
    uint32_t seq;               /* odd while it changes */
    uint32_t pid;               /* of the owner of the port */
    uint32_t lock_fd;           /* its descriptor that holds the port's lock */
    uint32_t count;
    IdtNtbShmRam ram[IDT_NTB_MAX_RAM];
} IdtNtbShmMemory;

/* An access of one port to the memory of another. */
typedef struct IdtNtbShmRequest {
    uint64_t addr;
    uint64_t data;              /* bytes in the order of the bus */
    uint32_t op;                /* FIELD(SHM_REQUEST, ...) */
    uint32_t epoch;             /* idt_ntb_switch_epoch() when admitted */
} IdtNtbShmRequest;

FIELD(SHM_REQUEST, SIZE, 0, 8)  /* 1 to 8 bytes */
FIELD(SHM_REQUEST, READ, 8, 1)

#define IDT_NTB_MAX_REQUESTS    1024    /* a power of two */

/* Requests from one port to another. */
typedef struct IdtNtbShmMailbox {
    /* Written by the sender */
    uint32_t head;
    uint32_t reserved[15];
    /* Written by the receiver */
    uint32_t tail;
    uint32_t awake;             /* it will look without a signal */
    uint32_t reply;             /* the read that is answered: its number */
    uint32_t reply_ok;
    uint64_t reply_data;
    uint32_t reserved2[10];
    IdtNtbShmRequest request[IDT_NTB_MAX_REQUESTS];
} IdtNtbShmMailbox;

/* An inbound message register: one word, so that a send is one exchange. */
FIELD(SHM_INMSG, DATA, 0, 32)
FIELD(SHM_INMSG, SRC, 32, 3)
FIELD(SHM_INMSG, FULL, 63, 1)

typedef struct IdtNtbShm {
    union {
        IdtNtbShmHeader header;
        uint8_t header_block[IDT_NTB_SHM_BLOCK];
    };
    union {
        IdtNtbShmSwitch sw;
        uint8_t switch_block[IDT_NTB_SHM_BLOCK];
    };
    union {
        IdtNtbShmPort p;
        uint8_t block[IDT_NTB_SHM_BLOCK];
    } port[IDT_MAX_PORTS];
    /* By the place of the port in the chip's list */
    union {
        IdtNtbShmPort p;        /* NT function as the EEPROM image left it */
        uint8_t block[IDT_NTB_SHM_BLOCK];
    } boot[IDT_MAX_NT_PORTS];
    union {
        IdtNtbShmMemory m;
        uint8_t block[IDT_NTB_SHM_BLOCK];
    } memory[IDT_MAX_NT_PORTS];
    union {
        IdtNtbShmMailbox m;
        uint8_t block[IDT_NTB_SHM_MAILBOX];
    } mailbox[IDT_MAX_NT_PORTS][IDT_MAX_NT_PORTS];  /* [from][to] */
    uint8_t eeprom[IDT_NTB_EEPROM_SIZE];            /* see idt_ntb_flash.h */
} IdtNtbShm;

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
    void *claim;                /* see idt_ntb_switch_claim_offset() */
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

/* Where the lock of @port is in the file of the memory: one byte. */
uint64_t idt_ntb_switch_lock_offset(unsigned port);

/*
 * Where the claim of @port is in the file of the memory: far behind its end, at
 * the start of any page.  The owner of a port maps a page there, without access
 * (PROT_NONE).  Other processes see that in its /proc/PID/maps, and know that
 * it is the owner: no other process can change what it has mapped, but locks
 * can be taken through any descriptor that processes share.
 */
static inline uint64_t idt_ntb_switch_claim_offset(unsigned port)
{
    return (uint64_t)(port + 1) << 30;
}

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
