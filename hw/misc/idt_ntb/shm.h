/*
 * IDT 89HPESxNTx PCIe switch: layout of the shared memory
 *
 * The registers and the state of a switch live in memory that all its ports
 * share; the QEMU processes change it with atomic operations, and no process
 * owns the switch.  The layout is an ABI between QEMU processes, described in
 * docs/specs/idt-ntb-shm.rst: change IDT_NTB_SHM_VERSION with it.
 *
 * Words are in the byte order of the host.  Another process may have written
 * anything: read a word once, and check it before use.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_SHM_H
#define HW_MISC_IDT_NTB_SHM_H

#include "hw/misc/idt_ntb_regs.h"

#define IDT_NTB_SHM_MAGIC   0x0042544e2d544449ULL   /* "IDT-NTB" in ASCII */
#define IDT_NTB_SHM_VERSION 7
#define IDT_NTB_SHM_BLOCK   4096
#define IDT_NTB_SHM_MAILBOX (7 * IDT_NTB_SHM_BLOCK)
#define IDT_NTB_DIGEST_SIZE 32

typedef struct IdtNtbShmHeader {
    uint64_t magic;             /* written last by the creator */
    uint32_t version;
    uint32_t size;              /* of IdtNtbShm, in bytes */
    uint32_t device_id;         /* PCI device ID of the chip */
    /* The reset image that configured the switch: see config.h */
    uint32_t from_file;         /* 1: an EEPROM image; 0: made from ... */
    uint32_t partitions;        /* ... the property partitions= and ... */
    uint32_t barsetup[IDT_NUM_BARS];    /* ... the properties of the BARs */
    uint32_t nt_slots;          /* a bit per slot with an NT function in it */
    uint32_t image_size;        /* bytes */
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
    /* Temperatures are in half degrees Celsius: see temp.h */
    uint32_t tmp_sample;        /* at the sensor */
    uint32_t tmp_lowest;
    uint32_t tmp_highest;
    uint32_t tmpalarm;          /* IRQ field of TMPALARM */
    uint32_t tmp_level;         /* alarms whose condition is true */
    /* Topology: see topology.h.  Ports are in the order of their numbers. */
    uint32_t swpartctl[IDT_MAX_PARTITIONS];
    uint32_t swpartsts[IDT_MAX_PARTITIONS];     /* SCI and SCC */
    uint32_t swpart_pending;    /* a bit per partition that changes */
    uint32_t swportctl[IDT_MAX_PORTS];
    uint32_t swportsts[IDT_MAX_PORTS];  /* and FIELD(SHM_SWPORTSTS, ...) */
    uint32_t gasaprot;
    uint32_t ntmtblprot[IDT_MAX_PARTITIONS];
    /* Appended later, by address */
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
    uint32_t reset_mtbl[IDT_NUM_MTBL];  /* what a reset returns @mtbl to */
    uint32_t smbussts;
    uint32_t fcapsts[IDT_NUM_FAILOVER_CAPS];
    uint32_t failover_pending;  /* a bit per capability that fails over */
    uint32_t bridge_sclk[IDT_MAX_PORTS];    /* PCIELSTS.SCLK of the bridges */
} IdtNtbShmSwitch;

/* A write of SWPORTxCTL is not applied yet */
FIELD(SHM_SWPORTSTS, PENDING, 31, 1)

FIELD(SHM_EEPROMINTF, SLOT, 27, 3)      /* the port that makes it busy */

typedef enum IdtNtbPortState {
    IDT_NTB_PORT_FREE,          /* no owner */
    IDT_NTB_PORT_DOWN,          /* owned, link not trained */
    IDT_NTB_PORT_UP,            /* owned, link trained */
    IDT_NTB_PORT_GOING_DOWN,    /* link down, LINKDN is not signalled yet */
} IdtNtbPortState;

/* Counters of a port, which its owner starts at 0 */
typedef enum IdtNtbCounter {
    IDT_NTB_COUNT_DOORBELLS_SENT,
    IDT_NTB_COUNT_DOORBELLS_MASKED, /* by GODBELLMSK or GIDBELLMSK */
    IDT_NTB_COUNT_MESSAGES_SENT,
    IDT_NTB_COUNT_MESSAGES_REFUSED, /* OUTMSGSTS is set */
    IDT_NTB_COUNT_REQUESTS_SENT,
    IDT_NTB_COUNT_REQUESTS_SERVED,
    IDT_NTB_COUNT_REQUEST_BYTES,    /* of the requests that it sent */
    IDT_NTB_COUNT_INTERRUPTS,
    /* By faults on demand: see faults.h */
    IDT_NTB_COUNT_DOORBELLS_LOST,
    IDT_NTB_COUNT_MESSAGES_LOST,
    IDT_NTB_COUNT_COMPLETIONS_LOST,
    IDT_NTB_COUNT_SIGNALS_LATE,     /* doorbells and messages */
    IDT_NTB_NUM_COUNTERS
} IdtNtbCounter;

typedef struct IdtNtbShmPort {
    uint32_t generation;        /* counts the claims */
    uint32_t state;             /* IdtNtbPortState */
    uint32_t client;            /* client id of the owner at the server */
    /*
     * Bits of NTINTSTS that were low or masked after a write to an interrupt
     * register, so that they can rise again; the owner takes them.
     */
    uint32_t irq_low;
    uint32_t ntctl;
    uint32_t ntintsts;          /* without MSG and DBELL, which are derived */
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
    /* Windows: see gate.h, mapping.h and request.h */
    uint32_t holds;             /* slots whose memory the port has mapped */
    uint32_t close_req;         /* counts requests to check those mappings */
    uint32_t close_ack;         /* @close_req when the port checked them */
    uint32_t send_epoch;        /* counts the ends of its admission */
    uint32_t receive_epoch;     /* counts the ends of access to its memory */
    uint32_t waiting;           /* 1: the owner sleeps until an answer comes */
    /* Changes of the partition's state: requested, and applied */
    uint32_t topology_req;
    uint32_t topology_ack;
    /* Stored only */
    uint32_t ntierrormsk[2];
    uint32_t ptcctl[2];
    uint32_t ptcdata;
    uint32_t ntmcgpa[IDT_NUM_MCAST_GROUPS];
    /* Errors to emulate; the owner takes them */
    uint32_t ntueem;
    uint32_t ntceem;
    uint64_t counter[IDT_NTB_NUM_COUNTERS];     /* written by the owner only */
    uint32_t looks;             /* counts looks at what others did */
} IdtNtbShmPort;

/* RAM of a port's guest that other ports may map. */
typedef struct IdtNtbShmRam {
    uint64_t addr;              /* bus address */
    uint64_t size;              /* bytes */
    uint64_t offset;            /* in the file, bytes */
    uint32_t fd;                /* descriptor number in the owner's process */
    uint32_t id;                /* changes when @fd becomes another file */
} IdtNtbShmRam;

#define IDT_NTB_MAX_RAM         120

typedef struct IdtNtbShmMemory {
    uint32_t seq;               /* odd while the table changes */
    uint32_t pid;               /* process ID of the owner */
    uint32_t lock_fd;           /* the owner's descriptor with the lock */
    uint32_t count;             /* valid entries of @ram */
    IdtNtbShmRam ram[IDT_NTB_MAX_RAM];
} IdtNtbShmMemory;

/* An access of one port to the memory of another. */
typedef struct IdtNtbShmRequest {
    uint64_t addr;              /* bus address at the receiver */
    uint64_t data;              /* bytes in the order of the bus */
    uint32_t op;                /* FIELD(SHM_REQUEST, ...) */
    uint32_t epoch;             /* idt_ntb_gate_epoch() when sent */
} IdtNtbShmRequest;

FIELD(SHM_REQUEST, SIZE, 0, 8)  /* 1 to 8 bytes */
FIELD(SHM_REQUEST, READ, 8, 1)

#define IDT_NTB_MAX_REQUESTS    1024    /* a power of two */

/* Requests from one port to another. */
typedef struct IdtNtbShmMailbox {
    /* Written by the sender */
    uint32_t head;              /* counts requests sent */
    uint32_t reserved[15];
    /* Written by the receiver */
    uint32_t tail;              /* counts requests done */
    uint32_t awake;             /* 1: looks at @head without a signal */
    uint32_t reply;             /* number of the read that is answered */
    uint32_t reply_ok;          /* 0: nothing answers at that address */
    uint64_t reply_data;
    uint32_t reserved2[10];
    IdtNtbShmRequest request[IDT_NTB_MAX_REQUESTS];
} IdtNtbShmMailbox;

/* An inbound message register: a send is one compare-and-swap of one word. */
FIELD(SHM_INMSG, DATA, 0, 32)
FIELD(SHM_INMSG, SRC, 32, 3)            /* partition of the sender */
FIELD(SHM_INMSG, FULL, 63, 1)

/* Arrays of IDT_MAX_NT_PORTS are indexed by slot. */
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
    } slot[IDT_MAX_NT_PORTS];
    union {
        IdtNtbShmPort p;        /* what a reset of the port returns to */
        uint8_t block[IDT_NTB_SHM_BLOCK];
    } reset_image[IDT_MAX_NT_PORTS];
    union {
        IdtNtbShmMemory m;
        uint8_t block[IDT_NTB_SHM_BLOCK];
    } memory[IDT_MAX_NT_PORTS];
    union {
        IdtNtbShmMailbox m;
        uint8_t block[IDT_NTB_SHM_MAILBOX];
    } mailbox[IDT_MAX_NT_PORTS][IDT_MAX_NT_PORTS];  /* [from][to] */
    uint8_t eeprom[IDT_EEPROM_SIZE];                /* see flash.h */
} IdtNtbShm;

QEMU_BUILD_BUG_ON(sizeof(IdtNtbShmHeader) > IDT_NTB_SHM_BLOCK);
QEMU_BUILD_BUG_ON(sizeof(IdtNtbShmSwitch) > IDT_NTB_SHM_BLOCK);
QEMU_BUILD_BUG_ON(sizeof(IdtNtbShmPort) > IDT_NTB_SHM_BLOCK);
QEMU_BUILD_BUG_ON(sizeof(IdtNtbShmMemory) > IDT_NTB_SHM_BLOCK);
QEMU_BUILD_BUG_ON(sizeof(IdtNtbShmMailbox) > IDT_NTB_SHM_MAILBOX);
QEMU_BUILD_BUG_ON(offsetof(IdtNtbShm, slot) != 2 * IDT_NTB_SHM_BLOCK);

/*
 * Locks and claims
 *
 * The owner of a port holds the write lock (F_OFD_SETLK) of the first byte of
 * the port's block.  The kernel drops the lock when the owner ends.
 */
static inline uint64_t idt_ntb_shm_lock_offset(unsigned slot)
{
    return offsetof(IdtNtbShm, slot) + slot * IDT_NTB_SHM_BLOCK;
}

/*
 * While the guest of a port migrates, its process holds the next byte instead:
 * the port is free, but the switch is in use.
 */
static inline uint64_t idt_ntb_shm_away_offset(unsigned slot)
{
    return idt_ntb_shm_lock_offset(slot) + 1;
}

/*
 * The owner of a port also maps a page of the file without access (PROT_NONE):
 * its claim, far behind the end of the file.  Other processes find the page in
 * /proc/PID/maps and know the owner by it.  A lock is weaker evidence: any
 * process with the same descriptor can take one, but no process can change what
 * another one has mapped.
 */
static inline uint64_t idt_ntb_shm_claim_offset(unsigned slot)
{
    return (uint64_t)(slot + 1) << 30;
}

#endif
