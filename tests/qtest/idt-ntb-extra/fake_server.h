/*
 * QTest testcase for idt-ntb: an ivshmem-server that does what a test says
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_QTEST_IDT_NTB_FAKE_SERVER_H
#define TESTS_QTEST_IDT_NTB_FAKE_SERVER_H

#include "idt-ntb/fixture.h"

#define FAKE_CLIENTS 4

typedef struct FakeServer FakeServer;

/* Runs in a thread of its own for each client that connects */
typedef void FakeScript(FakeServer *fake, int client);

struct FakeServer {
    NtbServer base;             /* socket and memory, for ntb_boot() */
    FakeScript *script;
    const void *data;           /* of the script */
    int listener;
    int shm_fd;
    int eventfds[FAKE_CLIENTS]; /* of the clients, in order of their ids */
    int sockets[FAKE_CLIENTS];  /* of those that fake_serve() serves */
    unsigned clients;           /* how many have come */
    unsigned silent;            /* a bit per client that is told of no other */
    GThread *thread;
    GMutex lock;                /* of sockets and clients */
};

FakeServer *fake_server_start(FakeScript *script, const void *data);

/*
 * The same with a socket that has a name but no file.  @tight: the name fills
 * its address as far as it goes, else to the end with zeros.
 */
FakeServer *fake_server_start_abstract(FakeScript *script, const void *data,
                                       bool tight);

/* Start it as the server of @f, which also stops it */
FakeServer *fake_server_prepare(NtbFixture *f, FakeScript *script,
                                const void *data);

/* The server of @f, which is a fake one */
static inline FakeServer *fake_of(NtbFixture *f)
{
    return container_of(f->server, FakeServer, base);
}

/* All clients must have gone */
void fake_server_stop(FakeServer *fake);

/* One message; @fd < 0: without a descriptor */
void fake_send(int client, int64_t value, int fd);

/* Send its bytes one by one, @fd with byte @at */
void fake_send_bytes(int client, int64_t value, int fd, unsigned at);

/* Send any bytes */
void fake_send_raw(int client, const void *data, size_t len, int fd);

/* Wait until the client has gone */
void fake_wait_close(int client);

/*
 * The script of a good server.  Clients get the ids 0, 1, 2, ...  It goes on
 * until the client leaves; the test may say more through sockets[id].
 */
void fake_serve(FakeServer *fake, int client);

/* Return true when the chardev "ntb" has a connection */
bool fake_is_connected(QTestState *qts);

/* Wait until the client has read and served all that was sent to it */
void fake_settle(FakeServer *fake, unsigned id, NtbPort *p);

#endif
