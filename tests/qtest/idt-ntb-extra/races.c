/*
 * QTest testcase for idt-ntb: a peer acts, or dies, between two instructions
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/wait.h>
#include "hw/misc/idt_ntb/shm.h"
#include "hw/pci/pci_regs.h"
#include "pause.h"
#include "extra.h"

/* The registers of ports[@i] */
static IdtNtbShmPort *block(NtbFixture *f, unsigned i)
{
    return &f->server->mem->slot[i].p;
}

static void unmask(NtbPort *p)
{
    ntb_unmask_all(p);
    ntb_write(p, A_NTINTSTS, UINT32_MAX);
    ntb_settle(p->qts);
    ntb_msi_clear(p);
}

/* Mask all doorbells for @partitions, one bit each, and for no others */
static void mask_doorbells_for(NtbPort *p, uint32_t partitions)
{
    for (unsigned n = 0; n < IDT_NUM_DOORBELLS; n++) {
        ntb_gas_write(p, A_GIDBELLMSK0 + 4 * n, partitions);
    }
}

static void prepare(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1], *c = f->ports[2];

    for (unsigned i = 0; i < 3; i++) {
        unmask(f->ports[i]);
    }
    for (unsigned n = 0; n < IDT_NUM_MESSAGES; n++) {
        ntb_route_message(a, n, b->partition, n);
        ntb_route_message(c, n, b->partition, n);
    }
    /* Doorbells are for @b alone */
    mask_doorbells_for(a, 0xff & ~(1u << b->partition));
    ntb_write(a, A_NTINTMSK, 0xbb);
    ntb_write(b, A_NTINTSTS, UINT32_MAX);
    ntb_settle(b->qts);
    ntb_msi_clear(b);
}

/*
 * After how many instructions QEMU is stopped behind its access to a word: each
 * of the first ones, then ever fewer
 */
static unsigned next_step(unsigned step)
{
    return step < 48 ? step + 3 : step + step / 2;
}
#define LAST_STEP 3000

/* Stop the QEMU of ports[@i] as of pause_in_write() */
static void stop_in_write(NtbFixture *f, Pause *pause, unsigned i,
                          uint32_t offset, uint32_t value, const void *word,
                          unsigned size, PauseOn on)
{
    g_assert_true(pause_in_write(pause, f->server, f->ports[i], offset, value,
                                 word, size, on));
}

/* A write of @value to @offset of @b, which changes @word of its port */
typedef struct Race {
    uint32_t offset, value;
    size_t word;
    unsigned size;
    void (*before)(NtbFixture *f);
    void (*act)(NtbFixture *f);
    void (*after)(NtbFixture *f);
} Race;

/*
 * @b clears or unmasks; its QEMU has changed the word, and has gone on for some
 * instructions, when @act lets something new come.  That must be an interrupt,
 * whatever QEMU was about to look at.
 */
static void test_race(NtbFixture *f)
{
    const Race *race = f->test->data;
    NtbPort *b = f->ports[1];

    for (unsigned step = 0; step < LAST_STEP; step = next_step(step)) {
        Pause pause;

        race->before(f);
        stop_in_write(f, &pause, 1, race->offset, race->value,
                      (uint8_t *)block(f, 1) + race->word, race->size,
                      PAUSE_ON_WRITE);
        pause_step(&pause, step);
        race->act(f);
        pause_end(&pause);
        g_test_message("%u instructions", step);
        ntb_assert_msi(b);
        race->after(f);
        ntb_assert_no_msi(b);
        g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, 0);
    }
}

static void ring(NtbFixture *f)
{
    ntb_write(f->ports[0], A_OUTDBELLSET, 1 << 7);
}

static void ring_and_take(NtbFixture *f)
{
    ring(f);
    ntb_assert_msi(f->ports[1]);
}

static void clear_ring(NtbFixture *f)
{
    NtbPort *b = f->ports[1];

    g_assert_cmphex(ntb_read(b, A_INDBELLSTS), ==, 1 << 7);
    ntb_write(b, A_INDBELLSTS, 1 << 7);
}

/* A doorbell between the guest's clear of one and QEMU's look at the level */
static const Race doorbell_clear = {
    A_INDBELLSTS, 1 << 7, offsetof(IdtNtbShmPort, indbellsts), 4,
    ring_and_take, ring, clear_ring,
};

static void ring_other(NtbFixture *f)
{
    ntb_write(f->ports[0], A_OUTDBELLSET, 1 << 8);
}

static void clear_other(NtbFixture *f)
{
    NtbPort *b = f->ports[1];

    g_assert_cmphex(ntb_read(b, A_INDBELLSTS), ==, 1 << 8);
    ntb_write(b, A_INDBELLSTS, 1 << 8);
}

/* ... another one than the cleared one */
static const Race other_doorbell_clear = {
    A_INDBELLSTS, 1 << 7, offsetof(IdtNtbShmPort, indbellsts), 4,
    ring_and_take, ring_other, clear_other,
};

static uint32_t message;

static void send_message(NtbFixture *f)
{
    NtbPort *a = f->ports[0];

    ntb_write(a, A_OUTMSG0, ++message);
    g_assert_cmphex(ntb_read(a, A_MSGSTS), ==, 0);
}

static void send_and_take(NtbFixture *f)
{
    send_message(f);
    ntb_assert_msi(f->ports[1]);
}

static void clear_message(NtbFixture *f)
{
    NtbPort *b = f->ports[1];

    g_assert_cmphex(ntb_read(b, A_MSGSTS), ==, 1 << 16);
    g_assert_cmphex(ntb_read(b, A_INMSG0), ==, message);
    ntb_write(b, A_MSGSTS, 1 << 16);
}

/* A message into the register that the guest has just emptied */
static const Race message_clear = {
    A_MSGSTS, 1 << 16, offsetof(IdtNtbShmPort, inmsg[0]), 8,
    send_and_take, send_message, clear_message,
};

static void signal_event(NtbFixture *f)
{
    NtbPort *a = f->ports[0];

    ntb_write(a, A_NTGSIGNAL, 1);
    ntb_gas_write(a, A_SEGSIGSTS, 1);
}

static void signal_and_take(NtbFixture *f)
{
    signal_event(f);
    ntb_assert_msi(f->ports[1]);
}

static void clear_event(NtbFixture *f)
{
    NtbPort *b = f->ports[1];

    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, R_NTINTSTS_SEVENT_MASK);
    ntb_write(b, A_NTINTSTS, R_NTINTSTS_SEVENT_MASK);
}

static const Race event_clear = {
    A_NTINTSTS, R_NTINTSTS_SEVENT_MASK, offsetof(IdtNtbShmPort, ntintsts), 4,
    signal_and_take, signal_event, clear_event,
};

static void mask_doorbells(NtbFixture *f)
{
    ntb_write(f->ports[1], A_INDBELLMSK, UINT32_MAX);
}

/* A doorbell while the guest unmasks it */
static const Race doorbell_unmask = {
    A_INDBELLMSK, 0, offsetof(IdtNtbShmPort, indbellmsk), 4,
    mask_doorbells, ring, clear_ring,
};

static void mask_interrupts(NtbFixture *f)
{
    ntb_write(f->ports[1], A_NTINTMSK, 0xbb);
}

static const Race interrupt_unmask = {
    A_NTINTMSK, 0, offsetof(IdtNtbShmPort, ntintmsk), 4,
    mask_interrupts, ring, clear_ring,
};

/*
 * The guest masks a doorbell that is pending and unmasks it later.  In between
 * @b's QEMU is stopped in the mask write while another doorbell comes.
 */
static void test_doorbell_mask(NtbFixture *f)
{
    NtbPort *b = f->ports[1];

    for (unsigned step = 0; step < LAST_STEP; step = next_step(step)) {
        Pause pause;

        ring_and_take(f);
        stop_in_write(f, &pause, 1, A_INDBELLMSK, UINT32_MAX,
                      &block(f, 1)->indbellmsk, 4, PAUSE_ON_WRITE);
        pause_step(&pause, step);
        ring_other(f);
        pause_end(&pause);
        ntb_assert_no_msi(b);
        ntb_write(b, A_INDBELLMSK, 0);
        ntb_assert_msi(b);
        ntb_write(b, A_INDBELLSTS, UINT32_MAX);
        ntb_assert_no_msi(b);
    }
}

/* A peer's write into @b's registers makes up no interrupt */
static void test_write_by_peer(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    for (unsigned step = 0; step < 200; step = next_step(step)) {
        Pause pause;

        ntb_write(a, A_GASAADDR, ntb_gas_nt(b->port, A_INDBELLMSK));
        stop_in_write(f, &pause, 0, A_GASADATA, step & 1 ? 0 : 0xff000000,
                      &block(f, 1)->indbellmsk, 4, PAUSE_ON_ACCESS);
        pause_step(&pause, step);
        ntb_write(f->ports[2], A_OUTMSG0, step);
        ntb_assert_msi(b);
        pause_end(&pause);
        ntb_assert_no_msi(b);
        ntb_write(b, A_MSGSTS, 1 << 16);
        ntb_assert_no_msi(b);
    }
}

/*
 * Senders
 */

/* The receiver sees and clears it, before the sender signals it */
static void test_sender_late(NtbFixture *f)
{
    NtbPort *b = f->ports[1];
    Pause pause;

    for (unsigned i = 0; i < 10; i++) {
        stop_in_write(f, &pause, 0, A_OUTDBELLSET, 1 << 7,
                      &block(f, 1)->indbellsts, 4, PAUSE_ON_WRITE);
        clear_ring(f);
        pause_end(&pause);
        ntb_settle(b->qts);
        ntb_msi_clear(b);
        ring_and_take(f);
        clear_ring(f);
        ntb_assert_no_msi(b);
    }
}

/* @a has seen an empty register, which @c fills */
static void test_two_senders(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1], *c = f->ports[2];
    Pause pause;

    for (uint32_t i = 0; i < 10; i++) {
        stop_in_write(f, &pause, 0, A_OUTMSG0, 0xaaa0 + i,
                      &block(f, 1)->inmsg[0], 8, PAUSE_ON_ACCESS);
        ntb_write(c, A_OUTMSG0, 0xccc0 + i);
        g_assert_cmphex(ntb_read(c, A_MSGSTS), ==, 0);
        pause_end(&pause);
        g_assert_cmphex(ntb_read(a, A_MSGSTS), ==, 1);
        ntb_write(a, A_MSGSTS, 1);
        g_assert_cmphex(ntb_read(b, A_INMSG0), ==, 0xccc0 + i);
        g_assert_cmphex(ntb_read(b, A_INMSGSRC0), ==, c->partition);
        ntb_assert_msi(b);
        ntb_write(b, A_MSGSTS, 1 << 16);
        ntb_assert_no_msi(b);
    }
}

/* @c rings, wherever @a is in its write */
static void test_two_ringers(NtbFixture *f)
{
    NtbPort *b = f->ports[1];
    Pause pause;

    for (unsigned step = 0; step < 30; step++) {
        stop_in_write(f, &pause, 0, A_OUTDBELLSET, 1 << 7,
                      &block(f, 1)->indbellsts, 4, PAUSE_ON_ACCESS);
        pause_step(&pause, step);
        ntb_write(f->ports[2], A_OUTDBELLSET, 1 << 9);
        pause_end(&pause);
        g_assert_cmphex(ntb_read(b, A_INDBELLSTS), ==, 1 << 7 | 1 << 9);
        ntb_assert_msi(b);
        ntb_write(b, A_INDBELLSTS, 1 << 7 | 1 << 9);
        ntb_assert_no_msi(b);
    }
}

/*
 * Two doorbells are pending.  @a clears one, while @b masks the other: both see
 * the level high, since the other has not written yet, but it falls.  When @b
 * unmasks, it rises.
 */
static void test_clear_by_peer(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];

    for (unsigned step = 0; step < 200; step = next_step(step)) {
        Pause pause;

        ring_and_take(f);
        ring_other(f);
        ntb_write(a, A_GASAADDR, ntb_gas_nt(b->port, A_INDBELLSTS));
        stop_in_write(f, &pause, 0, A_GASADATA, 1 << 8,
                      &block(f, 1)->indbellsts, 4, PAUSE_ON_ACCESS);
        pause_step(&pause, step);
        ntb_write(b, A_INDBELLMSK, 1 << 7);
        if (pause_next_access(&pause)) {
            ntb_write(b, A_INDBELLMSK, 0);
            pause_end(&pause);
        } else {
            ntb_write(b, A_INDBELLMSK, 0);
        }
        g_test_message("%u instructions", step);
        ntb_assert_msi(b);
        g_assert_cmphex(ntb_read(b, A_INDBELLSTS), ==, 1 << 7);
        ntb_write(b, A_INDBELLSTS, 1 << 7);
        ntb_settle(b->qts);
        ntb_msi_clear(b);
    }
}

/*
 * Stop the QEMU of @b, in its guest's write, after access number @n to @word.
 *
 * Returns: false when it has fewer accesses; the write is over then.
 */
static bool pause_after_access(NtbFixture *f, Pause *pause, unsigned n,
                               uint32_t offset, uint32_t value,
                               const void *word)
{
    bool paused = pause_in_write(pause, f->server, f->ports[1], offset, value,
                                 word, 4, PAUSE_ON_ACCESS);

    while (paused && n--) {
        paused = pause_next_access(pause);
    }
    return paused;
}

/* @b clears one, while @c rings another: only that one is left */
static void test_ring_while_clearing(NtbFixture *f)
{
    NtbPort *b = f->ports[1];
    unsigned n = 0;
    bool paused;
    Pause pause;

    do {
        ring_and_take(f);
        paused = pause_after_access(f, &pause, n++, A_INDBELLSTS, 1 << 7,
                                    &block(f, 1)->indbellsts);
        ntb_write(f->ports[2], A_OUTDBELLSET, 1 << 9);
        if (paused) {
            pause_end(&pause);
        }
        g_assert_cmphex(ntb_read(b, A_INDBELLSTS), ==, 1 << 9);
        ntb_write(b, A_INDBELLSTS, 1 << 9);
        ntb_settle(b->qts);
        ntb_msi_clear(b);
    } while (paused);
    g_assert_cmpuint(n, >, 1);
}

/* Two ports write some bytes of a register each */
static void test_two_writers(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b = f->ports[1];
    unsigned n = 0;
    bool paused;
    Pause pause;

    ntb_write(a, A_GASAADDR, ntb_gas_nt(b->port, A_NTSDATA));
    do {
        ntb_write(b, A_NTSDATA, 0);
        /* Bytes 2 and 3, and two zeros for the register behind it */
        paused = pause_after_access(f, &pause, n++, A_NTSDATA + 2, 0x2222,
                                    &block(f, 1)->ntsdata);
        qtest_writeb(a->qts, a->bar0 + A_GASADATA + 1, 0xaa);
        if (paused) {
            pause_end(&pause);
        }
        g_assert_cmphex(ntb_read(b, A_NTSDATA), ==, 0x2222aa00);
    } while (paused);
    g_assert_cmpuint(n, >, 1);
}

/*
 * Two ports write an entry of the mapping table at once.  If the one for @c is
 * lost, requests of @c that are under way have ended.
 */
static void test_mapping_table(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *c = f->ports[2];
    IdtNtbShm *shm = f->server->mem;
    uint32_t admission = FIELD_DP32(R_NTMTBLDATA_VALID_MASK, NTMTBLDATA, PART,
                                    2);
    const unsigned entry = 40;
    unsigned n = 0, lost = 0;
    bool paused;
    Pause pause;

    g_assert_cmpuint(c->partition, ==, 2);
    ntb_write(a, A_NTMTBLADDR, entry);
    ntb_write(f->ports[1], A_NTMTBLADDR, entry);
    do {
        uint32_t *epoch = &shm->slot[ntb_slot(c->port)].p.send_epoch, was;

        ntb_write(a, A_NTMTBLDATA, 0);
        was = qatomic_read(epoch);
        paused = pause_after_access(f, &pause, n++, A_NTMTBLDATA, 0,
                                    &shm->sw.mtbl[entry]);
        ntb_write(a, A_NTMTBLDATA, admission);
        if (paused) {
            pause_end(&pause);
        }
        if (!ntb_read(a, A_NTMTBLDATA)) {
            g_assert_cmpuint(qatomic_read(epoch), !=, was);
            lost++;
        }
    } while (paused);
    g_assert_cmpuint(n, >, 1);
    g_assert_cmpuint(lost, >, 0);
}

/*
 * Death at the wrong moment
 */

/* Others see that @b is dead, and its port can be used again */
static void assert_survived(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *again;
    unsigned port = f->ports[1]->port;

    ntb_end_by_kill(f, 1);
    ntb_wait(!(ntb_gas_read(a, ntb_gas_portsts(port)) &
               R_SWPORT0STS_LINKUP_MASK));
    ntb_wait(ntb_gas_read(a, A_SELINKDNSTS) & 1u << port);
    again = ntb_start(f, 1, NULL);
    unmask(again);
    g_assert_cmpuint(again->port, ==, port);
    g_assert_cmphex(ntb_read(again, A_INDBELLSTS), ==, 0);
    g_assert_cmphex(ntb_read(again, A_MSGSTS), ==, 0);
    mask_doorbells_for(a, 0);
    ntb_assert_talk(a, again);
    ntb_assert_talk(again, a);
    ntb_assert_talk(again, f->ports[2]);
}

static void prepare_death(NtbFixture *f)
{
    NtbPort *a = f->ports[0];

    prepare(f);
    mask_doorbells_for(a, 0);
    for (unsigned n = 0; n < IDT_NUM_MESSAGES; n++) {
        ntb_route_message(f->ports[1], n, a->partition, n);
    }
    ntb_write(a, A_NTINTSTS, UINT32_MAX);
    ntb_write(a, A_NTINTMSK, 0);
    ntb_gas_write(a, A_SELINKUPSTS, UINT32_MAX);
    ntb_gas_write(a, A_SELINKDNSTS, UINT32_MAX);
    ntb_settle(a->qts);
    ntb_msi_clear(a);
}

/* @b dies right after it has changed @word in a write of its guest */
static void die_at(NtbFixture *f, const char *what, uint32_t offset,
                   uint32_t value, const void *word, unsigned size)
{
    Pause pause;

    g_test_message("death after %s", what);
    stop_in_write(f, &pause, 1, offset, value, word, size, PAUSE_ON_WRITE);
    pause_kill(&pause);
}

/*
 * The clean-up finds what was set before the death, with its interrupt, though
 * it was never signalled.
 */
static void test_dead_mans_doorbell(NtbFixture *f)
{
    NtbPort *a = f->ports[0];

    ntb_gas_write(a, A_SEMSK, 0x3f);        /* the death itself is silent */
    die_at(f, "doorbell", A_OUTDBELLSET, 1 << 7,
           &block(f, 0)->indbellsts, 4);
    ntb_end_by_kill(f, 1);
    ntb_assert_msi(a);
    g_assert_cmphex(ntb_read(a, A_INDBELLSTS), ==, 1 << 7);
    g_assert_cmphex(ntb_read(a, A_NTINTSTS), ==, R_NTINTSTS_DBELL_MASK);
}

static void test_dead_mans_message(NtbFixture *f)
{
    NtbPort *a = f->ports[0];

    ntb_gas_write(a, A_SEMSK, 0x3f);
    die_at(f, "message", A_OUTMSG0, 0xdead, &block(f, 0)->inmsg[0], 8);
    ntb_end_by_kill(f, 1);
    ntb_assert_msi(a);
    g_assert_cmphex(ntb_read(a, A_MSGSTS), ==, 1 << 16);
    g_assert_cmphex(ntb_read(a, A_INMSG0), ==, 0xdead);
    g_assert_cmphex(ntb_read(a, A_INMSGSRC0), ==, 1);
}

/* At each word that a guest's write or a reset changes */
static void test_die_in_write(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    IdtNtbShm *shm = f->server->mem;
    IdtNtbShmPort *mine = block(f, 1), *theirs = block(f, 0);
    uint32_t flr = IDT_CAP_PCIE + PCI_EXP_DEVCTL;
    const struct {
        const char *what;
        uint32_t offset, value;
        const void *word;
    } deaths[] = {
        { "doorbell", A_OUTDBELLSET, 1, &theirs->indbellsts },
        { "message data", A_OUTMSG0, 0x77, &mine->outmsg[0] },
        { "signal status", A_NTGSIGNAL, 1, &shm->sw.segsigsts },
        { "signal", A_NTGSIGNAL, 1, &theirs->ntintsts },
        { "mask", A_NTINTMSK, 0xbb, &mine->ntintmsk },
        { "state in reset", flr, PCI_EXP_DEVCTL_BCR_FLR, &mine->state },
        { "mask in reset", flr, PCI_EXP_DEVCTL_BCR_FLR, &mine->indbellmsk },
        { "header in reset", flr, PCI_EXP_DEVCTL_BCR_FLR,
          &mine->cfg[PCI_COMMAND / 4] },
        { "link down", flr, PCI_EXP_DEVCTL_BCR_FLR, &shm->sw.selinkdnsts },
        { "link up", flr, PCI_EXP_DEVCTL_BCR_FLR, &shm->sw.selinkupsts },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(deaths); i++) {
        ntb_unmask_all(a);
        ntb_gas_write(a, A_SELINKUPSTS, UINT32_MAX);
        ntb_gas_write(a, A_SELINKDNSTS, UINT32_MAX);
        ntb_gas_write(a, A_SEGSIGSTS, UINT32_MAX);
        ntb_write(a, A_NTINTSTS, UINT32_MAX);
        ntb_write(a, A_INDBELLSTS, UINT32_MAX);
        die_at(f, deaths[i].what, deaths[i].offset, deaths[i].value,
               deaths[i].word, 4);
        assert_survived(f);
    }
}

/*
 * Death in attach and detach, of a device that is plugged into a QEMU
 */

static void start_plug(QTestState *qts)
{
    ntb_device_add_send(qts, "");
}

static void die_in_plug(NtbFixture *f, const char *what, const void *word)
{
    QTestState *qts = ntb_boot_root_port(f->server, ntb_next_machine());
    NtbPort *p, *q;
    Pause pause;

    g_test_message("death after %s", what);
    pause_in_attach(&pause, f->server, qts, start_plug, word);
    pause_kill(&pause);
    ntb_kill_qemu(qts);
    p = ntb_start(f, 0, ",port=0");
    q = ntb_start(f, 1, ",port=2");
    ntb_assert_talk(p, q);
    ntb_assert_talk(q, p);
    ntb_end(f, 0);
    ntb_end(f, 1);
}

static void test_die_in_creation(NtbFixture *f)
{
    IdtNtbShm *shm = f->server->mem;
    /* Each store changes something: 0x5a is unlike all that is written */
    const struct {
        const char *what;
        const void *word;
        uint8_t before;
    } deaths[] = {
        { "version", &shm->header.version, 0x5a },
        { "masks", &shm->sw.sepmsk, 0x5a },
        { "port", &block(f, 1)->ntintmsk, 0x5a },
        { "magic", &shm->header.magic, 0x5a },
        { "client", &block(f, 0)->generation, 0x5a },
        { "link state", &block(f, 0)->state, 0 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(deaths); i++) {
        memset(shm, deaths[i].before, sizeof(*shm));
        die_in_plug(f, deaths[i].what, deaths[i].word);
    }
}

/* A port is claimed beside one that is attached */
static void test_die_in_claim(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    IdtNtbShm *shm = f->server->mem;
    const void *words[] = {
        &block(f, 1)->generation, &block(f, 1)->client, &block(f, 1)->state,
        &shm->sw.selinkupsts,
    };

    ntb_unmask_all(a);
    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++) {
        QTestState *qts = ntb_boot_root_port(f->server, ntb_next_machine());
        Pause pause;
        NtbPort *p;

        ntb_gas_write(a, A_SELINKUPSTS, UINT32_MAX);
        ntb_gas_write(a, A_SELINKDNSTS, UINT32_MAX);
        block(f, 1)->client = 0x5a;
        pause_in_attach(&pause, f->server, qts, start_plug, words[i]);
        pause_kill(&pause);
        ntb_kill_qemu(qts);
        if (i == 3) {
            /* @a has seen its link up */
            ntb_wait(ntb_gas_read(a, A_SELINKDNSTS) == 1 << 2);
        }
        p = ntb_start(f, 1, NULL);
        g_assert_cmpuint(p->port, ==, 2);
        ntb_assert_talk(a, p);
        ntb_assert_talk(p, a);
        ntb_end(f, 1);
        ntb_wait(!ntb_link_up(a, 2));
    }
}

/*
 * @c has seen that the port of a dead process is free; before it cleans up, the
 * port is claimed.
 */
static void test_claim_in_clean_up(NtbFixture *f)
{
    NtbPort *a = f->ports[0], *b, *c = f->ports[2];
    Pause pause;

    for (unsigned i = 0; i < 3; i++) {
        ntb_freeze(a);
        pause_now(&pause, c->qts);
        ntb_end_by_kill(f, 1);
        pause_after_lock_test(&pause, offsetof(IdtNtbShm, slot[1]));
        b = ntb_start(f, 1, NULL);
        g_assert_cmpuint(b->port, ==, 2);
        ntb_write(b, A_NTSDATA, 0xb2);
        pause_end(&pause);
        for (unsigned k = 0; k < 20; k++) {
            ntb_settle(c->qts);
            g_usleep(2000);
        }
        ntb_thaw(a);
        g_assert_cmphex(ntb_read(b, A_NTSDATA), ==, 0xb2);
        g_assert_true(ntb_link_up(c, 2));
        mask_doorbells_for(a, 0);
        ntb_assert_talk(a, b);
        ntb_assert_talk(b, c);
    }
}

#define PAUSE   .needs = pause_possible, .q35 = true
#define RACE    .ports = 3, .prepare = prepare, PAUSE
#define DEATH   .ports = 3, .prepare = prepare_death, PAUSE

static const NtbTest tests[] = {
    { "race/clear-keeps-the-same-doorbell", test_race,
      RACE, .data = &doorbell_clear },
    { "race/clear-keeps-another-doorbell", test_race,
      RACE, .data = &other_doorbell_clear },
    { "race/clear-keeps-the-next-message", test_race,
      RACE, .data = &message_clear },
    { "race/clear-keeps-the-next-event", test_race,
      RACE, .data = &event_clear },
    { "race/doorbell-comes-through-an-unmask", test_race,
      RACE, .data = &doorbell_unmask },
    { "race/interrupt-comes-through-an-unmask", test_race,
      RACE, .data = &interrupt_unmask },
    { "race/doorbell-waits-behind-a-mask", test_doorbell_mask, RACE },
    { "race/write-by-a-peer-is-no-interrupt", test_write_by_peer, RACE },
    { "race/clear-by-a-peer-keeps-the-edge", test_clear_by_peer, RACE },
    { "race/late-signal-does-no-harm", test_sender_late, RACE },
    { "race/one-of-two-senders-is-refused", test_two_senders, RACE },
    { "race/no-doorbell-of-two-is-lost", test_two_ringers, RACE },
    { "race/clear-clears-one-doorbell", test_ring_while_clearing, RACE },
    { "race/two-writers-keep-their-bytes", test_two_writers, RACE },
    { "race/removed-admission-ends-requests", test_mapping_table, RACE },
    { "race-death/doorbell-of-a-dead-port-interrupts", test_dead_mans_doorbell,
      DEATH },
    { "race-death/message-of-a-dead-port-interrupts", test_dead_mans_message,
      DEATH },
    { "race-death/in-a-write-frees-the-port", test_die_in_write, DEATH },
    { "race-death/in-creation-leaves-a-usable-switch", test_die_in_creation,
      PAUSE },
    { "race-death/in-a-claim-frees-the-port", test_die_in_claim,
      .ports = 1, PAUSE },
    { "race-death/clean-up-spares-the-next-owner", test_claim_in_clean_up,
      RACE },
};

ntb_tests(tests);
