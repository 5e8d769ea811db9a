/*
 * IDT 89HPESxNTx PCIe switch: client of the ivshmem-server
 *
 * Connect to the server by its protocol (docs/specs/ivshmem-spec.rst), which
 * sends the shared memory and one eventfd for each client.  A client id names
 * an eventfd, not a port: the server does not use an id twice, so a QEMU that
 * connects again gets a new one.
 *
 * Call all functions with the BQL held, from the main loop or a vCPU.  Only
 * idt_ntb_server_connect() waits, up to a limit.  The others do not block,
 * except as untrusted_fd.h says.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_SERVER_H
#define HW_MISC_IDT_NTB_SERVER_H

#include "chardev/char-fe.h"
#include "untrusted_fd.h"

/* The server counts clients in 16 bits. */
#define IDT_NTB_MAX_CLIENT_ID UINT16_MAX

/*
 * Called from the main loop with the BQL held.  Only @signalled may raise an
 * interrupt.  The others are called while a message of the server is processed,
 * and the guest can react to an interrupt by unplugging this device.
 */
typedef struct IdtNtbServerOps {
    /* Another client signalled our eventfd; its counter is cleared. */
    void (*signalled)(void *opaque);
    /* The eventfd of client @id arrived.  Earlier signals did not reach it. */
    void (*joined)(void *opaque, unsigned id);
    /* The server says that client @id has left. */
    void (*left)(void *opaque, unsigned id);
    /* The server closed the connection.  Known eventfds stay usable. */
    void (*server_lost)(void *opaque);
    /*
     * The handshake with a new server is complete.  @id, @shm_fd and all
     * eventfds are new; signals since the old server left were lost.
     *
     * Returns: true; or false with @errp set to end the connection.  A chardev
     * that reconnects tries again.
     */
    bool (*server_ready)(void *opaque, Error **errp);
} IdtNtbServerOps;

/* The message that is expected next. */
typedef enum IdtNtbServerState {
    IDT_NTB_SERVER_CLOSED,      /* none */
    IDT_NTB_SERVER_VERSION,     /* the protocol version */
    IDT_NTB_SERVER_ID,          /* our client id */
    IDT_NTB_SERVER_SHM,         /* the descriptor of the shared memory */
    IDT_NTB_SERVER_EVENTFD,     /* our eventfd, or that of another client */
    IDT_NTB_SERVER_READY,       /* a client that joins or leaves */
} IdtNtbServerState;

typedef struct IdtNtbServer {
    const IdtNtbServerOps *ops;
    void *opaque;
    CharBackend *chr;
    IdtNtbServerState state;
    bool started;               /* idt_ntb_server_start() was called */
    bool failure_told;          /* do not report a further failure */
    Error *error;               /* why the handshake in realize failed */

    uint8_t msg[8];             /* the message that is being received */
    unsigned msg_len;           /* bytes received of it */
    int msg_fd;                 /* descriptor that came with it, or -1 */

    unsigned id;                /* our client id */
    int shm_fd;                 /* the shared memory */
    int eventfd;                /* ours */
    GHashTable *clients;        /* the others: client id -> Client */
    IdtNtbSignaller *signaller;

    unsigned timeout_ms;
    QEMUTimer *timer;           /* limits a handshake in the main loop */
} IdtNtbServer;

/*
 * Connect @chr to its server, unless it is connected, and read the handshake.
 * Wait up to @timeout_ms milliseconds for each of the two.  On success @id and
 * @shm_fd are valid; no callback is called before idt_ntb_server_start().
 *
 * Returns: true; or false with @errp set and nothing left open.
 */
bool idt_ntb_server_connect(IdtNtbServer *server, CharBackend *chr,
                            const IdtNtbServerOps *ops, void *opaque,
                            unsigned timeout_ms, Error **errp);

/* Let the main loop serve the connection and our eventfd. */
void idt_ntb_server_start(IdtNtbServer *server);

/* Signal all other clients. */
void idt_ntb_server_signal_all(IdtNtbServer *server);

/*
 * Signal client @id, which counts in @looks how often it has looked.  Do
 * nothing if it has not looked since our last signal: that one is unread, and
 * the client will see what was stored before this call.  Do nothing if its
 * eventfd is not known: it has left, or it will be announced by @joined.
 */
void idt_ntb_server_signal(IdtNtbServer *server, unsigned id,
                           const uint32_t *looks);

/* Return true while the eventfd of client @id, another one, is known. */
bool idt_ntb_server_knows(const IdtNtbServer *server, unsigned id);

/* Return true while a server is connected and the handshake is complete. */
bool idt_ntb_server_is_connected(const IdtNtbServer *server);

/* End the connection and close all descriptors.  May be called twice. */
void idt_ntb_server_disconnect(IdtNtbServer *server);

#endif
