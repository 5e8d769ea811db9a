/*
 * QTest testcase for idt-ntb: an ivshmem-server that does what a test says
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_QTEST_IDT_NTB_FAKE_SERVER_H
#define TESTS_QTEST_IDT_NTB_FAKE_SERVER_H

#include "harness.h"

typedef struct FakeServer FakeServer;

/* Runs in a thread of its own for each client that connects */
typedef void FakeScript(FakeServer *fake, int client);

struct FakeServer {
    NtbServer base;             /* socket and memory, for ntb_boot() */
    FakeScript *script;
    const void *data;           /* of the script */
    int listener;
    int shm_fd;
    int eventfds[4];            /* of the clients, in order of their ids */
    unsigned clients;           /* how many have come */
    GThread *thread;
    GMutex lock;                /* of step */
    GCond changed;
    unsigned step;
};

FakeServer *fake_server_start(FakeScript *script, const void *data);

/* All clients must have gone */
void fake_server_stop(FakeServer *fake);

/* Let the script go on to @step, and in the script: wait for that */
void fake_server_step(FakeServer *fake, unsigned step);
void fake_server_await(FakeServer *fake, unsigned step);

/* One message; @fd < 0: without a descriptor */
void fake_send(int client, int64_t value, int fd);

/* Its bytes one by one, @fd with byte @at */
void fake_send_bytes(int client, int64_t value, int fd, unsigned at);

/* Anything */
void fake_send_raw(int client, const void *data, size_t len, int fd);

/* What a good server says first, for client id @id */
void fake_greet(FakeServer *fake, int client, unsigned id);

/* Until the client has gone */
void fake_wait_close(int client);

#endif
