/*
 * IDT 89HPESxNTx PCIe switch: what configures a new switch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/error-report.h"
#include "bars.h"
#include "config.h"
#include "bridge.h"
#include "eeprom.h"
#include "failover.h"
#include "flash.h"
#include "regs.h"
#include "topology.h"

/* Making an image */

/* Delays of the chip, and what a board sets them back to */
static const struct {
    uint32_t addr;
    uint32_t value;
} delays[] = {
    { A_RDRAINDELAY, IDT_RDRAINDELAY_RESET },
    { A_POMCDELAY, IDT_POMCDELAY_RESET },
    { A_SEDELAY, IDT_SEDELAY_RESET },
    { A_USSBRDELAY, IDT_USSBRDELAY_RESET },
};

/* Write a control register, wait for @done in its status, clear that */
static void put_change(GByteArray *image, uint32_t ctl, uint32_t value,
                       uint32_t sts, uint32_t done, uint32_t clear)
{
    idt_ntb_eeprom_put(image, ctl, value);
    idt_ntb_eeprom_put_wait(image, sts, done, ~done);
    idt_ntb_eeprom_put(image, sts, clear);
}

static void put_partition(GByteArray *image, unsigned partition)
{
    uint32_t offset = partition * IDT_PART_STRIDE;

    put_change(image, A_SWPART0CTL + offset, IDT_PART_STATE_ACTIVE,
               A_SWPART0STS + offset, R_SWPART0STS_SCC_MASK,
               R_SWPART0STS_SCI_MASK | R_SWPART0STS_SCC_MASK);
}

static void put_port(GByteArray *image, unsigned port, unsigned partition)
{
    uint32_t offset = port * IDT_SWPORT_STRIDE;
    uint32_t ctl = FIELD_DP32(IDT_PORT_MODE_NT, SWPORT0CTL, SWPART, partition);

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

/* In the order of real boards' images */
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
    /* Of all ports, so that those that are enabled later have them too */
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

bool idt_ntb_config_init(IdtNtbConfig *boot, const IdtNtbChip *chip,
                       const char *file, bool writable, unsigned partitions,
                       const uint32_t barsetup[IDT_NUM_BARS], Error **errp)
{
    g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA256);
    gsize size = sizeof(boot->digest);

    *boot = (IdtNtbConfig) {
        .file = file,
        .writable = writable,
        .fd = -1,
        .partitions = partitions,
        .is_default = !file && partitions == IDT_NTB_DEFAULT_PARTITIONS &&
                      idt_ntb_bars_are_default(barsetup),
    };
    memcpy(boot->barsetup, barsetup, sizeof(boot->barsetup));
    if (!file) {
        boot->image = make_image(chip, partitions, barsetup);
    } else if (!idt_ntb_eeprom_load(file, writable, &boot->image, &boot->fd,
                                    errp)) {
        return false;
    }
    g_checksum_update(checksum, boot->image->data, boot->image->len);
    g_checksum_get_digest(checksum, boot->digest, &size);
    return true;
}

void idt_ntb_config_cleanup(IdtNtbConfig *boot)
{
    g_clear_pointer(&boot->image, g_byte_array_unref);
    if (boot->fd >= 0) {
        qemu_close(boot->fd);
        boot->fd = -1;
    }
}

/* Executing it */

/* True for header and capabilities of an NT function, which a port can have */
static bool is_nt_header(const IdtNtbSwitch *sw, uint32_t addr,
                         unsigned *port, uint32_t *offset)
{
    *port = addr / IDT_GAS_PORT_STRIDE;
    *offset = addr % IDT_GAS_PORT_STRIDE - IDT_GAS_NT_FUNCTION;
    return addr % IDT_GAS_PORT_STRIDE >= IDT_GAS_NT_FUNCTION &&
           *offset < IDT_NT_REGS && idt_ntb_switch_index(sw, *port) >= 0;
}

static bool is_bridge_function(const IdtNtbSwitch *sw, uint32_t addr,
                               unsigned *port, uint32_t *offset)
{
    *port = addr / IDT_GAS_PORT_STRIDE;
    *offset = addr % IDT_GAS_PORT_STRIDE;
    return idt_ntb_bridge_has(sw, *port, *offset);
}

/* True if @addr, which is below the registers of the switch, is a port's */
static bool has_port(const IdtNtbSwitch *sw, uint32_t addr)
{
    return sw->chip->all_ports & BIT(addr / IDT_GAS_PORT_STRIDE);
}

static uint32_t boot_read(void *opaque, uint32_t addr)
{
    IdtNtbRegs *regs = opaque;
    uint32_t offset;
    unsigned port;

    if (is_nt_header(regs->sw, addr, &port, &offset)) {
        return idt_ntb_switch_reset_cfg(regs->sw, port, offset);
    }
    return idt_ntb_gas_read(regs, addr);
}

static bool check_port_mode(const IdtNtbSwitch *sw, unsigned port,
                            uint32_t value, Error **errp)
{
    unsigned mode = FIELD_EX32(value, SWPORT0CTL, MODE);

    if (idt_ntb_topology_mode_is_valid(sw, port, mode)) {
        return true;
    }
    error_setg(errp, "SWPORT%uCTL = 0x%08x: port %u of %s can't have mode %u",
               port, value, port, sw->chip->name, mode);
    return false;
}

static bool boot_write(void *opaque, uint32_t addr, uint32_t value,
                       Error **errp)
{
    IdtNtbRegs *regs = opaque;
    uint32_t control = addr - A_SWPORT0CTL;
    uint32_t offset;
    unsigned port;

    if (addr >= A_SWPORT0CTL && control % IDT_SWPORT_STRIDE == 0 &&
        control / IDT_SWPORT_STRIDE < IDT_MAX_PORTS &&
        !check_port_mode(regs->sw, control / IDT_SWPORT_STRIDE, value, errp)) {
        return false;
    }
    if (addr < IDT_GAS_SWITCH && !has_port(regs->sw, addr)) {
        qatomic_or(&regs->sw->shm->sw.smbussts, R_SMBUSSTS_URIA_MASK);
    } else if (is_nt_header(regs->sw, addr, &port, &offset)) {
        idt_ntb_switch_boot_cfg(regs->sw, port, offset, value);
    } else if (is_bridge_function(regs->sw, addr, &port, &offset)) {
        idt_ntb_bridge_boot_write(regs->sw, port, offset, value);
    } else {
        idt_ntb_gas_write(regs, addr, value, UINT32_MAX);
    }
    return true;
}

static const IdtNtbEepromOps boot_ops = {
    .read = boot_read,
    .write = boot_write,
};

/* What the image made of the NT functions is what a reset makes of them */
static bool keep_nt_functions(IdtNtbSwitch *sw, Error **errp)
{
    ERRP_GUARD();

    memcpy(sw->shm->sw.reset_mtbl, sw->shm->sw.mtbl,
           sizeof(sw->shm->sw.reset_mtbl));
    for (unsigned i = 0; i < sw->num_ports; i++) {
        unsigned port = idt_ntb_switch_port(sw, i);
        IdtNtbShmPort *p = idt_ntb_switch_block(sw, port);

        /* Messages and errors that the image causes have no receiver */
        p->outmsgsts = p->ntueem = p->ntceem = 0;
        idt_ntb_regs_copy_port(idt_ntb_switch_boot(sw, port), p);
        idt_ntb_switch_publish_reset(sw, port);
        if (!idt_ntb_switch_has_nt(sw, port) &&
            !idt_ntb_failover_has_nt(sw, port)) {
            continue;
        }
        if (!idt_ntb_bars_check(p->barsetup, errp)) {
            error_prepend(errp, "port %u: ", port);
            return false;
        }
        sw->shm->header.nt_slots |= BIT(i);
    }
    if (!sw->shm->header.nt_slots) {
        error_setg(errp, "no port has a mode with an NT function");
        return false;
    }
    return true;
}

static void describe(IdtNtbShmHeader *header, const IdtNtbConfig *boot)
{
    header->from_file = !!boot->file;
    header->partitions = boot->partitions;
    memcpy(header->barsetup, boot->barsetup, sizeof(header->barsetup));
    header->image_size = boot->image->len;
    memcpy(header->image_digest, boot->digest, sizeof(header->image_digest));
}

/*
 * Executes the image.  One that guests may write is the board's, as they left
 * it: what it does before an error is done, and the error shows in SMBUSSTS.
 */
static bool execute(IdtNtbSwitch *sw, Error **errp)
{
    IdtNtbRegs regs = { .sw = sw, .boot = true };
    g_autoptr(Error) fault = NULL;

    idt_ntb_flash_fill(sw, sw->boot->image);
    if (!idt_ntb_eeprom_run(sw->boot->image, sw->boot->writable, &boot_ops,
                            &regs, &fault)) {
        qatomic_or(&sw->shm->sw.smbussts, R_SMBUSSTS_EED_MASK);
    }
    qatomic_or(&sw->shm->sw.smbussts, R_SMBUSSTS_EEPROMDONE_MASK);
    if (fault && !sw->boot->writable) {
        error_propagate(errp, g_steal_pointer(&fault));
        return false;
    }
    if (!keep_nt_functions(sw, fault ? NULL : errp)) {
        error_propagate(errp, g_steal_pointer(&fault));
        return false;
    }
    if (fault) {
        warn_report("idt-ntb: EEPROM image '%s': %s; the switch has what was "
                    "loaded until there", sw->boot->file,
                    error_get_pretty(fault));
    }
    return true;
}

bool idt_ntb_config_run(IdtNtbSwitch *sw, Error **errp)
{
    ERRP_GUARD();

    for (unsigned i = 0; i < sw->num_ports; i++) {
        IdtNtbShmPort *boot = idt_ntb_switch_boot(sw,
                                                  idt_ntb_switch_port(sw, i));

        for (unsigned word = 0; word < ARRAY_SIZE(boot->cfg); word++) {
            boot->cfg[word] = idt_ntb_switch_default_cfg(
                sw, idt_ntb_switch_port(sw, i), word * 4);
        }
    }
    describe(&sw->shm->header, sw->boot);
    if (execute(sw, errp)) {
        return true;
    }
    error_prepend(errp, "EEPROM image '%s': ",
                  sw->boot->file ? sw->boot->file : "(of the properties)");
    return false;
}

/* Agreeing with what runs */

/* The image that the switch was configured by, or what guests made of it */
static bool is_same_image(const IdtNtbSwitch *sw, const IdtNtbConfig *boot)
{
    const IdtNtbShmHeader *header = &sw->shm->header;
    uint8_t digest[IDT_NTB_DIGEST_SIZE];

    memcpy(digest, header->image_digest, sizeof(digest));
    return (qatomic_read(&header->image_size) == boot->image->len &&
            !memcmp(digest, boot->digest, sizeof(digest))) ||
           idt_ntb_flash_holds(sw, boot->image);
}

static bool check_bars(const IdtNtbShmHeader *header, const IdtNtbConfig *boot,
                       Error **errp)
{
    for (unsigned bar = 1; bar < IDT_NUM_BARS; bar++) {
        uint32_t running = qatomic_read(&header->barsetup[bar]);

        if (running != boot->barsetup[bar]) {
            g_autofree char *ours = idt_ntb_bar_name(bar, boot->barsetup[bar]);
            g_autofree char *theirs = idt_ntb_bar_name(bar, running);

            error_setg(errp, "BAR%u is %s, but in the switch that is running "
                       "it is %s; use the same values for all ports", bar,
                       ours, theirs);
            return false;
        }
    }
    return true;
}

static bool check_properties(const IdtNtbShmHeader *header,
                             const IdtNtbConfig *boot, Error **errp)
{
    uint32_t partitions = qatomic_read(&header->partitions);

    if (partitions != boot->partitions) {
        error_setg(errp, "partitions=%u, but the switch that is running has "
                   "partitions=%u; use the same value for all ports",
                   boot->partitions, partitions);
        return false;
    }
    return check_bars(header, boot, errp);
}

bool idt_ntb_config_check(const IdtNtbSwitch *sw, Error **errp)
{
    const IdtNtbShmHeader *header = &sw->shm->header;
    bool from_file = qatomic_read(&header->from_file);
    const IdtNtbConfig *boot = sw->boot;

    if (!boot->file && !from_file) {
        return check_properties(header, boot, errp);
    }
    /* Nobody writes the file yet: the port is new, not at a new server */
    if (boot->fd >= 0 && !idt_ntb_flash_holds(sw, boot->image)) {
        error_setg(errp, "eeprom=%s does not hold what the EEPROM of the "
                   "switch that is running holds now, so that it can't be "
                   "written with eeprom-writable=on; use one file for all "
                   "ports", boot->file);
        return false;
    }
    if (is_same_image(sw, boot) || boot->is_default) {
        return true;
    }
    if (boot->file && from_file) {
        error_setg(errp, "eeprom=%s is not the image of %u bytes that the "
                   "switch that is running was configured by; use the same "
                   "for all ports", boot->file,
                   qatomic_read(&header->image_size));
    } else if (boot->file) {
        error_setg(errp, "the switch that is running was configured by "
                   "properties, not by eeprom=%s; leave out eeprom=",
                   boot->file);
    } else {
        error_setg(errp, "the switch that is running was configured by an "
                   "EEPROM image; leave out partitions= and bar*=, or use "
                   "eeprom= with that image");
    }
    return false;
}

bool idt_ntb_config_has_nt(const IdtNtbSwitch *sw, unsigned port)
{
    int index = idt_ntb_switch_index(sw, port);

    return index >= 0 &&
           (idt_ntb_switch_has_nt(sw, port) ||
            qatomic_read(&sw->shm->header.nt_slots) & BIT(index));
}
