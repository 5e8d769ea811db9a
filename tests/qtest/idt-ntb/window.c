/*
 * QTest testcase for idt-ntb: memory windows
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "hw/pci/pci_regs.h"
#include "window.h"

/* Room for 128 MiB each, and upper halves that differ */
#define BAR32_STRIDE    0x08000000ULL
#define BAR64_STRIDE    0x1100000000ULL
#define NUM_WIN_BARS    5

#define NTB1_SLOT       6

const char *const win_path_names[WIN_NUM_PATHS] = {
    [WIN_SHARED] = "shared",
    [WIN_FORCED] = "forced",
    [WIN_PLAIN] = "plain",
};

char *win_next_machine(WinPath path)
{
    const char *args = ntb_next_machine();

    return path == WIN_PLAIN ? g_strdup(args) :
        g_strdup_printf("%s -object memory-backend-memfd,id=mem,size=%uM,"
                        "share=on -machine memory-backend=mem", args,
                        ntb_this_machine()->ram_mib);
}

WinPath win_path_to(NtbPort *p, WinPath path)
{
    return ntb_machine_of(p->qts)->has_iommu ? WIN_PLAIN : path;
}

/* Long enough for a busy host */
const char *win_path_props(WinPath path)
{
    return path == WIN_FORCED ? ",completion-timeout=60000,direct=off"
                              : ",completion-timeout=60000";
}

NtbPort *win_boot(NtbServer *server, WinPath path, const char *args,
                  const char *props)
{
    g_autofree char *machine = win_next_machine(path);
    g_autofree char *all_args = g_strjoin(" ", machine, args ?: "", NULL);
    g_autofree char *all_props = g_strconcat(win_path_props(path), props ?: "",
                                             NULL);
    NtbPort *p = ntb_boot(server, all_args, WIN_CHARDEV, all_props);

    win_setup_function(p);
    return p;
}

NtbPort *win_open_plugged(QTestState *qts)
{
    NtbPort *p = ntb_open_plugged(qts);

    win_setup_function(p);
    return p;
}

const char *win_plug_props(WinPath path)
{
    return path == WIN_FORCED ?
           ", 'completion-timeout': 60000, 'direct': false" :
           ", 'completion-timeout': 60000";
}

/*
 * BARs
 */

uint32_t win_reg(unsigned bar, uint32_t bar0_reg)
{
    return bar0_reg + IDT_BAR_STRIDE * bar;
}

uint64_t win_bar_size(NtbPort *p, unsigned bar)
{
    uint32_t setup = ntb_cfg_read(p, win_reg(bar, A_BARSETUP0));

    if (!FIELD_EX32(setup, BARSETUP0, EN)) {
        return 0;
    }
    return 1ULL << FIELD_EX32(setup, BARSETUP0, SIZE);
}

bool win_bar_is_64bit(NtbPort *p, unsigned bar)
{
    uint32_t setup = ntb_cfg_read(p, win_reg(bar, A_BARSETUP0));

    return FIELD_EX32(setup, BARSETUP0, TYPE) == 2;
}

uint64_t win_bar(NtbPort *p, unsigned bar)
{
    uint32_t reg = PCI_BASE_ADDRESS_0 + 4 * bar;
    uint64_t address = ntb_cfg_read(p, reg) & PCI_BASE_ADDRESS_MEM_MASK;

    if (win_bar_is_64bit(p, bar)) {
        address |= (uint64_t)ntb_cfg_read(p, reg + 4) << 32;
    }
    return ntb_from_pci(p->qts, address);
}

void win_place(NtbPort *p, unsigned bar, uint64_t address)
{
    uint32_t reg = PCI_BASE_ADDRESS_0 + 4 * bar;

    address = ntb_to_pci(p->qts, address);
    ntb_cfg_write(p, reg, address);
    if (win_bar_is_64bit(p, bar)) {
        ntb_cfg_write(p, reg + 4, address >> 32);
    }
    ntb_machine_settle(p->qts);
}

uint64_t win_bar_home(NtbPort *p, unsigned bar)
{
    /* Two devices of one QEMU differ in their slot */
    unsigned slot = p->dev->devfn == QPCI_DEVFN(NTB1_SLOT, 0);
    unsigned n = slot * NUM_WIN_BARS + bar - 1;
    const NtbMachine *machine = ntb_machine_of(p->qts);

    return win_bar_is_64bit(p, bar) ? machine->bar64 + n * BAR64_STRIDE
                                    : machine->bar32 + n * BAR32_STRIDE;
}

void win_setup_function(NtbPort *p)
{
    ntb_setup_function(p);
    for (unsigned bar = 1; bar < IDT_NUM_BARS; bar++) {
        if (win_bar_size(p, bar)) {
            win_place(p, bar, win_bar_home(p, bar));
        }
    }
    win_admit(p, true);
    ntb_write(p, A_NTCTL, R_NTCTL_CPEN_MASK);
}

/*
 * Registers
 */

void win_admit(NtbPort *p, bool admit)
{
    ntb_write(p, A_NTMTBLADDR, p->partition);
    ntb_write(p, A_NTMTBLDATA,
              admit ? FIELD_DP32(R_NTMTBLDATA_VALID_MASK, NTMTBLDATA, PART,
                                 p->partition) : 0);
}

void win_aim(NtbPort *p, unsigned bar, unsigned partition, uint64_t x)
{
    uint32_t setup = ntb_read(p, win_reg(bar, A_BARSETUP0));

    ntb_write(p, win_reg(bar, A_BARLTBASE0), x);
    ntb_write(p, win_reg(bar, A_BARUTBASE0), x >> 32);
    ntb_write(p, win_reg(bar, A_BARSETUP0),
              FIELD_DP32(setup, BARSETUP0, TPART, partition));
    ntb_machine_settle(p->qts);
}

void win_limit(NtbPort *p, unsigned bar, uint64_t limit)
{
    ntb_write(p, win_reg(bar, A_BARLIMIT0), limit);
    if (win_bar_is_64bit(p, bar)) {
        ntb_write(p, win_reg(bar + 1, A_BARLIMIT0), limit >> 32);
    }
    ntb_machine_settle(p->qts);
}

void win_open(NtbPort *p, unsigned bar, unsigned partition, uint64_t x)
{
    win_aim(p, bar, partition, x);
    win_limit(p, bar, ntb_to_pci(p->qts, win_bar(p, bar)) +
              win_bar_size(p, bar));
}

void win_close(NtbPort *p, unsigned bar)
{
    win_limit(p, bar, 0);
}

static void lut_select(NtbPort *p, unsigned bar, unsigned entry)
{
    uint32_t offset = FIELD_DP32(0, LUTOFFSET, INDEX, entry);

    ntb_write(p, A_LUTOFFSET, FIELD_DP32(offset, LUTOFFSET, BAR, bar));
}

void win_open_lut(NtbPort *p, unsigned bar, unsigned entry, unsigned partition,
                  uint64_t x)
{
    lut_select(p, bar, entry);
    ntb_write(p, A_LUTLDATA, x);
    ntb_write(p, A_LUTMDATA, x >> 32);
    ntb_write(p, A_LUTUDATA, FIELD_DP32(R_LUTUDATA_VALID_MASK, LUTUDATA, PART,
                                        partition));
    ntb_machine_settle(p->qts);
}

void win_close_lut(NtbPort *p, unsigned bar, unsigned entry)
{
    lut_select(p, bar, entry);
    ntb_write(p, A_LUTUDATA, 0);
    ntb_write(p, A_LUTLDATA, 0);
    ntb_write(p, A_LUTMDATA, 0);
    ntb_machine_settle(p->qts);
}

/*
 * Data
 */

uint64_t win_value(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15;
    uint64_t value = 0;

    for (unsigned i = 0; i < 8; i++) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        value = value << 8 | ((state >> 33) % 254 + 1);
    }
    return value;
}

void win_sync(NtbPort *p)
{
    ntb_read(p, A_INDBELLSTS);
}

static uint64_t bytes_of(uint64_t value, unsigned size)
{
    return value & MAKE_64BIT_MASK(0, size * 8);
}

void win_assert_hits(NtbPort *a, uint64_t addr, NtbPort *b, uint64_t x,
                     unsigned size)
{
    uint8_t should[24], is[24];
    uint64_t value = win_value();

    for (unsigned i = 0; i < sizeof(should); i += 8) {
        stq_le_p(should + i, win_value());
    }
    qtest_memwrite(b->qts, x - 8, should, sizeof(should));
    g_assert_cmphex(ntb_read_sized(a, addr, size), ==,
                    bytes_of(ldq_le_p(should + 8), size));
    ntb_write_sized(a, addr, size, value);
    for (unsigned i = 0; i < size; i++) {
        should[8 + i] = value >> (8 * i);
    }
    win_sync(b);
    qtest_memread(b->qts, x - 8, is, sizeof(is));
    g_assert_cmpmem(is, sizeof(is), should, sizeof(should));
    g_assert_cmphex(ntb_read_sized(a, addr, size), ==, bytes_of(value, size));
}

void win_assert_shows(NtbPort *a, uint64_t addr, NtbPort *b, uint64_t x)
{
    for (unsigned size = 1; size <= 8; size++) {
        for (unsigned at = 0; at < 3; at++) {
            win_assert_hits(a, addr + at, b, x + at, size);
        }
        win_assert_hits(a, addr + 64 - size, b, x + 64 - size, size);
    }
}

void win_assert_misses(NtbPort *a, uint64_t addr, NtbPort *b, uint64_t x,
                       unsigned size)
{
    uint64_t before = win_value();

    qtest_writeq(b->qts, x, before);
    g_assert_cmphex(ntb_read_sized(a, addr, size), ==,
                    bytes_of(UINT64_MAX, size));
    ntb_write_sized(a, addr, size, win_value());
    win_sync(b);
    g_assert_cmphex(qtest_readq(b->qts, x), ==, before);
    g_assert_cmphex(ntb_read_sized(a, addr, size), ==,
                    bytes_of(UINT64_MAX, size));
}

void win_assert_hides(NtbPort *a, uint64_t addr, NtbPort *b, uint64_t x)
{
    for (unsigned size = 1; size <= 8; size++) {
        win_assert_misses(a, addr, b, x, size);
        win_assert_misses(a, addr + 64 - size, b, x + 64 - size, size);
    }
}

unsigned win_mappings(NtbPort *p)
{
    return ntb_qom_int(p, "direct-mappings");
}

void win_assert_path(NtbPort *p, WinPath path)
{
    if (path == WIN_SHARED) {
        g_assert_cmpuint(win_mappings(p), >, 0);
    } else {
        g_assert_cmpuint(win_mappings(p), ==, 0);
    }
}
