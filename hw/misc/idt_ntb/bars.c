/*
 * IDT 89HPESxNTx PCIe switch: layout of the BARs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/units.h"
#include "bars.h"

/* Enabled, 32 bits, configuration space, 4 KiB: the Linux driver needs it */
#define BARSETUP_CFG    (R_BARSETUP0_EN_MASK | R_BARSETUP0_MODE_MASK | \
                         (IDT_NT_CFG_SHIFT << R_BARSETUP0_SIZE_SHIFT))

#define BAR_MIN_SHIFT       9
#define BAR_MAX_SHIFT_32    31
#define BAR_MAX_SHIFT_64    62
#define BAR_MIN_SIZE        (1 << BAR_MIN_SHIFT)
#define BAR_MAX_SIZE_32     (2 * GiB)

/* Limits of the Linux driver ntb_hw_idt */
#define LINUX_MAX_SIZE      (1 * GiB)
#define LINUX_MAX_WINDOWS   29

typedef struct BarMode {
    const char *name;
    unsigned atran;
    unsigned segments;          /* see idt_ntb_bar_segments() */
    unsigned windows;           /* see idt_ntb_bar_windows() */
} BarMode;

static const BarMode bar_modes[] = {
    { "direct", IDT_BAR_ATRAN_DIRECT, 1, 1 },
    { "lut12", IDT_BAR_ATRAN_LUT12, 16, 12 },
    { "lut24", IDT_BAR_ATRAN_LUT24, 32, 24 },
};

static const BarMode *find_mode(uint32_t barsetup)
{
    unsigned atran = FIELD_EX32(barsetup, BARSETUP0, ATRAN);

    for (unsigned i = 0; i < ARRAY_SIZE(bar_modes); i++) {
        if (bar_modes[i].atran == atran) {
            return &bar_modes[i];
        }
    }
    return NULL;
}

static bool is_on(uint32_t barsetup)
{
    return FIELD_EX32(barsetup, BARSETUP0, EN);
}

bool idt_ntb_bar_is_64bit(uint32_t barsetup)
{
    return is_on(barsetup) &&
           FIELD_EX32(barsetup, BARSETUP0, TYPE) == IDT_BAR_TYPE_64;
}

uint64_t idt_ntb_bar_size(uint32_t barsetup)
{
    return is_on(barsetup) ?
           1ULL << FIELD_EX32(barsetup, BARSETUP0, SIZE) : 0;
}

unsigned idt_ntb_bar_segments(uint32_t barsetup)
{
    const BarMode *mode = find_mode(barsetup);

    return mode ? mode->segments : 1;
}

unsigned idt_ntb_bar_windows(uint32_t barsetup)
{
    const BarMode *mode = find_mode(barsetup);

    return mode && is_on(barsetup) ? mode->windows : 0;
}

char *idt_ntb_bar_name(unsigned bar, uint32_t barsetup)
{
    const BarMode *mode = find_mode(barsetup);
    g_autofree char *size = size_to_str(idt_ntb_bar_size(barsetup));

    if (!is_on(barsetup)) {
        return g_strdup_printf("bar%u-mode=off", bar);
    }
    return g_strdup_printf("bar%u-mode=%s,bar%u-size=%s,bar%u-64bit=%s,"
                           "bar%u-prefetch=%s", bar, mode ? mode->name : "?",
                           bar, size, bar,
                           idt_ntb_bar_is_64bit(barsetup) ? "on" : "off", bar,
                           FIELD_EX32(barsetup, BARSETUP0, PREF) ?
                           "on" : "off");
}

static bool check_config(unsigned bar, const BarMode *mode,
                         const IdtNtbBarConfig *config, Error **errp)
{
    ERRP_GUARD();
    bool is_pair = bar == 2 || bar == 4;

    if (!is_power_of_2(config->size) || config->size < BAR_MIN_SIZE) {
        error_setg(errp, "bar%u-size=%" PRIu64 " must be a power of two of at "
                   "least %u", bar, config->size, BAR_MIN_SIZE);
    } else if (config->is_64bit && !is_pair) {
        error_setg(errp, "bar%u-64bit=on: only BAR2 and BAR4 can have 64 bits",
                   bar);
    } else if (!config->is_64bit && config->size > BAR_MAX_SIZE_32) {
        error_setg(errp, "bar%u-size=%" PRIu64 " is too large for a BAR of 32 "
                   "bits", bar, config->size);
        error_append_hint(errp, "Use 2G or less, or BAR2 or BAR4 with 64 "
                          "bits.\n");
    } else if (mode->segments > 1 && !is_pair) {
        error_setg(errp, "bar%u-mode=%s: only BAR2 and BAR4 have a lookup "
                   "table", bar, mode->name);
        error_append_hint(errp, "Use bar%u-mode=direct.\n", bar);
    } else {
        return true;
    }
    return false;
}

static bool convert_config(unsigned bar, const IdtNtbBarConfig *config,
                           uint32_t *barsetup, Error **errp)
{
    ERRP_GUARD();
    uint32_t value = R_BARSETUP0_EN_MASK;
    const BarMode *mode = NULL;

    *barsetup = 0;
    if (!g_strcmp0(config->mode, "off")) {
        return true;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(bar_modes); i++) {
        if (!g_strcmp0(config->mode, bar_modes[i].name)) {
            mode = &bar_modes[i];
        }
    }
    if (!mode) {
        error_setg(errp, "bar%u-mode=%s is unknown", bar, config->mode);
        error_append_hint(errp, "Use off, direct, lut12 or lut24.\n");
        return false;
    }
    if (!check_config(bar, mode, config, errp)) {
        return false;
    }
    value = FIELD_DP32(value, BARSETUP0, TYPE,
                       config->is_64bit ? IDT_BAR_TYPE_64 : IDT_BAR_TYPE_32);
    value = FIELD_DP32(value, BARSETUP0, PREF, config->prefetch);
    value = FIELD_DP32(value, BARSETUP0, SIZE, ctz64(config->size));
    *barsetup = FIELD_DP32(value, BARSETUP0, ATRAN, mode->atran);
    return true;
}

void idt_ntb_bars_warn(const uint32_t barsetup[IDT_NUM_BARS])
{
    unsigned windows = 0;

    if (!is_on(barsetup[0])) {
        warn_report("idt-ntb: BAR0 is not the configuration space, which "
                    "Linux's ntb_hw_idt needs");
    }
    for (unsigned bar = 1; bar < IDT_NUM_BARS; bar++) {
        windows += idt_ntb_bar_windows(barsetup[bar]);
        if (idt_ntb_bar_size(barsetup[bar]) > LINUX_MAX_SIZE) {
            warn_report("idt-ntb: BAR%u is larger than 1 GiB, which Linux's "
                        "ntb_hw_idt can't use", bar);
        }
    }
    if (windows > LINUX_MAX_WINDOWS) {
        warn_report("idt-ntb: the BARs have %u windows; Linux's ntb_hw_idt "
                    "uses %u at most", windows, LINUX_MAX_WINDOWS);
    }
}

/* BAR2 and BAR4 share the entries of the lookup table */
static bool needs_two_tables(const uint32_t barsetup[IDT_NUM_BARS])
{
    return idt_ntb_bar_windows(barsetup[2]) == IDT_LUT_ENTRIES &&
           idt_ntb_bar_windows(barsetup[4]) == IDT_LUT_ENTRIES;
}

bool idt_ntb_bars_setup(const IdtNtbBarConfig config[IDT_NUM_BARS],
                        uint32_t barsetup[IDT_NUM_BARS], Error **errp)
{
    ERRP_GUARD();

    barsetup[0] = BARSETUP_CFG;
    for (unsigned bar = 1; bar < IDT_NUM_BARS; bar++) {
        if (!convert_config(bar, &config[bar], &barsetup[bar], errp)) {
            return false;
        }
        if (barsetup[bar] && idt_ntb_bar_is_64bit(barsetup[bar - 1])) {
            error_setg(errp, "BAR%u is the upper half of BAR%u, which has 64 "
                       "bits", bar, bar - 1);
            error_append_hint(errp, "Use bar%u-mode=off or bar%u-64bit=off.\n",
                              bar, bar - 1);
            return false;
        }
    }
    if (needs_two_tables(barsetup)) {
        error_setg(errp, "bar2-mode=lut24 and bar4-mode=lut24 need more "
                   "entries than the lookup table has");
        error_append_hint(errp, "Use lut12 for one of them.\n");
        return false;
    }
    return true;
}

void idt_ntb_bars_layout(const uint32_t barsetup[IDT_NUM_BARS],
                         uint32_t layout[IDT_NUM_BARS])
{
    for (unsigned bar = 0; bar < IDT_NUM_BARS; bar++) {
        bool is_upper = bar % 2 && idt_ntb_bar_is_64bit(barsetup[bar - 1]);

        layout[bar] = is_on(barsetup[bar]) && !is_upper ?
                      barsetup[bar] & ~R_BARSETUP0_TPART_MASK : 0;
    }
}

static bool check_barsetup(unsigned bar, uint32_t barsetup, Error **errp)
{
    unsigned type = FIELD_EX32(barsetup, BARSETUP0, TYPE);
    unsigned size = FIELD_EX32(barsetup, BARSETUP0, SIZE);
    const BarMode *mode = find_mode(barsetup);
    const char *why = NULL;

    if (FIELD_EX32(barsetup, BARSETUP0, MEMSI)) {
        why = "MEMSI: I/O space is not modelled";
    } else if (type != IDT_BAR_TYPE_32 && type != IDT_BAR_TYPE_64) {
        why = "TYPE must be 0 (32 bits) or 2 (64 bits)";
    } else if (type == IDT_BAR_TYPE_64 && bar % 2) {
        why = "TYPE: only BAR0, BAR2 and BAR4 can have 64 bits";
    } else if (FIELD_EX32(barsetup, BARSETUP0, MODE) != (bar == 0)) {
        why = bar ? "MODE: configuration space is modelled in BAR0 only" :
                    "MODE: BAR0 is modelled as configuration space only";
    } else if (bar == 0 && size != IDT_NT_CFG_SHIFT) {
        why = "SIZE of the configuration space must be 12";
    } else if (size < BAR_MIN_SHIFT ||
               size > (type == IDT_BAR_TYPE_64 ? BAR_MAX_SHIFT_64 :
                                                 BAR_MAX_SHIFT_32)) {
        why = "SIZE is out of range: 9 to 31, with 64 bits to 62";
    } else if (!mode) {
        why = "ATRAN is reserved";
    } else if (mode->segments > 1 && bar != 2 && bar != 4) {
        why = "ATRAN: only BAR2 and BAR4 have a lookup table";
    }
    if (why) {
        error_setg(errp, "BARSETUP%u = 0x%08x: %s", bar, barsetup, why);
        return false;
    }
    return true;
}

bool idt_ntb_bars_check(const uint32_t barsetup[IDT_NUM_BARS], Error **errp)
{
    for (unsigned bar = 0; bar < IDT_NUM_BARS; bar++) {
        if (!is_on(barsetup[bar])) {
            continue;
        }
        if (!check_barsetup(bar, barsetup[bar], errp)) {
            return false;
        }
        if (bar && idt_ntb_bar_is_64bit(barsetup[bar - 1])) {
            error_setg(errp, "BARSETUP%u = 0x%08x: BAR%u is the upper half of "
                       "BAR%u, which has 64 bits", bar, barsetup[bar], bar,
                       bar - 1);
            return false;
        }
    }
    if (needs_two_tables(barsetup)) {
        error_setg(errp, "BARSETUP2 and BARSETUP4 need more entries than the "
                   "lookup table has: 24 each");
        return false;
    }
    return true;
}

bool idt_ntb_bars_are_default(const uint32_t barsetup[IDT_NUM_BARS])
{
    /* The defaults of the properties in idt_ntb.c, as on a real board */
    static const uint32_t defaults[IDT_NUM_BARS] = {
        BARSETUP_CFG, 0x80000140, 0x8000119c, 0, 0x8000014c, 0,
    };

    return !memcmp(barsetup, defaults, sizeof(defaults));
}

uint8_t idt_ntb_bar_type(uint32_t barsetup)
{
    uint8_t type = PCI_BASE_ADDRESS_SPACE_MEMORY;

    if (idt_ntb_bar_is_64bit(barsetup)) {
        type |= PCI_BASE_ADDRESS_MEM_TYPE_64;
    }
    if (is_on(barsetup) && FIELD_EX32(barsetup, BARSETUP0, PREF)) {
        type |= PCI_BASE_ADDRESS_MEM_PREFETCH;
    }
    return type;
}

/* Undo pci_register_bar(), which QEMU has no function for */
static void unregister_bar(PCIDevice *pci, unsigned bar, uint32_t barsetup)
{
    unsigned first = PCI_BASE_ADDRESS_0 + bar * 4;
    unsigned size = idt_ntb_bar_is_64bit(barsetup) ? 8 : 4;

    pci->io_regions[bar] = (PCIIORegion) { .addr = PCI_BAR_UNMAPPED };
    memset(pci->config + first, 0, size);
    memset(pci->wmask + first, 0, size);
    memset(pci->cmask + first, 0, size);
}

void idt_ntb_bars_register(PCIDevice *pci, MemoryRegion *mr[IDT_NUM_BARS],
                           const uint32_t old[IDT_NUM_BARS],
                           const uint32_t new[IDT_NUM_BARS])
{
    /* Unregister all first: a new BAR may be the upper half of an old one */
    for (unsigned bar = 0; bar < IDT_NUM_BARS; bar++) {
        if (old[bar] != new[bar]) {
            unregister_bar(pci, bar, old[bar]);
        }
    }
    for (unsigned bar = 0; bar < IDT_NUM_BARS; bar++) {
        if (old[bar] != new[bar] && new[bar]) {
            memory_region_set_size(mr[bar], idt_ntb_bar_size(new[bar]));
            pci_register_bar(pci, bar, idt_ntb_bar_type(new[bar]), mr[bar]);
        }
    }
}
