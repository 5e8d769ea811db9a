/*
 * QTest testcase for idt-ntb: the test as the owner of a port
 *
 * A QEMU has port 0 of a 89HPES24NT6AG2 with two ports; the test is the process
 * that has port 2, in partition 1, and says and does what it likes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_QTEST_IDT_NTB_FAKE_PORT_H
#define TESTS_QTEST_IDT_NTB_FAKE_PORT_H

#include "hw/misc/idt_ntb/shm.h"
#include "fake_server.h"
#include "idt-ntb/window.h"

typedef struct FakePort {
    FakeServer *server;
    IdtNtbShm *shm;
    NtbPort *a;                 /* the QEMU, client 0 */
    uint64_t base;              /* its BAR1: a window onto us */
    int lock;                   /* holds the lock of our port */
    void *claim;                /* mapped, as the owner of a port does */
    GThread *receiver;
    bool quit;                  /* tells the receiver to end */
} FakePort;

/* Start QEMU with @props and take port 2, link up and bus master set */
void fake_port_start(FakePort *f, const char *props);
void fake_port_stop(FakePort *f);

/* The same at @server, for QEMU @a that has started */
void fake_port_join(FakePort *f);

/* Map the claim of our port, or take it back */
void fake_port_claim(FakePort *f);
void fake_port_disclaim(FakePort *f);

/* The mailboxes from the QEMU and to it */
IdtNtbShmMailbox *fake_port_inbox(FakePort *f);
IdtNtbShmMailbox *fake_port_outbox(FakePort *f);

/* Start a thread that takes all requests and answers reads as without RAM */
void fake_port_receive(FakePort *f);
void fake_port_receive_stop(FakePort *f);

/* Lock the byte of the port at @slot through an own descriptor: 0 or -1 */
int fake_port_lock(FakePort *f, unsigned slot, short type);

/* The same through @fd, of the memory */
int fake_port_lock_by(FakePort *f, int fd, unsigned slot, short type);

IdtNtbShmPort *fake_port_block(FakePort *f);
IdtNtbShmMemory *fake_port_table(FakePort *f);

/*
 * Publish one piece of RAM.  @pid 0: our own; @lock_fd < 0: the one that holds
 * the lock.
 */
void fake_port_publish(FakePort *f, pid_t pid, int lock_fd,
                       const IdtNtbShmRam *ram);

/* Take the port again after a time without its lock, when QEMU may reap it */
void fake_port_revive(FakePort *f);

/* Wake the QEMU */
void fake_port_signal(FakePort *f);

#endif
