/*
 * QTest testcase for idt-ntb: stop a QEMU between two instructions
 *
 * QEMU is made to execute an mprotect() that takes the permissions of the page
 * with the word away, in QEMU alone.  At each fault the page has them back for
 * the one instruction that faulted.  Only the main thread is traced: under
 * qtest no other one runs the device.  A system call that is given memory of
 * the switch would fail; the device makes none.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <elf.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include "extra.h"
#include "pause.h"

#define SYSCALL_STOP    (SIGTRAP | 0x80)        /* PTRACE_O_TRACESYSGOOD */

/*
 * What depends on the host
 */

#if defined(HOST_X86_64)

typedef struct user_regs_struct Regs;

static const uint8_t syscall_insn[] = { 0x0f, 0x05 };
#define INSN_ALIGN      1

static void set_syscall(Regs *regs, uint64_t pc, const uint64_t call[4])
{
    regs->rip = pc;
    regs->orig_rax = -1;        /* no other system call is to be restarted */
    regs->rax = call[0];
    regs->rdi = call[1];
    regs->rsi = call[2];
    regs->rdx = call[3];
}

static uint64_t syscall_result(const Regs *regs)
{
    return regs->rax;
}

#elif defined(HOST_AARCH64)

typedef struct user_regs_struct Regs;

static const uint8_t syscall_insn[] = { 0x01, 0x00, 0x00, 0xd4 };
#define INSN_ALIGN      4

static void set_syscall(Regs *regs, uint64_t pc, const uint64_t call[4])
{
    regs->pc = pc;
    regs->regs[8] = call[0];
    regs->regs[0] = call[1];
    regs->regs[1] = call[2];
    regs->regs[2] = call[3];
}

static uint64_t syscall_result(const Regs *regs)
{
    return regs->regs[0];
}

#else

/* pause_possible() says that there is nothing for this host */
typedef struct Regs {
    uint64_t none;
} Regs;

static const uint8_t syscall_insn[] = { 0 };
#define INSN_ALIGN      1

static void set_syscall(Regs *regs, uint64_t pc, const uint64_t call[4])
{
    g_assert_not_reached();
}

static uint64_t syscall_result(const Regs *regs)
{
    g_assert_not_reached();
}

#endif

static void get_regs(pid_t pid, Regs *regs)
{
    struct iovec iov = { regs, sizeof(*regs) };

    g_assert_cmpint(ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &iov), ==, 0);
    g_assert_cmpuint(iov.iov_len, ==, sizeof(*regs));
}

static void set_regs(pid_t pid, Regs *regs)
{
    struct iovec iov = { regs, sizeof(*regs) };

    g_assert_cmpint(ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &iov), ==, 0);
}

/*
 * Stop and go
 */

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
 * Wait until QEMU stops, and keep the signal that stopped it for later.
 *
 * Returns: the signal, in the upper bits what else ptrace() knows; 0 when it
 * @may_end and the write is over.
 */
static int wait_stop(Pause *pause, bool may_end)
{
    int64_t end = g_get_monotonic_time() + NTB_DEADLINE_US;
    int status;

    while (waitpid(pause->qemu, &status, __WALL | WNOHANG) != pause->qemu) {
        if (may_end && is_over(pause)) {
            return 0;
        }
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(20);
    }
    g_assert_true(WIFSTOPPED(status));
    status >>= 8;
    if (status < SYSCALL_STOP && status != SIGTRAP) {
        pause->signo = status;
    }
    return status;
}

/* Let QEMU go on until it stops.  Returns: as above */
static int resume(Pause *pause, int request, bool may_end)
{
    int signo = pause->signo;

    pause->signo = 0;
    g_assert_cmpint(ptrace(request, pause->qemu, 0, signo), ==, 0);
    return wait_stop(pause, may_end);
}

#ifdef HOST_AARCH64

#define BRK             0xd4200000
#define STORE_EXCLUSIVE 0x08000000
#define LOAD_EXCLUSIVE  0x08400000
#define EXCLUSIVE_MASK  0x3fe00000

static uint32_t read_insn(pid_t pid, uint64_t pc)
{
    return ptrace(PTRACE_PEEKTEXT, pid, pc, 0);
}

static void write_insn(pid_t pid, uint64_t pc, uint32_t insn)
{
    uint64_t rest = ptrace(PTRACE_PEEKTEXT, pid, pc, 0) & ~(uint64_t)UINT32_MAX;

    g_assert_cmpint(ptrace(PTRACE_POKETEXT, pid, pc, rest | insn), ==, 0);
}

/*
 * Is QEMU in a loop of a load-exclusive and a store-exclusive?
 *
 * Returns: the end of the loop, behind the branch after the store; else 0.
 */
static uint64_t exclusive_end(pid_t pid)
{
    uint32_t kind;
    Regs regs;

    get_regs(pid, &regs);
    kind = read_insn(pid, regs.pc) & EXCLUSIVE_MASK;
    if (kind != LOAD_EXCLUSIVE && kind != STORE_EXCLUSIVE) {
        return 0;
    }
    while ((read_insn(pid, regs.pc) & EXCLUSIVE_MASK) != STORE_EXCLUSIVE) {
        regs.pc += 4;
    }
    return regs.pc + 8;
}

/* Single steps never get through such a loop: run to a breakpoint behind it */
static int step_once(Pause *pause, bool may_end)
{
    uint64_t end = exclusive_end(pause->qemu);
    uint32_t insn;
    int stop;

    if (!end) {
        return resume(pause, PTRACE_SINGLESTEP, may_end);
    }
    insn = read_insn(pause->qemu, end);
    write_insn(pause->qemu, end, BRK);
    stop = resume(pause, PTRACE_CONT, false);
    write_insn(pause->qemu, end, insn);
    return stop;
}

#else

static int step_once(Pause *pause, bool may_end)
{
    return resume(pause, PTRACE_SINGLESTEP, may_end);
}

#endif

/* Forget the fault, if it is in the page, and tell where it was; else 0 */
static uint64_t take_fault(Pause *pause, int stop)
{
    uint64_t address;
    siginfo_t info;

    if (stop != SIGSEGV) {
        return 0;
    }
    g_assert_cmpint(ptrace(PTRACE_GETSIGINFO, pause->qemu, 0, &info), ==, 0);
    address = (uintptr_t)info.si_addr;
    if ((address ^ pause->watched) & -(uint64_t)qemu_real_host_page_size()) {
        return 0;
    }
    pause->signo = 0;
    return address;
}

/*
 * Execute one instruction, without the handler of a signal before it.  A fault
 * of before can be reported now, if QEMU was interrupted at that moment: the
 * instruction that faulted is executed again.
 *
 * Returns: false when it @may_end and the write is over; QEMU runs.
 */
static bool step(Pause *pause, bool may_end)
{
    int held = pause->signo;
    int stop;

    do {
        pause->signo = 0;
        stop = step_once(pause, may_end);
        g_assert_true(stop != SIGSEGV || take_fault(pause, stop));
        held = pause->signo ?: held;
    } while (stop && stop != SIGTRAP);
    pause->signo = held;
    return stop;
}

/* Stop QEMU.  Returns: as wait_stop(); it may have stopped by itself */
static int interrupt(Pause *pause)
{
    g_assert_cmpint(ptrace(PTRACE_INTERRUPT, pause->qemu, 0, 0), ==, 0);
    return wait_stop(pause, false);
}

/* libqtest would wait for a QEMU that is stopped */
static void kill_stopped(void *opaque)
{
    Pause *pause = opaque;

    kill(pause->qemu, SIGKILL);
}

static void attach(Pause *pause)
{
    qtest_add_abrt_handler(kill_stopped, pause);
    g_assert_cmpint(ptrace(PTRACE_SEIZE, pause->qemu, 0,
                           PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL), ==, 0);
    interrupt(pause);
}

static void detach(Pause *pause)
{
    g_assert_cmpint(ptrace(PTRACE_DETACH, pause->qemu, 0, pause->signo), ==, 0);
    qtest_remove_abrt_handler(pause);
}

/*
 * The page that is watched
 */

/*
 * Where @pid has the beginning of the file @name mapped.
 *
 * Returns: the size of the mapping; 0 if there is none.
 */
static uint64_t find_mapping(pid_t pid, const char *name, uint64_t *start)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/maps", pid);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    char *end;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    lines = g_strsplit(text, "\n", 0);
    for (unsigned i = 0; lines[i]; i++) {
        if (strstr(lines[i], name) && strstr(lines[i], " 00000000 ")) {
            *start = g_ascii_strtoull(lines[i], &end, 16);
            return g_ascii_strtoull(end + 1, NULL, 16) - *start;
        }
    }
    return 0;
}

/* Where @pid has an instruction for system calls; the vDSO must have one */
static uint64_t find_syscall_insn(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/mem", pid);
    uint64_t start, size = find_mapping(pid, "[vdso]", &start);
    g_autofree uint8_t *code = g_malloc(size);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    g_assert_cmpint(pread(fd, code, size, start), ==, size);
    close(fd);
    for (uint64_t i = 0; i + sizeof(syscall_insn) <= size; i += INSN_ALIGN) {
        if (!memcmp(code + i, syscall_insn, sizeof(syscall_insn))) {
            return start + i;
        }
    }
    g_assert_not_reached();
}

/* Give the page these permissions */
static void protect(Pause *pause, int prot)
{
    uint64_t page = pause->watched & -(uint64_t)qemu_real_host_page_size();
    const uint64_t call[] = {
        SYS_mprotect, page, qemu_real_host_page_size(), prot
    };
    Regs before, regs;

    get_regs(pause->qemu, &before);
    regs = before;
    set_syscall(&regs, pause->syscall_insn, call);
    set_regs(pause->qemu, &regs);
    step(pause, false);
    get_regs(pause->qemu, &regs);
    g_assert_cmpint(syscall_result(&regs), ==, 0);
    set_regs(pause->qemu, &before);
}

/* QEMU runs to its end of this without being stopped */
static bool run_away(Pause *pause)
{
    take_fault(pause, interrupt(pause));
    protect(pause, PROT_READ | PROT_WRITE);
    detach(pause);
    return false;
}

/* Run until the word is accessed in the way that is asked for */
static bool run_to_access(Pause *pause, PauseOn on)
{
    int64_t end = g_get_monotonic_time() + NTB_DEADLINE_US;

    for (;;) {
        uint64_t address, before;
        int stop;

        g_assert_cmpint(g_get_monotonic_time(), <, end);
        protect(pause, on == PAUSE_ON_WRITE ? PROT_READ : PROT_NONE);
        stop = resume(pause, PTRACE_CONT, true);
        if (!stop) {
            return run_away(pause);
        }
        address = take_fault(pause, stop);
        protect(pause, PROT_READ | PROT_WRITE);
        if (!address) {
            continue;
        }
        before = load(pause->word, pause->size);
        step(pause, false);
        if (on == PAUSE_ON_WRITE ? load(pause->word, pause->size) != before
                                 : address - pause->watched < pause->size) {
            return true;
        }
    }
}

/*
 * Is it possible?  It is tried.
 */

/* The child does something to the page all the time */
static void change_words(uint64_t *words)
{
    for (unsigned i = 0;; i++) {
        qatomic_inc(&words[i % 8]);
        g_usleep(10);
    }
}

static void stop_at_third_word(void)
{
    uint64_t *words = mmap(NULL, qemu_real_host_page_size(),
                           PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                           -1, 0);
    Pause pause = {
        .word = &words[2],
        .watched = (uintptr_t)&words[2],
        .size = 8,
    };

    g_assert_true(words != MAP_FAILED);
    pause.qemu = ntb_fork();
    if (!pause.qemu) {
        change_words(words);
    }
    attach(&pause);
    pause.syscall_insn = find_syscall_insn(pause.qemu);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t count = words[2];

        run_to_access(&pause, i % 2 ? PAUSE_ON_WRITE : PAUSE_ON_ACCESS);
        g_assert_cmpuint(words[2], ==, count + 1);
        g_assert_cmpuint(words[1], ==, words[2]);
        g_assert_cmpuint(words[3], ==, count);
    }
    pause_kill(&pause);
}

bool pause_possible(void)
{
    static int possible = -1;
    int status;
    pid_t pid;

    if (possible < 0) {
        pid = ntb_fork();
        if (!pid) {
            stop_at_third_word();
            _exit(0);
        }
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        possible = status == 0;
    }
    if (!possible) {
        g_test_skip("a process cannot be stopped by ptrace on this host");
    }
    return possible;
}

/*
 * In a register write, an attach, a system call
 */

static void watch(Pause *pause, NtbServer *server, const void *word,
                  unsigned size)
{
    uint64_t start;

    g_assert_cmpuint(find_mapping(pause->qemu, server->shm_name, &start), !=,
                     0);
    pause->word = word;
    pause->size = size;
    pause->watched = start + ((uint8_t *)word - (uint8_t *)server->mem);
    pause->syscall_insn = find_syscall_insn(pause->qemu);
}

bool pause_in_write(Pause *pause, NtbServer *server, NtbPort *p,
                    uint32_t offset, uint32_t value, const void *word,
                    unsigned size, PauseOn on)
{
    pause_now(pause, p->qts);
    watch(pause, server, word, size);
    pause->writer = ntb_fork();
    if (!pause->writer) {
        ntb_write(p, offset, value);
        _exit(0);
    }
    return run_to_access(pause, on);
}

bool pause_next_access(Pause *pause)
{
    return run_to_access(pause, PAUSE_ON_ACCESS);
}

void pause_in_attach(Pause *pause, NtbServer *server, QTestState *qts,
                     void (*plug)(QTestState *qts), const void *word)
{
    uint64_t start;

    pause_now(pause, qts);
    plug(qts);
    while (!find_mapping(pause->qemu, server->shm_name, &start)) {
        resume(pause, PTRACE_SYSCALL, false);
    }
    watch(pause, server, word, 4);
    g_assert_true(run_to_access(pause, PAUSE_ON_WRITE));
}

void pause_now(Pause *pause, QTestState *qts)
{
    *pause = (Pause) { .qemu = qtest_pid(qts) };
    attach(pause);
}

/* True when QEMU is about to test the lock of byte @offset */
static bool tests_lock(pid_t pid, uint64_t offset)
{
    struct __ptrace_syscall_info info;
    uint64_t start;

    g_assert_cmpint(ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info),
                    >, 0);
    if (info.op != PTRACE_SYSCALL_INFO_ENTRY || info.entry.nr != SYS_fcntl ||
        info.entry.args[1] != F_OFD_GETLK) {
        return false;
    }
    start = ptrace(PTRACE_PEEKDATA, pid,
                   info.entry.args[2] + offsetof(struct flock, l_start), 0);
    return start == offset;
}

void pause_after_lock_test(Pause *pause, uint64_t offset)
{
    int64_t end = g_get_monotonic_time() + NTB_DEADLINE_US;
    int stop;

    do {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        stop = resume(pause, PTRACE_SYSCALL, false);
    } while (stop != SYSCALL_STOP || !tests_lock(pause->qemu, offset));
    /* That was its start; the other stop is its end */
    g_assert_cmpint(resume(pause, PTRACE_SYSCALL, false), ==, SYSCALL_STOP);
}

void pause_step(Pause *pause, unsigned instructions)
{
    while (instructions--) {
        if (!step(pause, true)) {
            /* The write is done; what is left to step does not matter */
            interrupt(pause);
            return;
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
    detach(pause);
    reap_writer(pause, true);
}

void pause_kill(Pause *pause)
{
    kill(pause->qemu, SIGKILL);
    qtest_remove_abrt_handler(pause);
    reap_writer(pause, false);
}
