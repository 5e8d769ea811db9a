/*
 * QTest testcase for idt-ntb: a QEMU that must not start, or might end
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <sys/wait.h>
#include "harness.h"

/* A QEMU without QMP; what it says goes to @log */
static GPid start_qemu(const char *args, const char *log)
{
    g_autofree char *command = g_strdup_printf(
        "exec %s -accel qtest -display none -qtest null -S %s "
        "</dev/null >%s 2>&1", g_getenv("QTEST_QEMU_BINARY"), args, log);
    const char *argv[] = { "/bin/sh", "-c", command, NULL };
    GPid pid;

    g_assert_true(g_spawn_async(NULL, (char **)argv, NULL,
                                G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid,
                                NULL));
    return pid;
}

bool ntb_is_logged(const char *log, const char *words)
{
    g_autofree char *text = NULL;

    return g_file_get_contents(log, &text, NULL, NULL) && strstr(text, words);
}

static bool ends_unconnected(void)
{
    g_autofree char *log = ntb_tmp_path("stderr");
    g_autofree char *path = ntb_tmp_path("socket");
    g_autofree char *args = g_strdup_printf(
        "-M none -chardev socket,id=n,path=%s,reconnect-ms=1000", path);
    GPid pid = start_qemu(args, log);
    bool gone = false;
    int status;

    ntb_wait((gone = waitpid(pid, &status, WNOHANG) == pid) ||
             ntb_is_logged(log, "Unable to connect"));
    if (!gone) {
        kill(pid, SIGKILL);
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    }
    g_unlink(log);
    return gone;
}

bool ntb_skip_unless_reconnects(void)
{
    static bool known, ends;

    if (!known) {
        ends = ends_unconnected();
        known = true;
    }
    if (ends) {
        g_test_skip("this QEMU ends when a chardev can't connect, see "
                    "https://gitlab.com/qemu-project/qemu/-/issues/3528");
    }
    return ends;
}

void ntb_assert_refused(const char *args, const char *words)
{
    g_autofree char *log = ntb_tmp_path("stderr");
    g_autofree char *text = NULL;
    g_autofree char *all_args = g_strdup_printf("%s %s", ntb_next_machine(),
                                                args);
    g_auto(GStrv) word = g_strsplit(words, "|", 0);
    GPid pid = start_qemu(all_args, log);
    int status;

    ntb_wait(waitpid(pid, &status, WNOHANG) == pid);
    g_assert_true(g_file_get_contents(log, &text, NULL, NULL));
    g_unlink(log);
    g_test_message("%s", text);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    for (unsigned i = 0; word[i]; i++) {
        if (!strstr(text, word[i])) {
            ntb_fail("'%s' is not in: %s", word[i], text);
        }
    }
}

void ntb_assert_refused_at(NtbServer *server, const char *words,
                           const char *fmt, ...)
{
    g_autofree char *args = NULL;
    g_autofree char *props = NULL;
    va_list ap;

    va_start(ap, fmt);
    props = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    args = g_strdup_printf("-chardev socket,path=%s,id=ntb "
                           "-device idt-ntb,chardev=ntb%s", server->socket,
                           props);
    ntb_assert_refused(args, words);
}
