/*
 * QTest testcase for idt-ntb: hosts that can't do something
 *
 * The test and its QEMUs run in a process of their own, with a filter (seccomp)
 * that makes one system call fail.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include "qemu/module.h"
#include "fake_server.h"
#include "peers.h"
#include "idt-ntb/window.h"

#define SUBPROCESS_DEADLINE_US (900 * G_TIME_SPAN_SECOND)

/*
 * The system calls @nr whose argument @arg is @value fail with @error in @test,
 * which has a chardev that @reconnects.
 */
typedef struct Denial {
    unsigned nr;
    unsigned arg;
    uint32_t value;
    unsigned error;
    void (*test)(void);
    bool reconnects;
} Denial;

static void deny(const Denial *d)
{
    const unsigned arg = offsetof(struct seccomp_data, args) + 8 * d->arg +
                         (HOST_BIG_ENDIAN ? 4 : 0);
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, d->nr, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, arg),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, d->value, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | d->error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {
        .len = G_N_ELEMENTS(filter), .filter = filter
    };

    g_assert_cmpint(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), ==, 0);
    g_assert_cmpint(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), ==,
                    0);
}

static void run_denied(const void *opaque)
{
    const Denial *d = opaque;

    if (g_test_subprocess()) {
        deny(d);
        d->test();
        return;
    }
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) < 0 &&
        errno != EFAULT) {
        g_test_skip("this host has no system call filters");
        return;
    }
    if (d->reconnects && ntb_skip_unless_reconnects()) {
        return;
    }
    g_test_trap_subprocess(NULL, SUBPROCESS_DEADLINE_US,
                           G_TEST_SUBPROCESS_INHERIT_STDERR);
    g_test_trap_assert_passed();
}

static void assert_logged(const char *log, const char *words)
{
    g_autofree char *text = NULL;

    g_assert_true(g_file_get_contents(log, &text, NULL, NULL));
    if (!strstr(text, words)) {
        ntb_fail("'%s' is not in: %s", words, text);
    }
    g_unlink(log);
}

/* Ports that hear of nothing look by themselves, and say why they are late */
static void test_deaf(void)
{
    g_autofree char *log = ntb_tmp_path("stderr");
    g_autofree char *props = g_strdup_printf(" 2>>%s", log);
    NtbServer *server = ntb_server_start();
    NtbPort *a = ntb_boot(server, props);
    NtbPort *b = ntb_boot(server, props);

    ntb_assert_talk(a, b);
    ntb_assert_talk(b, a);
    ntb_quit(b);
    ntb_quit(a);
    assert_logged(log, "can't read the eventfd");
    ntb_server_stop(server);
}

static void assert_refused(const char *words)
{
    NtbServer *server = ntb_server_start();

    ntb_assert_refused_at(server, words, "%s", "");
    ntb_server_stop(server);
}

static void test_no_locks(void)
{
    assert_refused("F_OFD_SETLK");
}

static void test_lock_fails(void)
{
    assert_refused("can't lock");
}

static void test_memory_full(void)
{
    assert_refused("can't allocate");
}

static void test_memory_denied(void)
{
    assert_refused("memory|user|AppArmor");
}

static void test_image_unreadable(void)
{
    g_autofree char *image = ntb_tmp_path("image");
    NtbServer *server = ntb_server_start();

    g_assert_true(g_file_set_contents(image, "image", -1, NULL));
    ntb_assert_refused_at(server, "can't read", ",eeprom=%s", image);
    g_unlink(image);
    ntb_server_stop(server);
}

/* The device connects, as the chardev is about to and has not yet */
static void test_no_socket(void)
{
    g_autofree char *path = ntb_tmp_path("socket");
    g_autofree char *args = g_strdup_printf(
        "-chardev socket,id=n,path=%s,reconnect-ms=100 "
        "-device idt-ntb,chardev=n", path);

    ntb_assert_refused(args, "can't make a socket");
}

/* RAM of another port that may not be opened: its windows are slow, and work */
static void test_ram_denied(void)
{
    g_autofree char *log = ntb_tmp_path("stderr");
    g_autofree char *args = g_strdup_printf("2>%s", log);
    WinPair w = { .server = ntb_server_start() };

    w.a = win_boot(w.server, WIN_SHARED, args, NULL);
    w.b = win_boot(w.server, WIN_SHARED, NULL, NULL);
    win_open(w.a, 1, 1, WIN_X);
    win_assert_shows(w.a, win_bar(w.a, 1), w.b, WIN_X);
    g_assert_cmpuint(win_mappings(w.a), ==, 0);
    assert_logged(log, "can't be opened");
    win_stop(&w);
}

/* No memory of ones to show where a window was: it is closed all the same */
static void test_no_ones(void)
{
    WinPair w;
    uint64_t base;

    win_start(&w, WIN_SHARED, NULL);
    base = win_bar(w.a, 1);
    for (unsigned i = 0; i < 3; i++) {
        win_open(w.a, 1, 1, WIN_X);
        win_assert_shows(w.a, base, w.b, WIN_X);
        g_assert_cmpuint(win_mappings(w.a), ==, 1);
        win_close(w.a, 1);
        g_assert_cmpuint(win_mappings(w.a), ==, 0);
        win_assert_hides(w.a, base, w.b, WIN_X);
    }
    win_stop(&w);
}

static void add_tests(void)
{
    static const struct {
        const char *name;
        Denial denial;
    } cases[] = {
        { "no-aio", { SYS_io_setup, 0, 64, EAGAIN, ntb_test_signals } },
        { "no-aio-full",
          { SYS_io_setup, 0, 64, EAGAIN, ntb_test_full_eventfd } },
        { "old-eventfds",
          { SYS_preadv2, 5, RWF_NOWAIT, EOPNOTSUPP, ntb_test_idle_signals } },
        { "deaf", { SYS_preadv2, 5, RWF_NOWAIT, EIO, test_deaf } },
        { "no-locks", { SYS_fcntl, 1, F_OFD_GETLK, EINVAL, test_no_locks } },
        { "lock-fails",
          { SYS_fcntl, 1, F_OFD_SETLK, ENOLCK, test_lock_fails } },
        { "memory-full", { SYS_fallocate, 1, 0, ENOSPC, test_memory_full } },
        { "memory-denied",
          { SYS_openat, 2, O_RDWR | O_CLOEXEC | O_NONBLOCK, EACCES,
            test_memory_denied } },
        { "image-unreadable",
          { SYS_pread64, 3, 0, EIO, test_image_unreadable } },
        { "no-socket",
          { SYS_socket, 1, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, EMFILE,
            test_no_socket, true } },
        { "ram-denied",
          { SYS_openat, 2, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, EACCES,
            test_ram_denied } },
        { "no-ones", { SYS_pwrite64, 2, 1 * MiB, ENOSPC, test_no_ones } },
    };

    if (!ntb_machine_is_q35()) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strdup_printf("/idt-ntb/host/%s",
                                                cases[i].name);

        qtest_add_data_func(path, &cases[i].denial, run_denied);
    }
}

libqos_init(add_tests);
