/*
 * IDT 89HPESxNTx PCIe switch: the reset image
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/error-report.h"
#include "qemu/log.h"
#include "hw/pci/pci_regs.h"
#include "bars.h"
#include "bridge.h"
#include "config.h"
#include "eeprom.h"
#include "failover.h"
#include "flash.h"
#include "regs.h"
#include "topology.h"

/* Making an image */

/* Boards set the delays of the chip to 0 first, and back at the end */
static const struct {
    uint32_t addr;
    uint32_t value;
} delays[] = {
    { A_RDRAINDELAY, IDT_RDRAINDELAY_RESET },
    { A_POMCDELAY, IDT_POMCDELAY_RESET },
    { A_SEDELAY, IDT_SEDELAY_RESET },
    { A_USSBRDELAY, IDT_USSBRDELAY_RESET },
};

/* Writes a control register, waits for @done in its status, clears that */
static void put_change(GByteArray *image, uint32_t ctl, uint32_t value,
                       uint32_t sts, uint32_t done, uint32_t clear)
{
    idt_ntb_eeprom_put(image, ctl, value);
    idt_ntb_eeprom_put_wait(image, sts, done, ~done);
    idt_ntb_eeprom_put(image, sts, clear);
}

static void put_partition(GByteArray *image, unsigned part)
{
    uint32_t offset = part * IDT_PART_STRIDE;

    put_change(image, A_SWPART0CTL + offset, IDT_PART_STATE_ACTIVE,
               A_SWPART0STS + offset, R_SWPART0STS_SCC_MASK,
               R_SWPART0STS_SCI_MASK | R_SWPART0STS_SCC_MASK);
}

static void put_port(GByteArray *image, unsigned port, unsigned part)
{
    uint32_t offset = port * IDT_SWPORT_STRIDE;
    uint32_t ctl = FIELD_DP32(IDT_PORT_MODE_NT, SWPORT0CTL, SWPART, part);

    put_change(image, A_SWPORT0CTL + offset, ctl, A_SWPORT0STS + offset,
               R_SWPORT0STS_OMCC_MASK,
               R_SWPORT0STS_OMCI_MASK | R_SWPORT0STS_OMCC_MASK);
}

static void put_bars(GByteArray *image, unsigned port,
                     const uint32_t barsetup[IDT_NUM_BARS])
{
    uint32_t function = port * IDT_GAS_PORT_STRIDE + IDT_GAS_NT_FUNCTION;

    for (unsigned bar = 0; bar < IDT_NUM_BARS; bar++) {
        if (barsetup[bar]) {
            idt_ntb_eeprom_put(image,
                               function + A_BARSETUP0 + bar * IDT_BAR_STRIDE,
                               barsetup[bar]);
        }
    }
}

/* The order is that of the images of real boards */
static GByteArray *make_image(const IdtNtbChip *chip, unsigned partitions,
                              const uint32_t barsetup[IDT_NUM_BARS])
{
    GByteArray *image = idt_ntb_eeprom_new();

    for (unsigned i = 0; i < ARRAY_SIZE(delays); i++) {
        idt_ntb_eeprom_put(image, delays[i].addr, 0);
    }
    for (unsigned i = 0; i < partitions; i++) {
        put_partition(image, i);
    }
    for (unsigned i = 0; i < partitions; i++) {
        put_port(image, chip->nt_ports[i], i);
    }
    /* All ports, so that those that are enabled later have BARs too */
    for (unsigned i = 0; i < chip->num_nt_ports; i++) {
        put_bars(image, chip->nt_ports[i], barsetup);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(delays); i++) {
        idt_ntb_eeprom_put(image, delays[i].addr, delays[i].value);
    }
    idt_ntb_eeprom_put(image, A_TMPCTL, R_TMPCTL_PDOWN_MASK);
    idt_ntb_eeprom_end(image);
    return image;
}

bool idt_ntb_config_init(IdtNtbConfig *config, const IdtNtbChip *chip,
                         const char *file, bool writable, unsigned partitions,
                         const uint32_t barsetup[IDT_NUM_BARS], Error **errp)
{
    g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA256);
    gsize size = sizeof(config->digest);

    *config = (IdtNtbConfig) {
        .file = file,
        .writable = writable,
        .fd = -1,
        .partitions = partitions,
        .is_default = !file && partitions == IDT_NTB_DEFAULT_PARTITIONS &&
                      idt_ntb_bars_are_default(barsetup),
    };
    memcpy(config->barsetup, barsetup, sizeof(config->barsetup));
    if (!file) {
        config->image = make_image(chip, partitions, barsetup);
    } else if (!idt_ntb_eeprom_load(file, writable, &config->image, &config->fd,
                                    errp)) {
        return false;
    }
    g_checksum_update(checksum, config->image->data, config->image->len);
    g_checksum_get_digest(checksum, config->digest, &size);
    return true;
}

void idt_ntb_config_cleanup(IdtNtbConfig *config)
{
    g_clear_pointer(&config->image, g_byte_array_unref);
    if (config->fd >= 0) {
        qemu_close(config->fd);
        config->fd = -1;
    }
}

/* Reset values */

/* The bits of header and capabilities that an image can change */
static uint32_t image_mask(unsigned offset)
{
    switch (offset) {
    case A_PCIELCTLSTS:
        return R_PCIELCTLSTS_SCLK_MASK;
    case A_SSIDSSVID:
    case A_DSN_LOWER:
    case A_DSN_UPPER:
        return UINT32_MAX;
    default:
        return 0;
    }
}

static bool is_bar(unsigned offset)
{
    return offset >= PCI_BASE_ADDRESS_0 && offset <= PCI_BASE_ADDRESS_5;
}

uint32_t idt_ntb_config_reset_cfg(const IdtNtbSwitch *sw, unsigned slot,
                                  unsigned offset)
{
    const IdtNtbShmPort *image = idt_ntb_switch_reset_image(sw, slot);
    unsigned port = idt_ntb_switch_port(sw, slot);
    uint32_t mask = image_mask(offset);

    if (is_bar(offset)) {
        unsigned bar = (offset - PCI_BASE_ADDRESS_0) / 4;

        return idt_ntb_bar_type(qatomic_read(&image->barsetup[bar]));
    }
    return (idt_ntb_switch_default_cfg(sw, port, offset) & ~mask) |
           (qatomic_read(&image->cfg[offset / 4]) & mask);
}

void idt_ntb_config_publish_reset(IdtNtbSwitch *sw, unsigned slot)
{
    IdtNtbShmPort *p = idt_ntb_switch_block(sw, slot);

    for (unsigned i = 0; i < ARRAY_SIZE(p->cfg); i++) {
        qatomic_set(&p->cfg[i], idt_ntb_config_reset_cfg(sw, slot, i * 4));
    }
}

/* Executing the image */

/* Writes header and capabilities of an NT function, as far as an image can */
static void write_nt_header(IdtNtbSwitch *sw, unsigned slot, unsigned offset,
                            uint32_t value)
{
    uint32_t *word = &idt_ntb_switch_reset_image(sw, slot)->cfg[offset / 4];
    uint32_t mask = image_mask(offset);

    if (!mask) {
        qemu_log_mask(LOG_UNIMP, "idt-ntb: EEPROM image: write of 0x%08x to "
                      "0x%03x of the NT function of port %u is not modelled\n",
                      value, offset, idt_ntb_switch_port(sw, slot));
    }
    qatomic_set(word, (qatomic_read(word) & ~mask) | (value & mask));
}

/* True if @addr is in header or capabilities of the NT function of a slot */
static bool is_nt_header(const IdtNtbSwitch *sw, uint32_t addr, int *slot,
                         uint32_t *offset)
{
    *slot = idt_ntb_switch_slot(sw, addr / IDT_GAS_PORT_STRIDE);
    *offset = addr % IDT_GAS_PORT_STRIDE - IDT_GAS_NT_FUNCTION;
    return addr % IDT_GAS_PORT_STRIDE >= IDT_GAS_NT_FUNCTION &&
           *offset < IDT_NT_REGS && *slot >= 0;
}

static bool is_bridge_function(const IdtNtbSwitch *sw, uint32_t addr,
                               unsigned *port, uint32_t *offset)
{
    *port = addr / IDT_GAS_PORT_STRIDE;
    *offset = addr % IDT_GAS_PORT_STRIDE;
    return idt_ntb_bridge_has(sw, *port, *offset);
}

/* True if the chip has the port at @addr, below the registers of the switch */
static bool has_port(const IdtNtbSwitch *sw, uint32_t addr)
{
    return sw->chip->all_ports & BIT(addr / IDT_GAS_PORT_STRIDE);
}

static uint32_t read_image_register(void *opaque, uint32_t addr)
{
    IdtNtbRegs *regs = opaque;
    uint32_t offset;
    int slot;

    if (is_nt_header(regs->sw, addr, &slot, &offset)) {
        return idt_ntb_config_reset_cfg(regs->sw, slot, offset);
    }
    return idt_ntb_regs_read_gas(regs, addr);
}

static bool check_port_mode(const IdtNtbSwitch *sw, unsigned port,
                            uint32_t value, Error **errp)
{
    unsigned mode = FIELD_EX32(value, SWPORT0CTL, MODE);

    if (idt_ntb_topology_can_have_mode(sw, port, mode)) {
        return true;
    }
    error_setg(errp, "SWPORT%uCTL = 0x%08x: port %u of %s can't have mode %u",
               port, value, port, sw->chip->name, mode);
    return false;
}

static bool write_image_register(void *opaque, uint32_t addr, uint32_t value,
                                 Error **errp)
{
    IdtNtbRegs *regs = opaque;
    uint32_t control = addr - A_SWPORT0CTL;
    IdtNtbEffects effects = { };        /* on nothing: no port is attached */
    uint32_t offset;
    unsigned port;
    int slot;

    if (addr >= A_SWPORT0CTL && control % IDT_SWPORT_STRIDE == 0 &&
        control / IDT_SWPORT_STRIDE < IDT_MAX_PORTS &&
        !check_port_mode(regs->sw, control / IDT_SWPORT_STRIDE, value, errp)) {
        return false;
    }
    if (addr < IDT_GAS_SWITCH && !has_port(regs->sw, addr)) {
        qatomic_or(&regs->sw->shm->sw.smbussts, R_SMBUSSTS_URIA_MASK);
    } else if (is_nt_header(regs->sw, addr, &slot, &offset)) {
        write_nt_header(regs->sw, slot, offset, value);
    } else if (is_bridge_function(regs->sw, addr, &port, &offset)) {
        idt_ntb_bridge_write_image(regs->sw, port, offset, value);
    } else {
        idt_ntb_regs_write_gas(regs, addr, value, UINT32_MAX, &effects);
    }
    return true;
}

static const IdtNtbEepromOps image_ops = {
    .read = read_image_register,
    .write = write_image_register,
};

/* Makes the NT functions as they are now what a reset returns to */
static bool keep_nt_functions(IdtNtbSwitch *sw, Error **errp)
{
    ERRP_GUARD();

    memcpy(sw->shm->sw.reset_mtbl, sw->shm->sw.mtbl,
           sizeof(sw->shm->sw.reset_mtbl));
    for (unsigned slot = 0; slot < sw->num_slots; slot++) {
        IdtNtbShmPort *p = idt_ntb_switch_block(sw, slot);

        /* Messages and errors that the image caused have no receiver */
        p->outmsgsts = p->ntueem = p->ntceem = 0;
        idt_ntb_regs_copy_port(idt_ntb_switch_reset_image(sw, slot), p);
        idt_ntb_config_publish_reset(sw, slot);
        if (!idt_ntb_switch_has_nt(sw, slot) &&
            !idt_ntb_failover_gives_nt(sw, slot)) {
            continue;
        }
        if (!idt_ntb_bars_check(p->barsetup, errp)) {
            error_prepend(errp, "port %u: ", idt_ntb_switch_port(sw, slot));
            return false;
        }
        sw->shm->header.nt_slots |= BIT(slot);
    }
    if (!sw->shm->header.nt_slots) {
        error_setg(errp, "no port has a mode with an NT function");
        return false;
    }
    return true;
}

/* Records in the header which image configures the switch */
static void describe(IdtNtbShmHeader *header, const IdtNtbConfig *config)
{
    header->from_file = !!config->file;
    header->partitions = config->partitions;
    memcpy(header->barsetup, config->barsetup, sizeof(header->barsetup));
    header->image_size = config->image->len;
    memcpy(header->image_digest, config->digest, sizeof(header->image_digest));
}

/*
 * Executes the image.  An image that guests may write can be one that a guest
 * broke: keep what it did before the error, and show the error in SMBUSSTS, as
 * the chip does.
 */
static bool execute(IdtNtbSwitch *sw, Error **errp)
{
    IdtNtbRegs regs = { .sw = sw, .configuring = true };
    g_autoptr(Error) fault = NULL;

    idt_ntb_flash_fill(sw, sw->config->image);
    if (!idt_ntb_eeprom_run(sw->config->image, sw->config->writable, &image_ops,
                            &regs, &fault)) {
        qatomic_or(&sw->shm->sw.smbussts, R_SMBUSSTS_EED_MASK);
    }
    qatomic_or(&sw->shm->sw.smbussts, R_SMBUSSTS_EEPROMDONE_MASK);
    if (fault && !sw->config->writable) {
        error_propagate(errp, g_steal_pointer(&fault));
        return false;
    }
    if (!keep_nt_functions(sw, fault ? NULL : errp)) {
        error_propagate(errp, g_steal_pointer(&fault));
        return false;
    }
    if (fault) {
        warn_report("idt-ntb: EEPROM image '%s': %s; the switch keeps what "
                    "was loaded before the error", sw->config->file,
                    error_get_pretty(fault));
    }
    return true;
}

bool idt_ntb_config_run(IdtNtbSwitch *sw, Error **errp)
{
    ERRP_GUARD();

    for (unsigned slot = 0; slot < sw->num_slots; slot++) {
        IdtNtbShmPort *image = idt_ntb_switch_reset_image(sw, slot);

        for (unsigned i = 0; i < ARRAY_SIZE(image->cfg); i++) {
            image->cfg[i] = idt_ntb_switch_default_cfg(
                sw, idt_ntb_switch_port(sw, slot), i * 4);
        }
    }
    describe(&sw->shm->header, sw->config);
    if (execute(sw, errp)) {
        return true;
    }
    error_prepend(errp, "EEPROM image '%s': ",
                  sw->config->file ? sw->config->file : "(of the properties)");
    return false;
}

/* Comparing with the running switch */

/* True for the image of the running switch, as it was or as guests left it */
static bool is_same_image(const IdtNtbSwitch *sw, const IdtNtbConfig *config)
{
    const IdtNtbShmHeader *header = &sw->shm->header;
    uint8_t digest[IDT_NTB_DIGEST_SIZE];

    memcpy(digest, header->image_digest, sizeof(digest));
    return (qatomic_read(&header->image_size) == config->image->len &&
            !memcmp(digest, config->digest, sizeof(digest))) ||
           idt_ntb_flash_holds(sw, config->image);
}

static bool check_bars(const IdtNtbShmHeader *header,
                       const IdtNtbConfig *config, Error **errp)
{
    ERRP_GUARD();

    for (unsigned bar = 1; bar < IDT_NUM_BARS; bar++) {
        uint32_t running = qatomic_read(&header->barsetup[bar]);
        uint32_t wanted = config->barsetup[bar];

        if (running != wanted) {
            g_autofree char *ours = idt_ntb_bar_name(bar, wanted);
            g_autofree char *theirs = idt_ntb_bar_name(bar, running);

            error_setg(errp, "BAR%u is %s, but in the running switch it is %s",
                       bar, ours, theirs);
            error_append_hint(errp, "Use the same BARs for all ports.\n");
            return false;
        }
    }
    return true;
}

static bool check_properties(const IdtNtbShmHeader *header,
                             const IdtNtbConfig *config, Error **errp)
{
    ERRP_GUARD();
    uint32_t partitions = qatomic_read(&header->partitions);

    if (partitions != config->partitions) {
        error_setg(errp, "partitions=%u, but the running switch has "
                   "partitions=%u", config->partitions, partitions);
        error_append_hint(errp, "Use the same partitions= for all ports.\n");
        return false;
    }
    return check_bars(header, config, errp);
}

bool idt_ntb_config_check(const IdtNtbSwitch *sw, Error **errp)
{
    ERRP_GUARD();
    const IdtNtbShmHeader *header = &sw->shm->header;
    bool from_file = qatomic_read(&header->from_file);
    const IdtNtbConfig *config = sw->config;

    if (!config->file && !from_file) {
        return check_properties(header, config, errp);
    }
    /* If the file is ours to write already, guests may have changed it */
    if (config->fd >= 0 && !idt_ntb_flash_holds(sw, config->image)) {
        error_setg(errp, "eeprom=%s does not hold what the EEPROM of the "
                   "running switch holds now, so eeprom-writable=on is not "
                   "possible", config->file);
        error_append_hint(errp, "Use one file for all ports.\n");
        return false;
    }
    if (is_same_image(sw, config) || config->is_default) {
        return true;
    }
    if (config->file && from_file) {
        error_setg(errp, "eeprom=%s is not the image of %u bytes that "
                   "configured the running switch", config->file,
                   qatomic_read(&header->image_size));
        error_append_hint(errp, "Use the same image for all ports.\n");
    } else if (config->file) {
        error_setg(errp, "the running switch was configured by properties, "
                   "not by eeprom=%s", config->file);
        error_append_hint(errp, "To attach to it, leave out eeprom=.\n");
    } else {
        error_setg(errp, "the running switch was configured by an EEPROM "
                   "image");
        error_append_hint(errp, "Leave out partitions= and bar*=, or use "
                          "eeprom= with that image.\n");
    }
    return false;
}

bool idt_ntb_config_has_nt(const IdtNtbSwitch *sw, unsigned slot)
{
    return idt_ntb_switch_has_nt(sw, slot) ||
           qatomic_read(&sw->shm->header.nt_slots) & BIT(slot);
}
