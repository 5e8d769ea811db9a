/*
 * IDT 89HPESxNTx PCIe switch: client of the ivshmem-server
 *
 * Speaks the server's protocol (docs/specs/ivshmem-spec.rst) and keeps the
 * eventfds of the other clients.  Client ids name eventfds, never ports: the
 * server does not use an id again, so a restarted guest gets a new one.
 *
 * All functions are called from the main loop or a vCPU, with the BQL held.
 * Nothing here waits without a bound.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_SERVER_H
#define HW_MISC_IDT_NTB_SERVER_H

#include "chardev/char-fe.h"
#include "eventfd.h"

/* The server counts clients in 16 bits. */
#define IDT_NTB_MAX_CLIENT_ID UINT16_MAX

/*
 * Called from the main loop, with the BQL held.  All but @signalled are called
 * in the middle of work on the connection: they must not raise an interrupt,
 * since what a guest makes of it can be the unplug of this device.
 */
typedef struct IdtNtbServerOps {
    /* The own eventfd was signalled; its counter is cleared already. */
    void (*signalled)(void *opaque);
    /* The eventfd of client @id has come: earlier signals did not reach it. */
    void (*joined)(void *opaque, unsigned id);
    /* The server says that client @id has gone. */
    void (*left)(void *opaque, unsigned id);
    /* The server has gone.  Known eventfds stay usable. */
    void (*server_lost)(void *opaque);
    /*
     * The handshake with a new server is over: @id, @shm_fd and all eventfds
     * are new, and signals of the time in between were lost.  On failure the
     * connection is given up; a chardev that reconnects tries again.
     */
    bool (*server_ready)(void *opaque, Error **errp);
} IdtNtbServerOps;

typedef enum IdtNtbServerState {
    IDT_NTB_SERVER_CLOSED,
    IDT_NTB_SERVER_VERSION,      /* waiting for the protocol version */
    IDT_NTB_SERVER_ID,           /* ... for the own client id */
    IDT_NTB_SERVER_SHM,          /* ... for the descriptor of the memory */
    IDT_NTB_SERVER_EVENTFD,      /* ... for the own eventfd, others' before it */
    IDT_NTB_SERVER_READY,
} IdtNtbServerState;

typedef struct IdtNtbServer {
    const IdtNtbServerOps *ops;
    void *opaque;
    CharBackend *chr;
    IdtNtbServerState state;
    bool started;               /* handlers are in the main context */
    bool failure_told;          /* by this server or by the last one */
    Error *error;               /* why the handshake failed */

    uint8_t msg[8];             /* the message that is being received */
    unsigned msg_len;
    int msg_fd;

    unsigned id;                /* own client id */
    int shm_fd;                 /* as received: shared by all clients */
    int eventfd;                /* own */
    GHashTable *eventfds;       /* client id -> descriptor, of the others */
    IdtNtbSignaller *signaller;

    unsigned timeout_ms;
    QEMUTimer *timer;           /* bounds a handshake in the main loop */
} IdtNtbServer;

/*
 * Connects @chr to its server if it is not, and reads the handshake.  Waits
 * up to @timeout_ms for it.  On success @id and @shm_fd are valid; no callback
 * is called before idt_ntb_server_start().
 *
 * Returns: true, or false with @errp set and nothing left open.
 */
bool idt_ntb_server_connect(IdtNtbServer *peers, CharBackend *chr,
                           const IdtNtbServerOps *ops, void *opaque,
                           unsigned timeout_ms, Error **errp);

/* Lets the main loop serve the connection and the own eventfd. */
void idt_ntb_server_start(IdtNtbServer *peers);

/* Signals all other clients. */
void idt_ntb_server_signal_all(IdtNtbServer *peers);

/*
 * Signals client @id.  A client that is not known (any more, or not yet) is
 * skipped: @joined tells when its eventfd comes.  Never blocks.
 */
void idt_ntb_server_signal(IdtNtbServer *peers, unsigned id);

/* True while the eventfd of client @id, another one, is known. */
bool idt_ntb_server_knows(const IdtNtbServer *peers, unsigned id);

/* True while a server is connected. */
bool idt_ntb_server_have_server(const IdtNtbServer *peers);

/* Ends the connection and closes all descriptors. */
void idt_ntb_server_disconnect(IdtNtbServer *peers);

#endif
