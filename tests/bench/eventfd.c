/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The least that two processes on two CPUs need to wake each other up and
 * back: a ping-pong of two eventfds, each process waiting in read().
 *
 *   eventfd MILLISECONDS
 *
 * Prints the nanoseconds of a round trip.
 */

#define _GNU_SOURCE
#include <err.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { GO = 1, END = 2 };

/* Run on the Nth of the CPUs that we may use, or on the last of them. */
static void pin(int n)
{
    cpu_set_t all, one;

    sched_getaffinity(0, sizeof(all), &all);
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && n >= 0; cpu++) {
        if (CPU_ISSET(cpu, &all)) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            n--;
        }
    }
    if (sched_setaffinity(0, sizeof(one), &one)) {
        err(1, "cannot choose a CPU");
    }
}

static void put(int fd, uint64_t value)
{
    if (write(fd, &value, sizeof(value)) != sizeof(value)) {
        err(1, "write");
    }
}

static uint64_t get(int fd)
{
    uint64_t value;

    if (read(fd, &value, sizeof(value)) != sizeof(value)) {
        err(1, "read");
    }
    return value;
}

static double now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e9 + now.tv_nsec;
}

int main(int argc, char **argv)
{
    int there = eventfd(0, 0), back = eventfd(0, 0);
    double begin, now, end;
    unsigned long trips = 0;
    pid_t child;

    if (argc != 2 || there < 0 || back < 0) {
        errx(2, "usage: eventfd MILLISECONDS");
    }
    child = fork();
    if (child < 0) {
        err(1, "fork");
    }
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pin(1);
        while (get(there) == GO) {
            put(back, GO);
        }
        return 0;
    }
    pin(0);
    /* The first trips find both processes where they were started */
    for (int i = 0; i < 100; i++) {
        put(there, GO);
        get(back);
    }
    begin = now_ns();
    end = begin + atof(argv[1]) * 1e6;
    do {
        for (int i = 0; i < 16; i++, trips++) {
            put(there, GO);
            get(back);
        }
        now = now_ns();
    } while (now < end);
    printf("%.1f\n", (now - begin) / trips);
    put(there, END);
    waitpid(child, NULL, 0);
    return 0;
}
