/*
 * QTest testcase for idt-ntb: stop a QEMU between two instructions
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#ifdef HOST_X86_64
#include <sys/user.h>
#endif
#include "pause.h"

#ifdef HOST_X86_64

/* Debug register 7: address register 0 is in use, for what, and how long */
#define DR7_LOCAL_0     1
#define DR7_KIND_0(on)  ((on) << 16)
#define DR7_4_BYTES_0   (3 << 18)
#define DR7_8_BYTES_0   (2 << 18)

static long set_debug_register(pid_t pid, unsigned n, uint64_t value)
{
    return ptrace(PTRACE_POKEUSER, pid,
                  offsetof(struct user, u_debugreg) + n * sizeof(long), value);
}

static long watch(pid_t pid, uint64_t address, unsigned size, PauseOn on)
{
    set_debug_register(pid, 7, 0);
    set_debug_register(pid, 0, address);
    return set_debug_register(pid, 7, DR7_LOCAL_0 | DR7_KIND_0(on) |
                              (size == 8 ? DR7_8_BYTES_0 : DR7_4_BYTES_0));
}

static void unwatch(pid_t pid)
{
    set_debug_register(pid, 7, 0);
}

/* True when @pid is in a system call that tests the lock of byte @offset */
static bool tests_lock(pid_t pid, uint64_t offset)
{
    struct user_regs_struct regs;
    uint64_t start;

    g_assert_cmpint(ptrace(PTRACE_GETREGS, pid, 0, &regs), ==, 0);
    if (regs.orig_rax != SYS_fcntl || regs.rsi != F_OFD_GETLK) {
        return false;
    }
    start = ptrace(PTRACE_PEEKDATA, pid,
                   regs.rdx + offsetof(struct flock, l_start), 0);
    return start == offset;
}

#else

static bool tests_lock(pid_t pid, uint64_t offset)
{
    return false;
}

static long watch(pid_t pid, uint64_t address, unsigned size, PauseOn on)
{
    return -1;
}

static void unwatch(pid_t pid)
{
}

#endif

static void attach(pid_t pid)
{
    int status;

    g_assert_cmpint(ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD), ==, 0);
    g_assert_cmpint(ptrace(PTRACE_INTERRUPT, pid, 0, 0), ==, 0);
    g_assert_cmpint(waitpid(pid, &status, __WALL), ==, pid);
}

static void detach(pid_t pid)
{
    unwatch(pid);
    g_assert_cmpint(ptrace(PTRACE_DETACH, pid, 0, 0), ==, 0);
}

bool pause_possible(void)
{
    static int possible = -1;
    static uint64_t word;
    int status;
    pid_t pid;

    if (possible < 0) {
        pid = ntb_fork();
        if (!pid) {
            pause();
            _exit(0);
        }
        possible = ptrace(PTRACE_SEIZE, pid, 0, 0) == 0 &&
                   ptrace(PTRACE_INTERRUPT, pid, 0, 0) == 0 &&
                   waitpid(pid, &status, __WALL) == pid &&
                   watch(pid, (uintptr_t)&word, 8, PAUSE_ON_WRITE) == 0;
        kill(pid, SIGKILL);
        waitpid(pid, &status, __WALL);
    }
    if (!possible) {
        g_test_skip("this host has no ptrace with hardware watchpoints");
    }
    return possible;
}

/* Where @pid has the shared memory, or 0 */
static uint64_t find_mapping(pid_t pid, NtbServer *server)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/maps", pid);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    lines = g_strsplit(text, "\n", 0);
    for (unsigned i = 0; lines[i]; i++) {
        if (strstr(lines[i], server->shm_name + 1)) {
            return g_ascii_strtoull(lines[i], NULL, 16);
        }
    }
    return 0;
}

static uint64_t load(const void *word, unsigned size)
{
    return size == 8 ? qatomic_read((const uint64_t *)word)
                     : qatomic_read((const uint32_t *)word);
}

/* Is the write over, though QEMU was not stopped? */
static bool is_over(Pause *pause)
{
    int status;

    if (pause->writer && waitpid(pause->writer, &status, WNOHANG) > 0) {
        g_assert_cmpint(status, ==, 0);
        pause->writer = 0;
        return true;
    }
    return false;
}

/*
 * Until QEMU stops, by itself or by a signal.
 *
 * Returns: the signal; 0 when it is over.
 */
static int wait_stop(Pause *pause)
{
    int64_t end = g_get_monotonic_time() + NTB_DEADLINE_US;
    int status;

    while (waitpid(pause->qemu, &status, __WALL | WNOHANG) != pause->qemu) {
        if (is_over(pause)) {
            return 0;
        }
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(20);
    }
    g_assert_true(WIFSTOPPED(status));
    return WSTOPSIG(status);
}

/* QEMU runs to its end of this without being stopped */
static bool run_away(Pause *pause)
{
    int status;

    ptrace(PTRACE_INTERRUPT, pause->qemu, 0, 0);
    g_assert_cmpint(waitpid(pause->qemu, &status, __WALL), ==, pause->qemu);
    detach(pause->qemu);
    return false;
}

/* Run until the watchpoint is hit in the way that is asked for */
static bool run_to_access(Pause *pause, const void *word, unsigned size,
                          PauseOn on, uint64_t before)
{
    int signo = 0;

    for (;;) {
        g_assert_cmpint(ptrace(PTRACE_CONT, pause->qemu, 0, signo), ==, 0);
        signo = wait_stop(pause);
        if (!signo) {
            return run_away(pause);
        }
        if (signo == SIGTRAP) {
            if (on == PAUSE_ON_ACCESS || load(word, size) != before) {
                unwatch(pause->qemu);
                return true;
            }
            signo = 0;
        }
    }
}

bool pause_in_write(Pause *pause, NtbServer *server, NtbPort *p,
                    uint32_t offset, uint32_t value, const void *word,
                    unsigned size, PauseOn on)
{
    uint64_t before = load(word, size);

    *pause = (Pause) {
        .qemu = qtest_pid(p->qts),
        .word = word,
        .size = size,
    };
    attach(pause->qemu);
    pause->watched = find_mapping(pause->qemu, server) +
                     ((uint8_t *)word - server->mem);
    g_assert_cmpint(watch(pause->qemu, pause->watched, size, on), ==, 0);
    pause->writer = ntb_fork();
    if (!pause->writer) {
        ntb_write(p, offset, value);
        _exit(0);
    }
    return run_to_access(pause, word, size, on, before);
}

bool pause_next_access(Pause *pause)
{
    g_assert_cmpint(watch(pause->qemu, pause->watched, pause->size,
                          PAUSE_ON_ACCESS), ==, 0);
    return run_to_access(pause, pause->word, pause->size, PAUSE_ON_ACCESS, 0);
}

/* System call by system call until the memory is mapped */
static void run_to_mapping(Pause *pause, NtbServer *server)
{
    int signo = 0;

    while (!find_mapping(pause->qemu, server)) {
        g_assert_cmpint(ptrace(PTRACE_SYSCALL, pause->qemu, 0, signo), ==, 0);
        signo = wait_stop(pause);
        if (signo == (SIGTRAP | 0x80) || signo == SIGTRAP) {
            signo = 0;
        }
    }
}

void pause_in_attach(Pause *pause, NtbServer *server, QTestState *qts,
                     void (*plug)(QTestState *qts), const void *word)
{
    uint64_t before;

    *pause = (Pause) { .qemu = qtest_pid(qts) };
    attach(pause->qemu);
    plug(qts);
    run_to_mapping(pause, server);
    before = load(word, 4);
    pause->watched = find_mapping(pause->qemu, server) +
                     ((uint8_t *)word - server->mem);
    g_assert_cmpint(watch(pause->qemu, pause->watched, 4, PAUSE_ON_WRITE), ==,
                    0);
    g_assert_true(run_to_access(pause, word, 4, PAUSE_ON_WRITE, before));
}

void pause_now(Pause *pause, QTestState *qts)
{
    *pause = (Pause) { .qemu = qtest_pid(qts) };
    attach(pause->qemu);
}

static int run_to_syscall(Pause *pause, int signo)
{
    g_assert_cmpint(ptrace(PTRACE_SYSCALL, pause->qemu, 0, signo), ==, 0);
    return wait_stop(pause);
}

void pause_after_lock_test(Pause *pause, uint64_t offset)
{
    int64_t end = g_get_monotonic_time() + NTB_DEADLINE_US;
    int signo = 0;

    do {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        signo = run_to_syscall(pause, signo);
        if (signo == (SIGTRAP | 0x80) || signo == SIGTRAP) {
            signo = 0;
        }
    } while (signo || !tests_lock(pause->qemu, offset));
    /* That was its start; the other stop is its end */
    g_assert_cmpint(run_to_syscall(pause, 0), ==, SIGTRAP | 0x80);
}

void pause_step(Pause *pause, unsigned instructions)
{
    int signo = 0;

    while (instructions--) {
        g_assert_cmpint(ptrace(PTRACE_SINGLESTEP, pause->qemu, 0, signo), ==,
                        0);
        signo = wait_stop(pause);
        if (!signo) {
            /* The write is done; what is left to step does not matter */
            g_assert_cmpint(ptrace(PTRACE_INTERRUPT, pause->qemu, 0, 0), ==, 0);
            g_assert_cmpint(waitpid(pause->qemu, NULL, __WALL), ==,
                            pause->qemu);
            return;
        }
        if (signo == SIGTRAP) {
            signo = 0;
        }
    }
}

static void reap_writer(Pause *pause, bool must_succeed)
{
    int status;

    if (pause->writer) {
        ntb_wait(waitpid(pause->writer, &status, WNOHANG) == pause->writer);
        g_assert_true(status == 0 || !must_succeed);
        pause->writer = 0;
    }
}

void pause_end(Pause *pause)
{
    detach(pause->qemu);
    reap_writer(pause, true);
}

void pause_kill(Pause *pause)
{
    kill(pause->qemu, SIGKILL);
    reap_writer(pause, false);
}
