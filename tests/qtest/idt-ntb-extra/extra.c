/*
 * QTest testcase for idt-ntb: what only the tests here share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include "qemu/atomic.h"
#include "hw/misc/idt_ntb/shm.h"
#include "hw/pci/pci_regs.h"
#include "qobject/qdict.h"
#include "extra.h"

/*
 * Processes
 */

/* Do not let the server inherit descriptors of the test */
static void close_inherited(int keep)
{
    for (int fd = 3; fd < 1024; fd++) {
        if (fd != keep) {
            close(fd);
        }
    }
}

static void abrt_in_child(int signo)
{
    _exit(1);
}

pid_t ntb_fork(void)
{
    struct sigaction quietly = { .sa_handler = abrt_in_child };
    pid_t pid = fork();
    int null;

    g_assert_cmpint(pid, >=, 0);
    if (pid) {
        return pid;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* libqtest aborts when the QEMU goes away: here that is the plan */
    sigaction(SIGABRT, &quietly, NULL);
    null = open("/dev/null", O_WRONLY);
    dup2(null, STDERR_FILENO);
    return 0;
}

void ntb_end_child(pid_t pid)
{
    int status;

    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
}

NtbServer *ntb_no_server(void)
{
    return NULL;
}

static void stop_process(NtbServer *server)
{
    if (server->pid) {
        ntb_server_kill(server);
    }
    ntb_server_free(server);
}

static void server_fork(NtbServer *server)
{
    char ready;
    int pipefd[2];

    g_assert_true(g_unix_open_pipe(pipefd, FD_CLOEXEC, NULL));
    server->pid = ntb_fork();
    if (!server->pid) {
        IvshmemServer ivshmem;

        close_inherited(pipefd[1]);
        ntb_server_open(server, &ivshmem);
        if (write(pipefd[1], "r", 1) == 1) {
            ntb_server_serve(&ivshmem, -1);
        }
        _exit(1);
    }
    close(pipefd[1]);
    g_assert_cmpint(read(pipefd[0], &ready, 1), ==, 1);
    close(pipefd[0]);
}

NtbServer *ntb_server_start_process(void)
{
    NtbServer *server = ntb_server_new(NTB_SHM_SIZE, stop_process);

    server_fork(server);
    ntb_server_map(server);
    return server;
}

void ntb_server_kill(NtbServer *server)
{
    g_assert_cmpint(server->pid, >, 0);
    kill(server->pid, SIGKILL);
    g_assert_cmpint(waitpid(server->pid, NULL, 0), ==, server->pid);
    server->pid = 0;
}

void ntb_server_restart(NtbServer *server)
{
    g_assert_cmpint(server->pid, ==, 0);
    /* A user has to remove the socket, too: bind() refuses an existing one */
    unlink(server->socket);
    server_fork(server);
}

void ntb_server_restart_empty(NtbServer *server)
{
    munmap(server->mem, server->size);
    shm_unlink(server->shm_name);
    ntb_server_restart(server);
    ntb_server_map(server);
}

/*
 * Ports
 */

void ntb_freeze(NtbPort *p)
{
    int status;

    kill(qtest_pid(p->qts), SIGSTOP);
    g_assert_cmpint(waitpid(qtest_pid(p->qts), &status, WUNTRACED), >, 0);
    g_assert_true(WIFSTOPPED(status));
}

void ntb_thaw(NtbPort *p)
{
    kill(qtest_pid(p->qts), SIGCONT);
}

pid_t ntb_start_sender(NtbPort *p, unsigned seed)
{
    pid_t pid = ntb_fork();

    if (pid) {
        return pid;
    }
    for (unsigned i = seed;; i++) {
        ntb_write(p, A_OUTDBELLSET, 1u << (i % 32));
        ntb_write(p, A_OUTMSG0 + 4 * (i % 4), i);
        ntb_write(p, A_NTGSIGNAL, 1);
    }
}

bool ntb_is_up_in(NtbServer *server, unsigned port)
{
    IdtNtbShm *shm = server->mem;

    return qatomic_read(&shm->slot[ntb_slot(port)].p.state) == IDT_NTB_PORT_UP;
}

GRand *ntb_random(const char *what)
{
    uint32_t seed = g_test_rand_int();

    g_test_message("%s: seed 0x%x", what, seed);
    return g_rand_new_with_seed(seed);
}

void ntb_assert_socket_refused(const char *path, const char *options,
                               const char *words)
{
    g_autofree char *args = g_strdup_printf(
        "-chardev socket,id=n,path=%s%s -device idt-ntb,chardev=n", path,
        options);

    ntb_assert_refused(args, words);
}

void ntb_set_property(NtbPort *p, const char *name, const char *value)
{
    g_autofree char *command = g_strdup_printf(
        "{'execute': 'qom-set', 'arguments': {"
        "'path': '/machine/peripheral/%s', 'property': '%s', 'value': %s}}",
        p->id, name, value);

    qtest_qmp_assert_success(p->qts, command, NULL);
}

void ntb_function_reset(NtbPort *p)
{
    ntb_cfg_writew(p, IDT_CAP_PCIE + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR);
}

void ntb_set_master(NtbPort *p, bool master)
{
    ntb_cfg_writew(p, PCI_COMMAND,
                   PCI_COMMAND_MEMORY | (master ? PCI_COMMAND_MASTER : 0));
}

unsigned ntb_count_text(const char *path, const char *what)
{
    g_autofree char *text = NULL;
    unsigned count = 0;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    for (char *at = text; (at = strstr(at, what)); at++) {
        count++;
    }
    return count;
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
    GPid pid = ntb_spawn(args, log);
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

bool ntb_reconnects(void)
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
    return !ends;
}

/*
 * Windows
 */

char *win_describe(NtbPort *p)
{
    g_autofree char *path = g_strdup_printf("/machine/peripheral/%s", p->id);
    QDict *reply = qtest_qmp(p->qts, "{'execute': 'qom-get', 'arguments':"
                             "{'path': %s, 'property': 'windows'}}", path);
    char *text = g_strdup(qdict_get_str(reply, "return"));

    qobject_unref(reply);
    return text;
}

void win_boot_both(NtbServer *server, WinPath path, const char *props,
                   NtbPort **a, NtbPort **b)
{
    g_autofree char *args = g_strdup_printf(
        "-chardev socket,path=%s,id=c1 "
        "-device idt-ntb,id=ntb1,chardev=c1,addr=6.0%s%s", server->socket,
        win_path_props(path), props ?: "");

    *a = win_boot(server, path, args, props);
    *b = ntb_open((*a)->qts, "ntb1", 0, QPCI_DEVFN(6, 0), 1);
    win_setup_function(*b);
}

unsigned win_count_maps(QTestState *qts, const char *what)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/maps", qtest_pid(qts));

    return ntb_count_text(path, what);
}

uint8_t *win_map_ram(NtbPort *p)
{
    g_autofree char *dir = g_strdup_printf("/proc/%d/fd", qtest_pid(p->qts));
    g_autoptr(GDir) fds = g_dir_open(dir, 0, NULL);
    const char *name;
    void *ram = MAP_FAILED;

    while (ram == MAP_FAILED && (name = g_dir_read_name(fds))) {
        g_autofree char *path = g_build_filename(dir, name, NULL);
        g_autofree char *file = g_file_read_link(path, NULL);
        int fd;

        if (file && g_str_has_prefix(file, "/memfd:memory-backend-memfd")) {
            fd = open(path, O_RDWR | O_CLOEXEC);
            ram = mmap(NULL, WIN_RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
                       fd, 0);
            close(fd);
        }
    }
    g_assert_true(ram != MAP_FAILED);
    return ram;
}

void win_assert_ones(NtbPort *a, uint64_t addr)
{
    for (unsigned size = 1; size <= 8; size++) {
        g_assert_cmphex(ntb_read_sized(a, addr, size), ==,
                        MAKE_64BIT_MASK(0, 8 * size));
    }
}
