/*
 * QTest testcase for idt-ntb: what must hold wherever a peer comes in between,
 * or dies
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/wait.h>
#include "qemu/module.h"
#include "hw/misc/idt_ntb/shm.h"
#include "hw/pci/pci_regs.h"
#include "pause.h"
#include "idt-ntb/harness.h"

static NtbServer *server;
static IdtNtbShm *shm;
static NtbPort *a, *b, *c;

static NtbPort *boot_unmasked(void)
{
    NtbPort *p = ntb_boot(server, ",partitions=3");

    ntb_unmask_all(p);
    ntb_write(p, A_NTINTSTS, UINT32_MAX);
    ntb_settle(p->qts);
    ntb_msi_clear(p);
    return p;
}

static void setup(void)
{
    server = ntb_server_start();
    shm = (IdtNtbShm *)server->mem;
    a = boot_unmasked();
    b = boot_unmasked();
    c = boot_unmasked();
    for (unsigned n = 0; n < IDT_NUM_MESSAGES; n++) {
        ntb_route_message(a, n, b->partition, n);
        ntb_route_message(c, n, b->partition, n);
    }
    for (unsigned n = 0; n < IDT_NUM_DOORBELLS; n++) {
        /* Doorbells are for @b alone */
        ntb_gas_write(a, A_GIDBELLMSK0 + 4 * n,
                      0xff & ~(1u << b->partition));
    }
    ntb_write(a, A_NTINTMSK, 0xbb);
    ntb_write(b, A_NTINTSTS, UINT32_MAX);
    ntb_settle(b->qts);
    ntb_msi_clear(b);
}

static void teardown(void)
{
    ntb_quit(a);
    if (b) {
        ntb_quit(b);
    }
    ntb_quit(c);
    ntb_server_stop(server);
}

/*
 * How many instructions after its own access to the word the guest's register
 * write is interrupted: each of the first ones, then ever fewer.
 */
static unsigned next_step(unsigned step)
{
    return step < 48 ? step + 3 : step + step / 2;
}
#define LAST_STEP 3000

/*
 * @b clears (or unmasks) by writing @value to @offset; its QEMU has changed
 * @word, and has gone on for some instructions, when @act lets something new
 * come.  That must be an interrupt, whatever @b's QEMU was about to look at.
 */
static void force(const char *what, uint32_t offset, uint32_t value,
                  const void *word, unsigned size, void (*before)(void),
                  void (*act)(void), void (*after)(void))
{
    for (unsigned step = 0; step < LAST_STEP; step = next_step(step)) {
        Pause pause;

        before();
        g_assert_true(pause_in_write(&pause, server, b, offset, value, word,
                                     size, PAUSE_ON_WRITE));
        pause_step(&pause, step);
        act();
        pause_end(&pause);
        g_test_message("%s: %u instructions", what, step);
        ntb_assert_msi(b);
        after();
        ntb_assert_no_msi(b);
        g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, 0);
    }
}

static void ring(void)
{
    ntb_write(a, A_OUTDBELLSET, 1 << 7);
}

static void ring_and_take(void)
{
    ring();
    ntb_assert_msi(b);
}

static void clear_ring(void)
{
    g_assert_cmphex(ntb_read(b, A_INDBELLSTS), ==, 1 << 7);
    ntb_write(b, A_INDBELLSTS, 1 << 7);
}

/* A doorbell between the guest's clear of one and QEMU's look at the level */
static void test_doorbell_clear(void)
{
    if (!pause_possible()) {
        return;
    }
    setup();
    force("doorbell", A_INDBELLSTS, 1 << 7, &shm->slot[1].p.indbellsts, 4,
          ring_and_take, ring, clear_ring);
    teardown();
}

static void ring_other(void)
{
    ntb_write(a, A_OUTDBELLSET, 1 << 8);
}

static void clear_other(void)
{
    g_assert_cmphex(ntb_read(b, A_INDBELLSTS), ==, 1 << 8);
    ntb_write(b, A_INDBELLSTS, 1 << 8);
}

/* ... another one than was cleared */
static void test_other_doorbell_clear(void)
{
    if (!pause_possible()) {
        return;
    }
    setup();
    force("other doorbell", A_INDBELLSTS, 1 << 7, &shm->slot[1].p.indbellsts,
          4, ring_and_take, ring_other, clear_other);
    teardown();
}

static uint32_t message;

static void send_message(void)
{
    ntb_write(a, A_OUTMSG0, ++message);
    g_assert_cmphex(ntb_read(a, A_MSGSTS), ==, 0);
}

static void send_and_take(void)
{
    send_message();
    ntb_assert_msi(b);
}

static void clear_message(void)
{
    g_assert_cmphex(ntb_read(b, A_MSGSTS), ==, 1 << 16);
    g_assert_cmphex(ntb_read(b, A_INMSG0), ==, message);
    ntb_write(b, A_MSGSTS, 1 << 16);
}

/* A message into the register that the guest has just emptied */
static void test_message_clear(void)
{
    if (!pause_possible()) {
        return;
    }
    setup();
    force("message", A_MSGSTS, 1 << 16, &shm->slot[1].p.inmsg[0], 8,
          send_and_take, send_message, clear_message);
    teardown();
}

static void signal_event(void)
{
    ntb_write(a, A_NTGSIGNAL, 1);
    ntb_gas_write(a, A_SEGSIGSTS, 1);
}

static void signal_and_take(void)
{
    signal_event();
    ntb_assert_msi(b);
}

static void clear_event(void)
{
    g_assert_cmphex(ntb_read(b, A_NTINTSTS), ==, R_NTINTSTS_SEVENT_MASK);
    ntb_write(b, A_NTINTSTS, R_NTINTSTS_SEVENT_MASK);
}

static void test_event_clear(void)
{
    if (!pause_possible()) {
        return;
    }
    setup();
    force("event", A_NTINTSTS, R_NTINTSTS_SEVENT_MASK,
          &shm->slot[1].p.ntintsts, 4, signal_and_take, signal_event,
          clear_event);
    teardown();
}

static void mask_doorbells(void)
{
    ntb_write(b, A_INDBELLMSK, UINT32_MAX);
}

/* A doorbell while the guest unmasks it */
static void test_doorbell_unmask(void)
{
    if (!pause_possible()) {
        return;
    }
    setup();
    force("unmasked doorbell", A_INDBELLMSK, 0, &shm->slot[1].p.indbellmsk, 4,
          mask_doorbells, ring, clear_ring);
    teardown();
}

static void mask_interrupts(void)
{
    ntb_write(b, A_NTINTMSK, 0xbb);
}

static void test_interrupt_unmask(void)
{
    if (!pause_possible()) {
        return;
    }
    setup();
    force("unmasked interrupt", A_NTINTMSK, 0, &shm->slot[1].p.ntintmsk, 4,
          mask_interrupts, ring, clear_ring);
    teardown();
}

/*
 * The guest masks a doorbell that is pending and unmasks it later.  In between
 * @b's QEMU is stopped in the mask write while another doorbell comes.
 */
static void test_doorbell_mask(void)
{
    if (!pause_possible()) {
        return;
    }
    setup();
    for (unsigned step = 0; step < LAST_STEP; step = next_step(step)) {
        Pause pause;

        ring_and_take();
        g_assert_true(pause_in_write(&pause, server, b, A_INDBELLMSK,
                                     UINT32_MAX, &shm->slot[1].p.indbellmsk, 4,
                                     PAUSE_ON_WRITE));
        pause_step(&pause, step);
        ring_other();
        pause_end(&pause);
        ntb_assert_no_msi(b);
        ntb_write(b, A_INDBELLMSK, 0);
        ntb_assert_msi(b);
        ntb_write(b, A_INDBELLSTS, UINT32_MAX);
        ntb_assert_no_msi(b);
    }
    teardown();
}

/* A peer's write into @b's registers makes up no interrupt */
static void test_write_by_peer(void)
{
    if (!pause_possible()) {
        return;
    }
    setup();
    for (unsigned step = 0; step < 200; step = next_step(step)) {
        Pause pause;

        ntb_write(a, A_GASAADDR, ntb_gas_nt(b->port, A_INDBELLMSK));
        g_assert_true(pause_in_write(&pause, server, a, A_GASADATA,
                                     step & 1 ? 0 : 0xff000000,
                                     &shm->slot[1].p.indbellmsk, 4,
                                     PAUSE_ON_ACCESS));
        pause_step(&pause, step);
        ntb_write(c, A_OUTMSG0, step);
        ntb_assert_msi(b);
        pause_end(&pause);
        ntb_assert_no_msi(b);
        ntb_write(b, A_MSGSTS, 1 << 16);
        ntb_assert_no_msi(b);
    }
    teardown();
}

/*
 * Senders
 */

/* Set, but not signalled yet: the receiver may see it and clear it */
static void test_sender_late(void)
{
    Pause pause;

    if (!pause_possible()) {
        return;
    }
    setup();
    for (unsigned i = 0; i < 10; i++) {
        g_assert_true(pause_in_write(&pause, server, a, A_OUTDBELLSET, 1 << 7,
                                     &shm->slot[1].p.indbellsts, 4,
                                     PAUSE_ON_WRITE));
        clear_ring();
        pause_end(&pause);
        ntb_settle(b->qts);
        ntb_msi_clear(b);
        ring_and_take();
        clear_ring();
        ntb_assert_no_msi(b);
    }
    teardown();
}

/* One has looked at an empty register, the other fills it */
static void test_two_senders(void)
{
    Pause pause;

    if (!pause_possible()) {
        return;
    }
    setup();
    for (uint32_t i = 0; i < 10; i++) {
        g_assert_true(pause_in_write(&pause, server, a, A_OUTMSG0, 0xaaa0 + i,
                                     &shm->slot[1].p.inmsg[0], 8,
                                     PAUSE_ON_ACCESS));
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
    teardown();
}

/* Two ring at once: no bit is lost, wherever the first one is */
static void test_two_ringers(void)
{
    Pause pause;

    if (!pause_possible()) {
        return;
    }
    setup();
    for (unsigned step = 0; step < 30; step++) {
        g_assert_true(pause_in_write(&pause, server, a, A_OUTDBELLSET, 1 << 7,
                                     &shm->slot[1].p.indbellsts, 4,
                                     PAUSE_ON_ACCESS));
        pause_step(&pause, step);
        ntb_write(c, A_OUTDBELLSET, 1 << 9);
        pause_end(&pause);
        g_assert_cmphex(ntb_read(b, A_INDBELLSTS), ==, 1 << 7 | 1 << 9);
        ntb_assert_msi(b);
        ntb_write(b, A_INDBELLSTS, 1 << 7 | 1 << 9);
        ntb_assert_no_msi(b);
    }
    teardown();
}

/*
 * Two doorbells are pending.  A peer clears one, while @b masks the other: each
 * of them sees the level high, by what the other has not done yet, but it
 * falls.
 * When @b unmasks, it rises.
 */
static void test_clear_by_peer(void)
{
    if (!pause_possible()) {
        return;
    }
    setup();
    for (unsigned step = 0; step < 200; step = next_step(step)) {
        Pause pause;

        ring_and_take();
        ring_other();
        ntb_write(a, A_GASAADDR, ntb_gas_nt(b->port, A_INDBELLSTS));
        g_assert_true(pause_in_write(&pause, server, a, A_GASADATA, 1 << 8,
                                     &shm->slot[1].p.indbellsts, 4,
                                     PAUSE_ON_ACCESS));
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
    teardown();
}

/*
 * Stop @b, in its guest's write, after access number @n to @word.
 *
 * Returns: false when it has so many accesses not; the write is over then.
 */
static bool pause_after_access(Pause *pause, unsigned n, uint32_t offset,
                               uint32_t value, const void *word)
{
    bool paused = pause_in_write(pause, server, b, offset, value, word, 4,
                                 PAUSE_ON_ACCESS);

    while (paused && n--) {
        paused = pause_next_access(pause);
    }
    return paused;
}

/* The receiver clears one, while another is rung: only that one is left */
static void test_ring_while_clearing(void)
{
    unsigned n = 0;
    bool paused;
    Pause pause;

    if (!pause_possible()) {
        return;
    }
    setup();
    do {
        ring_and_take();
        paused = pause_after_access(&pause, n++, A_INDBELLSTS, 1 << 7,
                                    &shm->slot[1].p.indbellsts);
        ntb_write(c, A_OUTDBELLSET, 1 << 9);
        if (paused) {
            pause_end(&pause);
        }
        g_assert_cmphex(ntb_read(b, A_INDBELLSTS), ==, 1 << 9);
        ntb_write(b, A_INDBELLSTS, 1 << 9);
        ntb_settle(b->qts);
        ntb_msi_clear(b);
    } while (paused);
    g_assert_cmpuint(n, >, 1);
    teardown();
}

/* A register that two ports write at once, each some bytes of it */
static void test_two_writers(void)
{
    unsigned n = 0;
    bool paused;
    Pause pause;

    if (!pause_possible()) {
        return;
    }
    setup();
    ntb_write(a, A_GASAADDR, ntb_gas_nt(b->port, A_NTSDATA));
    do {
        ntb_write(b, A_NTSDATA, 0);
        /* Bytes 2 and 3, and two zeros for the register behind it */
        paused = pause_after_access(&pause, n++, A_NTSDATA + 2, 0x2222,
                                    &shm->slot[1].p.ntsdata);
        qtest_writeb(a->qts, a->bar0 + A_GASADATA + 1, 0xaa);
        if (paused) {
            pause_end(&pause);
        }
        g_assert_cmphex(ntb_read(b, A_NTSDATA), ==, 0x2222aa00);
    } while (paused);
    g_assert_cmpuint(n, >, 1);
    teardown();
}

/*
 * Two ports write an entry of the mapping table at once.  If that for @c was
 * there and is not any more, requests of @c that are under way have ended.
 */
static void test_mapping_table(void)
{
    uint32_t admission = FIELD_DP32(R_NTMTBLDATA_VALID_MASK, NTMTBLDATA, PART,
                                    2);
    const unsigned entry = 40;
    unsigned n = 0, lost = 0;
    bool paused;
    Pause pause;

    if (!pause_possible()) {
        return;
    }
    setup();
    g_assert_cmpuint(c->partition, ==, 2);
    ntb_write(a, A_NTMTBLADDR, entry);
    ntb_write(b, A_NTMTBLADDR, entry);
    do {
        uint32_t *epoch = &shm->slot[ntb_slot(c->port)].p.send_epoch, was;

        ntb_write(a, A_NTMTBLDATA, 0);
        was = qatomic_read(epoch);
        paused = pause_after_access(&pause, n++, A_NTMTBLDATA, 0,
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
    teardown();
}

/*
 * Death at the wrong moment
 */

static void assert_survived(NtbPort *victim_was)
{
    unsigned port = victim_was->port;
    NtbPort *again;

    ntb_kill(victim_was);
    ntb_wait(!(ntb_gas_read(a, ntb_gas_portsts(port)) &
               R_SWPORT0STS_LINKUP_MASK));
    ntb_wait(ntb_gas_read(a, A_SELINKDNSTS) & 1u << port);
    again = boot_unmasked();
    g_assert_cmpuint(again->port, ==, port);
    g_assert_cmphex(ntb_read(again, A_INDBELLSTS), ==, 0);
    g_assert_cmphex(ntb_read(again, A_MSGSTS), ==, 0);
    for (unsigned n = 0; n < IDT_NUM_DOORBELLS; n++) {
        ntb_gas_write(a, A_GIDBELLMSK0 + 4 * n, 0);
    }
    ntb_assert_talk(a, again);
    ntb_assert_talk(again, a);
    ntb_assert_talk(again, c);
    b = again;
}

static void setup_death(void)
{
    setup();
    for (unsigned n = 0; n < IDT_NUM_DOORBELLS; n++) {
        ntb_gas_write(a, A_GIDBELLMSK0 + 4 * n, 0);
    }
    for (unsigned n = 0; n < IDT_NUM_MESSAGES; n++) {
        ntb_route_message(b, n, a->partition, n);
    }
    ntb_write(a, A_NTINTSTS, UINT32_MAX);
    ntb_write(a, A_NTINTMSK, 0);
    ntb_gas_write(a, A_SELINKUPSTS, UINT32_MAX);
    ntb_gas_write(a, A_SELINKDNSTS, UINT32_MAX);
    ntb_settle(a->qts);
    ntb_msi_clear(a);
}

/* @b dies right after it has changed @word in a write of its guest */
static void die_at(const char *what, uint32_t offset, uint32_t value,
                   const void *word, unsigned size)
{
    Pause pause;

    g_test_message("death after %s", what);
    g_assert_true(pause_in_write(&pause, server, b, offset, value, word, size,
                                 PAUSE_ON_WRITE));
    pause_kill(&pause);
}

/*
 * What was set before the death is there, with its interrupt, though nobody was
 * signalled for it: it is found with the clean-up.
 */
static void test_dead_mans_doorbell(void)
{
    if (!pause_possible()) {
        return;
    }
    setup_death();
    ntb_gas_write(a, A_SEMSK, 0x3f);        /* the death itself is silent */
    die_at("doorbell", A_OUTDBELLSET, 1 << 7, &shm->slot[0].p.indbellsts, 4);
    ntb_kill(b);
    b = NULL;
    ntb_assert_msi(a);
    g_assert_cmphex(ntb_read(a, A_INDBELLSTS), ==, 1 << 7);
    g_assert_cmphex(ntb_read(a, A_NTINTSTS), ==, R_NTINTSTS_DBELL_MASK);
    teardown();
}

static void test_dead_mans_message(void)
{
    if (!pause_possible()) {
        return;
    }
    setup_death();
    ntb_gas_write(a, A_SEMSK, 0x3f);
    die_at("message", A_OUTMSG0, 0xdead, &shm->slot[0].p.inmsg[0], 8);
    ntb_kill(b);
    b = NULL;
    ntb_assert_msi(a);
    g_assert_cmphex(ntb_read(a, A_MSGSTS), ==, 1 << 16);
    g_assert_cmphex(ntb_read(a, A_INMSG0), ==, 0xdead);
    g_assert_cmphex(ntb_read(a, A_INMSGSRC0), ==, 1);
    teardown();
}

/* At each word that a guest's write or a reset changes */
static void test_die_in_write(void)
{
    IdtNtbShmPort *mine, *theirs;
    uint32_t flr = IDT_CAP_PCIE + PCI_EXP_DEVCTL;

    if (!pause_possible()) {
        return;
    }
    setup_death();
    mine = &shm->slot[1].p;
    theirs = &shm->slot[0].p;
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
        die_at(deaths[i].what, deaths[i].offset, deaths[i].value,
               deaths[i].word, 4);
        assert_survived(b);
    }
    teardown();
}

/*
 * Death in attach and detach, of a device that is plugged into a QEMU
 */

static void start_plug(QTestState *qts)
{
    ntb_device_add_send(qts, "");
}

static void die_in_plug(const char *what, const void *word)
{
    QTestState *qts = ntb_boot_root_port(server);
    NtbPort *p, *q;
    Pause pause;

    g_test_message("death after %s", what);
    pause_in_attach(&pause, server, qts, start_plug, word);
    pause_kill(&pause);
    ntb_kill_qemu(qts);
    p = ntb_boot(server, ",port=0");
    q = ntb_boot(server, ",port=2");
    ntb_assert_talk(p, q);
    ntb_assert_talk(q, p);
    ntb_quit(p);
    ntb_quit(q);
}

/* The creator of the switch dies in the middle of it */
static void test_die_in_creation(void)
{
    if (!pause_possible()) {
        return;
    }
    server = ntb_server_start();
    shm = (IdtNtbShm *)server->mem;
    /* Unlike all that is written: each store changes something */
    memset(server->mem, 0x5a, sizeof(*shm));
    die_in_plug("version", &shm->header.version);
    memset(server->mem, 0x5a, sizeof(*shm));
    die_in_plug("masks", &shm->sw.sepmsk);
    memset(server->mem, 0x5a, sizeof(*shm));
    die_in_plug("port", &shm->slot[1].p.ntintmsk);
    memset(server->mem, 0x5a, sizeof(*shm));
    die_in_plug("magic", &shm->header.magic);
    memset(server->mem, 0x5a, sizeof(*shm));
    die_in_plug("client", &shm->slot[0].p.generation);
    memset(server->mem, 0, sizeof(*shm));
    die_in_plug("link state", &shm->slot[0].p.state);
    ntb_server_stop(server);
}

/* A port is claimed beside one that is attached */
static void test_die_in_claim(void)
{
    const void *words[4];
    NtbPort *p;

    if (!pause_possible()) {
        return;
    }
    server = ntb_server_start();
    shm = (IdtNtbShm *)server->mem;
    words[0] = &shm->slot[1].p.generation;
    words[1] = &shm->slot[1].p.client;
    words[2] = &shm->slot[1].p.state;
    words[3] = &shm->sw.selinkupsts;
    a = ntb_boot(server, NULL);
    ntb_unmask_all(a);
    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++) {
        QTestState *qts = ntb_boot_root_port(server);
        Pause pause;

        ntb_gas_write(a, A_SELINKUPSTS, UINT32_MAX);
        ntb_gas_write(a, A_SELINKDNSTS, UINT32_MAX);
        shm->slot[1].p.client = 0x5a;
        pause_in_attach(&pause, server, qts, start_plug, words[i]);
        pause_kill(&pause);
        ntb_kill_qemu(qts);
        if (i == 3) {
            /* It was up for somebody */
            ntb_wait(ntb_gas_read(a, A_SELINKDNSTS) == 1 << 2);
        }
        p = ntb_boot(server, NULL);
        g_assert_cmpuint(p->port, ==, 2);
        ntb_assert_talk(a, p);
        ntb_assert_talk(p, a);
        ntb_quit(p);
        ntb_wait(!(ntb_gas_read(a, ntb_gas_portsts(2)) &
                   R_SWPORT0STS_LINKUP_MASK));
    }
    ntb_quit(a);
    ntb_server_stop(server);
}

/*
 * @c has seen that nobody holds the port of a dead process; before it cleans
 * up, somebody claims the port.
 */
static void test_claim_in_clean_up(void)
{
    Pause pause;

    if (!pause_possible()) {
        return;
    }
    setup();
    for (unsigned i = 0; i < 3; i++) {
        ntb_freeze(a);
        pause_now(&pause, c->qts);
        ntb_kill(b);
        pause_after_lock_test(&pause, offsetof(IdtNtbShm, slot[1]));
        b = ntb_boot(server, ",partitions=3");
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
        for (unsigned n = 0; n < IDT_NUM_DOORBELLS; n++) {
            ntb_gas_write(a, A_GIDBELLMSK0 + 4 * n, 0);
        }
        ntb_assert_talk(a, b);
        ntb_assert_talk(b, c);
    }
    teardown();
}

static void add_tests(void)
{
    if (!ntb_machine_is_q35()) {
        return;
    }
    qtest_add_func("/idt-ntb/race/doorbell-clear", test_doorbell_clear);
    qtest_add_func("/idt-ntb/race/other-doorbell-clear",
                   test_other_doorbell_clear);
    qtest_add_func("/idt-ntb/race/message-clear", test_message_clear);
    qtest_add_func("/idt-ntb/race/event-clear", test_event_clear);
    qtest_add_func("/idt-ntb/race/doorbell-unmask", test_doorbell_unmask);
    qtest_add_func("/idt-ntb/race/interrupt-unmask", test_interrupt_unmask);
    qtest_add_func("/idt-ntb/race/doorbell-mask", test_doorbell_mask);
    qtest_add_func("/idt-ntb/race/write-by-peer", test_write_by_peer);
    qtest_add_func("/idt-ntb/race/clear-by-peer", test_clear_by_peer);
    qtest_add_func("/idt-ntb/race/sender-late", test_sender_late);
    qtest_add_func("/idt-ntb/race/two-senders", test_two_senders);
    qtest_add_func("/idt-ntb/race/two-ringers", test_two_ringers);
    qtest_add_func("/idt-ntb/race/ring-while-clearing",
                   test_ring_while_clearing);
    qtest_add_func("/idt-ntb/race/two-writers", test_two_writers);
    qtest_add_func("/idt-ntb/race/mapping-table", test_mapping_table);
    qtest_add_func("/idt-ntb/race/dead-mans-doorbell",
                   test_dead_mans_doorbell);
    qtest_add_func("/idt-ntb/race/dead-mans-message", test_dead_mans_message);
    qtest_add_func("/idt-ntb/race/die-in-write", test_die_in_write);
    qtest_add_func("/idt-ntb/race/die-in-creation", test_die_in_creation);
    qtest_add_func("/idt-ntb/race/die-in-claim", test_die_in_claim);
    qtest_add_func("/idt-ntb/race/claim-in-clean-up", test_claim_in_clean_up);
}

libqos_init(add_tests);
