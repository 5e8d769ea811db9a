/*
 * IDT 89HPESxNTx PCIe switch: one port's view of the switch
 *
 * Lookups in the shared memory (shm.h), and the signal to another port.
 *
 * A port of the chip's NT list is named by its slot, 0 to @num_slots - 1.  A
 * port number is what hardware and users see.  Ports outside the NT list have a
 * port number, with registers such as SWPORTxCTL, but no slot.
 *
 * Call all functions with the BQL held, from the main loop or a vCPU.
 * Unless a comment says otherwise, call them while attached.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_SWITCH_H
#define HW_MISC_IDT_NTB_SWITCH_H

#include "chips.h"
#include "shm.h"

typedef struct IdtNtbServer IdtNtbServer;
typedef struct IdtNtbConfig IdtNtbConfig;
typedef struct IdtNtbFaults IdtNtbFaults;

/* One port's attachment to the switch: see port.h */
typedef struct IdtNtbSwitch {
    /* Set by the device before idt_ntb_port_attach() */
    const IdtNtbChip *chip;
    unsigned num_slots;
    IdtNtbServer *server;
    const IdtNtbConfig *config;     /* the reset image of a new switch */
    /* Configuration space in reset, without port number and reset image */
    uint32_t cfg[IDT_NT_REGS / 4];

    IdtNtbShm *shm;             /* NULL while detached */
    size_t shm_size;            /* mapped, in bytes */
    int fd;                     /* of the memory; holds the lock of the port */
    int away_fd;                /* see idt_ntb_port_detach(); or -1 */
    void *claim;                /* see idt_ntb_shm_claim_offset() */
    size_t claim_size;
    dev_t dev;                  /* with @ino: the file of the memory */
    ino_t ino;
    unsigned slot;              /* our slot */
    unsigned port;              /* its port number, for messages */
    /* Of our port; the words in shared memory are copies for the others */
    bool is_up;                 /* the link is trained */
    bool is_master;             /* PCI_COMMAND_MASTER is set */
    uint32_t barsetup[IDT_NUM_BARS];    /* layout of our BARs */
    uint64_t counter[IDT_NTB_NUM_COUNTERS];
    uint32_t looks;
    IdtNtbFaults *faults;       /* NULL: none is set; see faults.h */
} IdtNtbSwitch;

/* Return the port number of @slot, which must be below @sw->num_slots. */
static inline unsigned idt_ntb_switch_port(const IdtNtbSwitch *sw,
                                           unsigned slot)
{
    return sw->chip->nt_ports[slot];
}

/* Return the slot of @port, any number; -1 if it can't carry an NT function. */
int idt_ntb_switch_slot(const IdtNtbSwitch *sw, unsigned port);

/* Return all slots, a bit each. */
static inline uint32_t idt_ntb_switch_all(const IdtNtbSwitch *sw)
{
    return MAKE_64BIT_MASK(0, sw->num_slots);
}

/* Return the registers and the state of the port in @slot. */
static inline IdtNtbShmPort *idt_ntb_switch_block(const IdtNtbSwitch *sw,
                                                  unsigned slot)
{
    return &sw->shm->slot[slot].p;
}

/* Return the registers that a reset of the port in @slot returns to. */
static inline IdtNtbShmPort *idt_ntb_switch_reset_image(const IdtNtbSwitch *sw,
                                                        unsigned slot)
{
    return &sw->shm->reset_image[slot].p;
}

/*
 * Return the index in IdtNtbShmPort.lut of the table of @bar, which is 2 or 4.
 */
static inline unsigned idt_ntb_switch_lut(unsigned bar)
{
    return bar / 4;
}

/* Return true if both are ports of the same switch, attached or not. */
bool idt_ntb_switch_is_same(const IdtNtbSwitch *a, const IdtNtbSwitch *b);

/*
 * Return true if the port in @slot is another one than ours and client @id owns
 * it.
 */
bool idt_ntb_switch_is_client(const IdtNtbSwitch *sw, unsigned slot,
                              unsigned id);

/*
 * Make the layout of the BARs that the registers in @block ask for: see bars.h
 */
void idt_ntb_switch_layout(const IdtNtbShmPort *block,
                           uint32_t layout[IDT_NUM_BARS]);

/*
 * Return the dword at @offset, below IDT_NT_REGS, of the configuration space of
 * the port with number @port, in reset and without a reset image.
 */
uint32_t idt_ntb_switch_default_cfg(const IdtNtbSwitch *sw, unsigned port,
                                    unsigned offset);

/* Ports by number, in the NT list or not; @port is below IDT_MAX_PORTS. */

/* Return SWPORTxSTS.MODE: IDT_PORT_MODE_*, or a value without meaning. */
unsigned idt_ntb_switch_port_mode(const IdtNtbSwitch *sw, unsigned port);

/* Return SWPORTxSTS.SWPART, below IDT_MAX_PARTITIONS. */
unsigned idt_ntb_switch_port_partition(const IdtNtbSwitch *sw, unsigned port);

/*
 * Return true while a change is not applied yet: of SWPORTxCTL, or of the state
 * of the partition.
 */
bool idt_ntb_switch_port_is_changing(const IdtNtbSwitch *sw, unsigned port);

/*
 * Return MODE, SWPART and DEVNUM of SWPORTxSTS after SWPORTxCTL = @ctl is
 * applied.
 */
uint32_t idt_ntb_switch_port_config(uint32_t ctl);

#define IDT_NTB_PORT_CONFIG_MASK    (R_SWPORT0STS_MODE_MASK | \
                                     R_SWPORT0STS_SWPART_MASK | \
                                     R_SWPORT0STS_DEVNUM_MASK)

/* Return true if a port in @mode, any value, has an NT function. */
bool idt_ntb_switch_mode_has_nt(unsigned mode);

/* Partitions */

/* Return SWPARTxCTL.STATE of @part: IDT_PART_STATE_*. */
unsigned idt_ntb_switch_partition_state(const IdtNtbSwitch *sw, unsigned part);

/* Return the slots in @part, a bit each.  Usually a partition has one. */
uint32_t idt_ntb_switch_slots_in(const IdtNtbSwitch *sw, unsigned part);

/*
 * Return the slot with the NT function of @part; -1 if there is none.  If there
 * are several, prefer one that is not changing: a port that is about to leave
 * gives way to one that takes over.
 */
int idt_ntb_switch_find_nt(const IdtNtbSwitch *sw, unsigned part);

/* Ports in the NT list, by slot */

/* Return the partition of the port, below IDT_MAX_PARTITIONS. */
unsigned idt_ntb_switch_partition(const IdtNtbSwitch *sw, unsigned slot);

/* Return true if the port has an NT function. */
bool idt_ntb_switch_has_nt(const IdtNtbSwitch *sw, unsigned slot);

/* Return true while a change is not applied yet, as for any port. */
bool idt_ntb_switch_is_changing(const IdtNtbSwitch *sw, unsigned slot);

/*
 * Return true if the port has applied the last change of its partition's state.
 */
bool idt_ntb_switch_state_is_applied(const IdtNtbSwitch *sw, unsigned slot);

/*
 * Return true if the port may have a link: it has an NT function, its partition
 * is active, and it is not changing.
 */
bool idt_ntb_switch_allows_link(const IdtNtbSwitch *sw, unsigned slot);

/* Return true while the owner of the port keeps the link trained. */
bool idt_ntb_switch_is_trained(const IdtNtbSwitch *sw, unsigned slot);

/* Return true while the link is up: it is trained and allowed. */
bool idt_ntb_switch_link(const IdtNtbSwitch *sw, unsigned slot);

/* Return true while the NT function is a bus master. */
bool idt_ntb_switch_is_master(const IdtNtbSwitch *sw, unsigned slot);

/* Work on shared words */

/*
 * Bounds the retries of a compare-and-swap, so that no other process can stall
 * us.
 */
#define IDT_NTB_MAX_CAS_TRIES 64

/*
 * Change the bits in @mask of @word to those of @value, atomically.
 *
 * Returns: the value before.
 */
uint32_t idt_ntb_switch_exchange(uint32_t *word, uint32_t mask,
                                 uint32_t value);

/* Count @n more of @counter. */
void idt_ntb_switch_count(IdtNtbSwitch *sw, IdtNtbCounter counter, unsigned n);

/*
 * Signal the owner of the port in @slot, so that it looks at its registers.  Do
 * nothing if it has not read our last signal yet, or for our own port: the
 * caller looks at ours.
 */
void idt_ntb_switch_signal(IdtNtbSwitch *sw, unsigned slot);

/*
 * Begin a look at what others did, after a signal was read: from now on they
 * signal again.
 */
void idt_ntb_switch_begin_look(IdtNtbSwitch *sw);

#endif
