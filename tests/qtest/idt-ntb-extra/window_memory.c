/*
 * QTest testcase for idt-ntb: bus memory tables that lie
 *
 * A QEMU opens and maps nothing but what belongs to the process that has the
 * port, and what can be mapped without harm.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "qemu/module.h"
#include "fake_port.h"

#define SIZE        (2 * MiB)

static FakePort f;
static int ram_fd;              /* what an honest port would have */
static uint64_t *ram;

/* @how: what fcntl() adds */
static int make_memfd(unsigned seals)
{
    int fd = memfd_create("lie", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, SIZE), ==, 0);
    g_assert_cmpint(fcntl(fd, F_ADD_SEALS, seals), ==, 0);
    return fd;
}

static void setup(void)
{
    fake_port_start(&f, NULL);
    fake_port_receive(&f);
    win_open(f.a, 1, 1, WIN_X);
    ram_fd = make_memfd(F_SEAL_SHRINK);
    ram = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ram_fd, 0);
    g_assert_true(ram != MAP_FAILED);
}

static void teardown(void)
{
    munmap(ram, SIZE);
    close(ram_fd);
    fake_port_stop(&f);
}

static IdtNtbShmRam honest(void)
{
    return (IdtNtbShmRam) { .addr = WIN_X, .size = SIZE, .fd = ram_fd };
}

/*
 * The QEMU must look at the table again
 */
static void publish(pid_t pid, int lock_fd, const IdtNtbShmRam *what)
{
    fake_port_publish(&f, pid, lock_fd, what);
    win_close(f.a, 1);
    win_limit(f.a, 1, f.base + WIN_SIZE);
}

/* After all that: what is true is believed */
static void assert_honest(void)
{
    IdtNtbShmRam good = honest();

    publish(0, -1, &good);
    for (unsigned i = 0; i < 10; i++) {
        ram[i] = win_value();
        g_assert_cmphex(qtest_readq(f.a->qts, f.base + 8 * i), ==, ram[i]);
        qtest_writeq(f.a->qts, f.base + 8 * i, i);
        g_assert_cmphex(ram[i], ==, i);
    }
    g_assert_cmpuint(win_mappings(f.a), ==, 1);
    publish(0, -1, NULL);
    g_assert_cmphex(qtest_readq(f.a->qts, f.base), ==, UINT64_MAX);
}

/* True if the QEMU has the file of @fd open or mapped */
static bool qemu_has(int fd)
{
    g_autofree char *dir = g_strdup_printf("/proc/%d/fd",
                                           qtest_pid(f.a->qts));
    g_autofree char *maps = g_strdup_printf("/proc/%d/maps",
                                            qtest_pid(f.a->qts));
    g_autofree char *inode = NULL, *text = NULL;
    g_autoptr(GDir) fds = g_dir_open(dir, 0, NULL);
    struct stat st, other;
    const char *name;

    g_assert_cmpint(fstat(fd, &st), ==, 0);
    if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode) &&
        !S_ISSOCK(st.st_mode)) {
        return false;           /* nothing of its own */
    }
    while ((name = g_dir_read_name(fds))) {
        g_autofree char *path = g_build_filename(dir, name, NULL);

        if (stat(path, &other) == 0 && other.st_dev == st.st_dev &&
            other.st_ino == st.st_ino) {
            return true;
        }
    }
    g_assert_true(g_file_get_contents(maps, &text, NULL, NULL));
    inode = g_strdup_printf(" %" PRIu64 " ", (uint64_t)st.st_ino);
    return S_ISREG(st.st_mode) && strstr(text, inode);
}

/* Nothing is mapped; accesses go by request, and there is nothing */
static void assert_not_believed(void)
{
    for (unsigned i = 0; i < 5; i++) {
        g_assert_cmphex(qtest_readq(f.a->qts, f.base + 8 * i), ==, UINT64_MAX);
        qtest_writeq(f.a->qts, f.base + 8 * i, 0);
    }
    g_assert_cmpuint(win_mappings(f.a), ==, 0);
    g_assert_cmphex(ntb_read(f.a, A_BARSETUP0), ==, 0x800004c0);
}

static void assert_refuses(pid_t pid, int lock_fd, const IdtNtbShmRam *what)
{
    publish(pid, lock_fd, what);
    assert_not_believed();
}

static void test_honest(void)
{
    IdtNtbShmRam good;

    setup();
    good = honest();
    assert_honest();
    publish(0, -1, &good);
    qtest_readq(f.a->qts, f.base);
    /* The check can see it */
    g_assert_true(qemu_has(ram_fd));
    teardown();
}

/*
 * Processes
 */

/* The own descriptors of the QEMU: those belong to another port */
static void check_victims_own(void)
{
    pid_t qemu = qtest_pid(f.a->qts);
    IdtNtbShmRam lie = honest();

    for (int lock = 0; lock < 64; lock++) {
        lie.fd = lock;
        publish(qemu, lock, &lie);
        qtest_readq(f.a->qts, f.base);
        g_assert_cmpuint(win_mappings(f.a), ==, 0);
    }
    for (int fd = 0; fd < 64; fd++) {
        lie.fd = fd;
        publish(qemu, f.lock, &lie);
        qtest_readq(f.a->qts, f.base);
        g_assert_cmpuint(win_mappings(f.a), ==, 0);
    }
}

static void test_other_process(void)
{
    IdtNtbShmRam lie;
    pid_t other;

    setup();
    lie = honest();
    /* It has the same files open as we, but under other numbers no lock */
    other = ntb_fork();
    if (!other) {
        close(f.lock);
        pause();
        _exit(0);
    }
    assert_refuses(other, ram_fd, &lie);
    assert_refuses(1, -1, &lie);
    assert_refuses(INT_MAX, -1, &lie);
    assert_refuses(UINT32_MAX, -1, &lie);
    check_victims_own();
    assert_honest();
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    teardown();
}

static void test_no_process(void)
{
    IdtNtbShmRam lie;
    siginfo_t info;
    pid_t pid;

    setup();
    lie = honest();
    pid = ntb_fork();
    if (!pid) {
        _exit(0);
    }
    /* A zombie, then nobody; alive it would have our lock */
    g_assert_cmpint(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), ==, 0);
    assert_refuses(pid, -1, &lie);
    waitpid(pid, NULL, 0);
    assert_refuses(pid, -1, &lie);
    qatomic_set(&fake_port_table(&f)->pid, 0);
    assert_refuses(0, -1, NULL);
    assert_honest();
    teardown();
}

/* The table names a descriptor that is no lock of our port */
static void test_lock(void)
{
    IdtNtbShmRam lie;
    int other;

    setup();
    lie = honest();
    assert_refuses(0, ram_fd, &lie);
    assert_refuses(0, f.server->shm_fd, &lie);
    assert_refuses(0, INT_MAX, &lie);
    assert_refuses(0, 0, &lie);
    /* The lock of another port, of the whole file, for reading */
    other = fake_port_lock(&f, 2, F_WRLCK);
    assert_refuses(0, other, &lie);
    close(other);
    close(f.lock);
    f.lock = fake_port_lock(&f, 1, F_RDLCK);
    g_assert_cmpint(f.lock, >=, 0);
    assert_refuses(0, -1, &lie);
    close(f.lock);
    f.lock = fake_port_lock(&f, 1, F_WRLCK);
    fake_port_revive(&f);
    assert_honest();
    teardown();
}

/* The lock alone does not make a process the owner: it claims the port too */
static void check_claims(void)
{
    struct {
        int fd;
        int access;
        unsigned slot;
    } wrong[] = {
        { f.server->shm_fd, PROT_NONE, 2 },
        { f.server->shm_fd, PROT_READ | PROT_WRITE, 1 },
        { ram_fd, PROT_NONE, 1 },
    };
    IdtNtbShmRam lie = honest();

    fake_port_disclaim(&f);
    assert_refuses(0, -1, &lie);
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        void *map = mmap(NULL, qemu_real_host_page_size(), wrong[i].access,
                         MAP_SHARED, wrong[i].fd,
                         idt_ntb_shm_claim_offset(wrong[i].slot));

        g_assert_true(map != MAP_FAILED);
        assert_refuses(0, -1, &lie);
        munmap(map, qemu_real_host_page_size());
    }
    fake_port_claim(&f);
    assert_honest();
}

static void test_claim(void)
{
    setup();
    check_claims();
    teardown();
}

/*
 * Descriptors
 */

static int watch;

/* Opens of @path from now on are seen */
static void watch_file(const char *path)
{
    watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    g_assert_cmpint(inotify_add_watch(watch, path, IN_OPEN | IN_ACCESS |
                                      IN_MODIFY), >=, 0);
}

static bool was_touched(void)
{
    char events[4096];
    bool any = read(watch, events, sizeof(events)) > 0;

    close(watch);
    return any;
}

/* Ours is @fd; @path: its name, if it has one */
static void check_fd(int fd, const char *path)
{
    IdtNtbShmRam lie = honest();

    g_assert_cmpint(fd, >=, 0);
    lie.fd = fd;
    if (path) {
        watch_file(path);
    }
    assert_refuses(0, -1, &lie);
    g_assert_false(qemu_has(fd));
    if (path) {
        g_assert_false(was_touched());
    }
    close(fd);
}

static void test_user_file(void)
{
    g_autofree char *path = ntb_tmp_path("file");
    g_autofree char *data = g_malloc(SIZE);

    setup();
    memset(data, 0x55, SIZE);
    g_assert_true(g_file_set_contents(path, data, SIZE, NULL));
    check_fd(open(path, O_RDONLY | O_CLOEXEC), path);
    check_fd(open(path, O_WRONLY | O_CLOEXEC), path);
    check_fd(open(path, O_RDWR | O_CLOEXEC), path);
    check_fd(open(path, O_PATH | O_CLOEXEC), path);
    check_fd(open(path, O_RDWR | O_APPEND | O_CLOEXEC), path);
    g_unlink(path);
    assert_honest();
    teardown();
}

static void test_fifo(void)
{
    g_autofree char *path = ntb_tmp_path("fifo");

    setup();
    g_assert_cmpint(mkfifo(path, 0600), ==, 0);
    check_fd(open(path, O_RDWR | O_CLOEXEC), path);
    check_fd(open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), path);
    g_unlink(path);
    assert_honest();
    teardown();
}

static void test_other_files(void)
{
    int pair[2];

    setup();
    check_fd(open("/dev/zero", O_RDWR | O_CLOEXEC), NULL);
    check_fd(open("/dev/null", O_RDWR | O_CLOEXEC), NULL);
    check_fd(open("/", O_RDONLY | O_CLOEXEC), NULL);
    check_fd(open("/proc/self/mem", O_RDWR | O_CLOEXEC), NULL);
    check_fd(eventfd(0, EFD_CLOEXEC), NULL);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), ==, 0);
    check_fd(pair[0], NULL);
    check_fd(pair[1], NULL);
    assert_honest();
    teardown();
}

/* Memory that can't be mapped, or can go away */
static void test_seals(void)
{
    g_autofree char *path = NULL;
    int fd, other;

    setup();
    check_fd(make_memfd(0), NULL);
    check_fd(make_memfd(F_SEAL_GROW), NULL);
    check_fd(make_memfd(F_SEAL_GROW | F_SEAL_SEAL), NULL);
    check_fd(make_memfd(F_SEAL_SHRINK | F_SEAL_WRITE), NULL);
    fd = memfd_create("lie", MFD_CLOEXEC);
    g_assert_cmpint(ftruncate(fd, SIZE), ==, 0);
    check_fd(fd, NULL);
    /* Sealed, but not to be written by this descriptor */
    fd = make_memfd(F_SEAL_SHRINK);
    path = g_strdup_printf("/proc/self/fd/%d", fd);
    other = open(path, O_RDONLY | O_CLOEXEC);
    check_fd(other, NULL);
    close(fd);
    assert_honest();
    teardown();
}

/* It can be opened, but not mapped: that is tried once for each table */
static void test_unmappable(void)
{
    int fd = make_memfd(F_SEAL_SHRINK | F_SEAL_WRITE);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    IdtNtbShmRam lie;

    setup();
    lie = honest();
    lie.fd = fd;
    for (unsigned i = 0; i < 3; i++) {
        fake_port_publish(&f, 0, -1, &lie);
        watch_file(path);
        qtest_readq(f.a->qts, f.base);
        g_assert_true(was_touched());
        watch_file(path);
        assert_not_believed();
        g_assert_false(was_touched());
    }
    close(fd);
    assert_honest();
    teardown();
}

/* What the QEMU has open itself: the memory of the switch */
static void test_switch_memory(void)
{
    IdtNtbShmRam lie;

    setup();
    lie = honest();
    lie.fd = f.server->shm_fd;
    assert_refuses(0, -1, &lie);
    lie.fd = f.lock;
    assert_refuses(0, -1, &lie);
    lie.fd = 100000;
    assert_refuses(0, -1, &lie);
    lie.fd = UINT32_MAX;
    assert_refuses(0, -1, &lie);
    assert_honest();
    teardown();
}

/*
 * Numbers
 */

static void test_numbers(void)
{
    static const IdtNtbShmRam lies[] = {
        { .addr = WIN_X, .size = 2 * SIZE },
        { .addr = WIN_X, .size = UINT64_MAX },
        { .addr = WIN_X, .size = SIZE, .offset = 4096 },
        { .addr = WIN_X, .size = SIZE, .offset = UINT64_MAX },
        { .addr = WIN_X, .size = SIZE, .offset = -SIZE },
        { .addr = WIN_X, .size = 1ULL << 63, .offset = 1ULL << 63 },
        /* Their sum is the size of the file */
        { .addr = WIN_X, .size = SIZE - (4 * GiB), .offset = 4 * GiB },
        { .addr = WIN_X, .size = 0 },
        { .addr = WIN_X, .size = SIZE / 2, .offset = 1 },
        { .addr = WIN_X, .size = SIZE / 2, .offset = 2048 },
        { .addr = WIN_X + 1, .size = SIZE / 2 },
        { .addr = WIN_X - 4, .size = SIZE },
        { .addr = 0, .size = SIZE },
        { .addr = UINT64_MAX, .size = SIZE },
        { .addr = WIN_X + WIN_SIZE, .size = UINT64_MAX },
        { .addr = WIN_X, .size = 100 },
    };

    setup();
    for (unsigned i = 0; i < G_N_ELEMENTS(lies); i++) {
        IdtNtbShmRam lie = lies[i];

        lie.fd = ram_fd;
        g_test_message("lie %u", i);
        assert_refuses(0, -1, &lie);
        /* The end of the window, too */
        qtest_readq(f.a->qts, f.base + WIN_SIZE - 8);
        qtest_writeq(f.a->qts, f.base + WIN_SIZE - 8, 0);
    }
    assert_honest();
    teardown();
}

static void test_count(void)
{
    IdtNtbShmMemory *table;

    setup();
    table = fake_port_table(&f);
    memset(table->ram, 0xff, sizeof(table->ram));
    for (unsigned i = 0; i < 3; i++) {
        static const uint32_t counts[] = {
            UINT32_MAX, IDT_NTB_MAX_RAM + 1, 0x80000000
        };

        win_close(f.a, 1);
        table->count = counts[i];
        table->seq += 2;
        win_limit(f.a, 1, f.base + WIN_SIZE);
        assert_not_believed();
    }
    /* The last one of all counts, and it is honest */
    table->ram[IDT_NTB_MAX_RAM - 1] = honest();
    table->count = UINT32_MAX;
    table->seq += 2;
    qtest_readq(f.a->qts, f.base);
    g_assert_cmphex(ntb_read(f.a, A_BARSETUP0), ==, 0x800004c0);
    assert_honest();
    teardown();
}

/* A table that is never finished, and one that never rests */
static void test_sequence(void)
{
    IdtNtbShmMemory *table;
    pid_t pid;

    setup();
    table = fake_port_table(&f);
    fake_port_publish(&f, 0, -1, &(IdtNtbShmRam) {
        .addr = WIN_X, .size = SIZE, .fd = ram_fd });
    table->seq |= 1;
    assert_not_believed();
    pid = ntb_fork();
    if (!pid) {
        for (;;) {
            qatomic_inc(&table->seq);
        }
    }
    for (unsigned i = 0; i < 200; i++) {
        qtest_readq(f.a->qts, f.base + 8 * i);
        win_close(f.a, 1);
        win_limit(f.a, 1, f.base + WIN_SIZE);
    }
    g_assert_cmphex(ntb_read(f.a, A_BARSETUP0), ==, 0x800004c0);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_honest();
    teardown();
}

/*
 * Changes while a window is open
 */

/* A new table, of which the QEMU is told as of anything else */
static void change(const IdtNtbShmRam *what)
{
    fake_port_publish(&f, 0, -1, what);
    fake_port_signal(&f);
}

/* What stays the same stays mapped; what does not goes, without an access */
static void test_changes(void)
{
    int other = make_memfd(F_SEAL_SHRINK);
    IdtNtbShmRam good;

    setup();
    good = honest();
    for (unsigned i = 0; i < 5; i++) {
        IdtNtbShmRam changed = good;

        change(&good);
        ram[0] = win_value();
        g_assert_cmphex(qtest_readq(f.a->qts, f.base), ==, ram[0]);
        g_assert_cmpuint(win_mappings(f.a), ==, 1);
        change(&good);
        ntb_settle(f.a->qts);
        g_assert_cmpuint(win_mappings(f.a), ==, 1);
        switch (i) {
        case 0:
            changed.offset = 4096;
            changed.size -= 4096;
            break;
        case 1:
            changed.size = WIN_SIZE - 4096;
            break;
        case 2:
            changed.addr += 4096;
            changed.size -= 4096;
            break;
        case 3:
            changed.fd = other;
            break;
        case 4:
            changed.size = 0;
            break;
        }
        change(&changed);
        ntb_wait(win_mappings(f.a) == 0);
    }
    assert_honest();
    close(other);
    teardown();
}

/* The rest of a file that has shrunk is not there; it was to be trusted */
static void test_truncated(void)
{
    uint64_t lut;

    fake_port_start(&f, ",trust-peers=on");
    fake_port_receive(&f);
    ram_fd = memfd_create("shrinks", MFD_CLOEXEC);
    g_assert_cmpint(ftruncate(ram_fd, SIZE), ==, 0);
    ram = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ram_fd, 0);
    g_assert_true(ram != MAP_FAILED);
    change(&(IdtNtbShmRam) { .addr = WIN_X, .size = SIZE, .fd = ram_fd });
    win_open(f.a, 1, 1, WIN_X);
    win_open_lut(f.a, WIN_LUT24, 0, 1, WIN_X + SIZE / 2);
    lut = win_bar(f.a, WIN_LUT24);

    ram[0] = win_value();
    g_assert_cmphex(qtest_readq(f.a->qts, f.base), ==, ram[0]);
    g_assert_cmpuint(win_mappings(f.a), ==, 1);
    g_assert_cmpint(ftruncate(ram_fd, SIZE / 2), ==, 0);
    win_assert_ones(f.a, lut);
    qtest_writeq(f.a->qts, lut, 1);
    g_assert_cmpuint(win_mappings(f.a), ==, 1);
    g_assert_cmphex(qtest_readq(f.a->qts, f.base), ==, ram[0]);
    teardown();
}

/* A store at @addr; true if it was not taken back before we took it */
static bool is_received(uint64_t addr)
{
    IdtNtbShmMailbox *in = fake_port_inbox(&f);
    uint32_t head = in->head;

    qtest_writeq(f.a->qts, addr, 1);
    g_assert_cmpuint(in->head, ==, head + 1);
    ntb_wait(qatomic_read(&in->tail) == head + 1);
    return in->request[head % IDT_NTB_MAX_REQUESTS].op == 8;
}

/*
 * Next to what is mapped, a store by request has to be over when the next one
 * is made.  If it is not, it is taken back: it must not come after that one.
 */
static void test_withdrawn(void)
{
    IdtNtbShmMailbox *in;
    uint64_t lut;

    fake_port_start(&f, ",completion-timeout=30");
    ram_fd = make_memfd(F_SEAL_SHRINK);
    ram = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ram_fd, 0);
    g_assert_true(ram != MAP_FAILED);
    in = fake_port_inbox(&f);
    fake_port_publish(&f, 0, -1, &(IdtNtbShmRam) {
        .addr = WIN_X, .size = SIZE, .fd = ram_fd });
    win_open(f.a, 1, 1, WIN_X);
    win_open_lut(f.a, WIN_LUT24, 0, 1, 2 * WIN_X);
    lut = win_bar(f.a, WIN_LUT24);

    /* On a busy host it takes longer than the timeout to have it mapped */
    fake_port_receive(&f);
    ntb_wait(qtest_readq(f.a->qts, f.base) == 0 && win_mappings(f.a) == 1);
    fake_port_receive_stop(&f);
    for (unsigned i = 0; i < 3; i++) {
        uint32_t head = in->head;
        IdtNtbShmRequest *r = &in->request[head % IDT_NTB_MAX_REQUESTS];

        qtest_writeq(f.a->qts, lut + 8, i + 1);
        g_assert_cmpuint(in->head, ==, head + 1);
        g_assert_cmphex(r->addr, ==, 2 * WIN_X + 8);
        g_assert_cmphex(r->data, ==, i + 1);
        g_assert_cmphex(r->op, ==, 0);
        /* We go on, and get the next ones, if we are in time */
        qatomic_set_mb(&in->tail, in->head);
        fake_port_receive(&f);
        ntb_wait(is_received(lut + 16));
        fake_port_receive_stop(&f);
        g_assert_cmpuint(win_mappings(f.a), ==, 1);
    }
    teardown();
}

/*
 * A process that has the port, and its RAM, and dies: before it is looked at,
 * while it is, and after.
 */

/* It takes the lock over from us, and its link is up */
static pid_t start_owner(void)
{
    char ready;
    int sync[2];
    pid_t pid;

    g_assert_cmpint(pipe(sync), ==, 0);
    close(f.lock);
    f.lock = -1;
    pid = ntb_fork();
    if (!pid) {
        IdtNtbShmRam good = honest();

        f.lock = fake_port_lock(&f, 1, F_WRLCK);
        fake_port_block(&f)->client = 1;
        fake_port_block(&f)->cfg[1] |= 6;
        qatomic_inc(&fake_port_block(&f)->generation);
        fake_port_publish(&f, 0, -1, &good);
        qatomic_set_mb(&fake_port_block(&f)->state, IDT_NTB_PORT_UP);
        if (write(sync[1], "r", 1) == 1) {
            pause();
        }
        _exit(0);
    }
    close(sync[1]);
    g_assert_cmpint(read(sync[0], &ready, 1), ==, 1);
    close(sync[0]);
    return pid;
}

static void end_owner(pid_t pid)
{
    kill(pid, SIGKILL);
    g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
    /* QEMU has seen it: in its own time, or asked by the server's word */
    fake_send(f.server->sockets[0], 1, -1);
    fake_send(f.server->sockets[0], 1, f.server->eventfds[1]);
    ntb_wait(!ntb_link_up(f.a, 2));
    ntb_wait(win_mappings(f.a) == 0);
    win_assert_ones(f.a, f.base);
}

static void test_owner_dies(void)
{
    unsigned fds = 0;

    setup();
    for (unsigned i = 0; i < 20; i++) {
        pid_t pid = start_owner();

        win_aim(f.a, 1, 1, WIN_X);
        if (i % 2) {
            ram[1] = win_value();
            g_assert_cmphex(qtest_readq(f.a->qts, f.base + 8), ==, ram[1]);
            g_assert_cmpuint(win_mappings(f.a), ==, 1);
        }
        end_owner(pid);
        if (i == 3) {
            fds = ntb_count_fds(f.a->qts);
        }
    }
    ntb_wait(ntb_count_fds(f.a->qts) <= fds);
    /* Its RAM is not kept for it */
    ntb_wait(!qemu_has(ram_fd));
    f.lock = fake_port_lock(&f, 1, F_WRLCK);
    fake_port_block(&f)->cfg[1] |= 6;
    qatomic_set_mb(&fake_port_block(&f)->state, IDT_NTB_PORT_UP);
    assert_honest();
    teardown();
}

/* ... at any time: QEMU looks at it again and again */
static void test_owner_dies_meanwhile(void)
{
    setup();
    for (unsigned i = 0; i < 30; i++) {
        pid_t pid = start_owner();
        pid_t killer = ntb_fork();

        if (!killer) {
            g_usleep(i * 137 % 3000);
            kill(pid, SIGKILL);
            _exit(0);
        }
        for (unsigned k = 0; k < 30; k++) {
            win_close(f.a, 1);
            win_limit(f.a, 1, f.base + WIN_SIZE);
            qtest_readq(f.a->qts, f.base);
            qtest_writeq(f.a->qts, f.base, k);
        }
        waitpid(killer, NULL, 0);
        end_owner(pid);
    }
    g_assert_cmphex(ntb_read(f.a, A_BARSETUP0), ==, 0x800004c0);
    teardown();
}

/* A child that must end well */
static void end_child(pid_t pid)
{
    int status;

    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
}

/* The QEMU waits for room, and has to look at its mappings */
static void look_while_waiting(void)
{
    IdtNtbShmPort *a = &f.shm->slot[0].p;
    IdtNtbShmMailbox *in = fake_port_inbox(&f);
    uint32_t request;

    ntb_wait(qatomic_read(&a->waiting));
    request = qatomic_fetch_inc(&a->close_req) + 1;
    fake_port_signal(&f);
    ntb_wait(qatomic_read(&a->close_ack) == request);
    qatomic_set_mb(&in->tail, qatomic_read(&in->head));
    fake_port_signal(&f);
}

/*
 * Before it maps the RAM, the QEMU waits for a store that it sent by request.
 * It has a mapping of something else meanwhile, and has to look at that.
 */
static void test_look_before_map(void)
{
    IdtNtbShmRam good;
    pid_t pid;

    setup();
    good = honest();
    win_open(f.a, WIN_DIRECT64, f.a->partition, WIN_X);
    qtest_readq(f.a->qts, win_bar(f.a, WIN_DIRECT64));
    g_assert_cmpuint(win_mappings(f.a), ==, 1);
    fake_port_receive_stop(&f);
    qtest_writeq(f.a->qts, f.base, 1);
    publish(0, -1, &good);
    pid = ntb_fork();
    if (!pid) {
        qtest_writeq(f.a->qts, f.base, 2);
        /* Answers when the store is over */
        ntb_read(f.a, A_BARSETUP0);
        _exit(0);
    }
    look_while_waiting();
    end_child(pid);
    g_assert_cmphex(ram[0], ==, 2);
    g_assert_cmpuint(win_mappings(f.a), ==, 2);
    teardown();
}

static void add_tests(void)
{
    if (!ntb_machine_is_q35()) {
        return;
    }
    qtest_add_func("/idt-ntb/window-memory/honest", test_honest);
    qtest_add_func("/idt-ntb/window-memory/other-process",
                   test_other_process);
    qtest_add_func("/idt-ntb/window-memory/no-process", test_no_process);
    qtest_add_func("/idt-ntb/window-memory/lock", test_lock);
    qtest_add_func("/idt-ntb/window-memory/claim", test_claim);
    qtest_add_func("/idt-ntb/window-memory/user-file", test_user_file);
    qtest_add_func("/idt-ntb/window-memory/fifo", test_fifo);
    qtest_add_func("/idt-ntb/window-memory/other-files", test_other_files);
    qtest_add_func("/idt-ntb/window-memory/seals", test_seals);
    qtest_add_func("/idt-ntb/window-memory/unmappable", test_unmappable);
    qtest_add_func("/idt-ntb/window-memory/switch-memory",
                   test_switch_memory);
    qtest_add_func("/idt-ntb/window-memory/numbers", test_numbers);
    qtest_add_func("/idt-ntb/window-memory/count", test_count);
    qtest_add_func("/idt-ntb/window-memory/sequence", test_sequence);
    qtest_add_func("/idt-ntb/window-memory/changes", test_changes);
    qtest_add_func("/idt-ntb/window-memory/truncated", test_truncated);
    qtest_add_func("/idt-ntb/window-memory/withdrawn", test_withdrawn);
    qtest_add_func("/idt-ntb/window-memory/look-before-map",
                   test_look_before_map);
    qtest_add_func("/idt-ntb/window-memory/owner-dies", test_owner_dies);
    qtest_add_func("/idt-ntb/window-memory/owner-dies-meanwhile",
                   test_owner_dies_meanwhile);
}

libqos_init(add_tests);
