/*
 * IDT 89HPESxNTx PCIe switch: properties for faults on demand
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-types-common.h"
#include "qapi/visitor.h"
#include "hw/pci/pci_device.h"
#include "caps.h"
#include "port.h"
#include "signals.h"
#include "state.h"

#define MAX_LATE_MS     60000

/* Only an access by request can fail to be answered */
bool idt_ntb_can_map(const IdtNtbState *s)
{
    return s->direct && !s->faults.every[IDT_NTB_FAULT_COMPLETIONS];
}

/* Does nothing before the device has a switch: it starts with the faults. */
static void follow(IdtNtbState *s)
{
    PCIDevice *pci = PCI_DEVICE(s);

    if (!s->faults.sw) {
        return;
    }
    idt_ntb_faults_follow(&s->faults);
    idt_ntb_caps_set_link(pci, s->link_width, s->link_speed);
    idt_ntb_port_publish(&s->sw, pci->config);
    idt_ntb_window_set_direct(&s->window, idt_ntb_can_map(s));
    if (s->faults.cable_pulled) {
        idt_ntb_port_pull_cable(&s->sw);
        idt_ntb_window_update(&s->window, BIT(s->sw.slot), BIT(s->sw.slot));
    } else {
        idt_ntb_train_link(s);
    }
    qemu_bh_schedule(s->look_bh);       /* our guest's interrupt */
}

bool idt_ntb_fault_props_check(const IdtNtbState *s, int port, Error **errp)
{
    ERRP_GUARD();

    if (port == IDT_NTB_FAULT_ALL_PORTS) {
        return true;
    }
    if (!idt_ntb_port_check(&s->sw, "fault-port", port, errp)) {
        return false;
    }
    if (port == s->sw.port) {
        error_setg(errp, "fault-port=%d is the port of the device", port);
        error_append_hint(errp, "Use another port's number: faults hit what "
                          "goes there.\n");
        return false;
    }
    return true;
}

/* Without power, the guest does not reach the function; it is reset twice */
static void hold_in_reset(IdtNtbState *s, bool hold)
{
    PCIDevice *pci = PCI_DEVICE(s);

    if (s->held_in_reset == hold) {
        return;
    }
    s->held_in_reset = hold;
    s->following_topology = true;       /* the event is not that of a reset */
    if (hold) {
        s->was_enabled = pci->enabled;
        idt_ntb_signals_raise(&s->sw, IDT_NTB_EVENT_FRST,
                              idt_ntb_switch_partition(&s->sw, s->sw.slot));
    }
    pci_set_power(pci, !hold && s->was_enabled);
    s->following_topology = false;
    idt_ntb_port_publish(&s->sw, pci->config);
    idt_ntb_train_link(s);
}

/* The link */

static bool get_link(Object *obj, Error **errp)
{
    IdtNtbState *s = IDT_NTB(obj);

    return s->sw.shm && idt_ntb_switch_link(&s->sw, s->sw.slot);
}

static void set_link(Object *obj, bool value, Error **errp)
{
    IdtNtbState *s = IDT_NTB(obj);

    s->faults.cable_pulled = !value;
    follow(s);
}

static int get_link_width(Object *obj, Error **errp)
{
    return ctz32(IDT_NTB(obj)->link_width);
}

static void set_link_width(Object *obj, int value, Error **errp)
{
    ERRP_GUARD();
    IdtNtbState *s = IDT_NTB(obj);

    if (value > PCIE_LINK_WIDTH_4) {
        error_setg(errp, "link-width=%s is more than the port's 4 lanes",
                   PCIELinkWidth_str(value));
        error_append_hint(errp, "Use 1, 2 or 4.\n");
        return;
    }
    s->link_width = BIT(value);
    follow(s);
}

static int get_link_speed(Object *obj, Error **errp)
{
    return IDT_NTB(obj)->link_speed - QEMU_PCI_EXP_LNK_2_5GT;
}

static void set_link_speed(Object *obj, int value, Error **errp)
{
    ERRP_GUARD();
    IdtNtbState *s = IDT_NTB(obj);

    if (value > PCIE_LINK_SPEED_5) {
        error_setg(errp, "link-speed=%s is more than the port's 5 GT/s",
                   PCIELinkSpeed_str(value));
        error_append_hint(errp, "Use 2_5 or 5.\n");
        return;
    }
    s->link_speed = value + QEMU_PCI_EXP_LNK_2_5GT;
    follow(s);
}

/* The partition */

static bool get_partition_reset(Object *obj, Error **errp)
{
    return IDT_NTB(obj)->held_in_reset;
}

static void set_partition_reset(Object *obj, bool value, Error **errp)
{
    ERRP_GUARD();
    IdtNtbState *s = IDT_NTB(obj);

    if (!s->sw.shm) {
        error_setg(errp, "the device has no switch yet");
        error_append_hint(errp, "Hold the partition in reset later, with "
                          "qom-set.\n");
        return;
    }
    hold_in_reset(s, value);
}

/* Signals and completions */

typedef struct FaultProperty {
    const char *name;
    size_t offset;              /* in IdtNtbFaults, 32 bits */
    int64_t min;
    int64_t max;
    const char *hint;           /* what the value means */
    const char *description;
} FaultProperty;

#define KIND(kind) \
    .offset = offsetof(IdtNtbFaults, every[IDT_NTB_FAULT_##kind]), \
    .max = UINT32_MAX, \
    .hint = "1 hits all of them, 0 none"

static const FaultProperty fault_properties[] = {
    { "fault-doorbells", KIND(DOORBELLS), .description =
      "Lose each n-th doorbell to another port; 0: none" },
    { "fault-messages", KIND(MESSAGES), .description =
      "Lose each n-th message to another port; 0: none" },
    { "fault-completions", KIND(COMPLETIONS), .description =
      "Leave each n-th read through a window without an answer; 0: none" },
    { "fault-late", offsetof(IdtNtbFaults, late_ms), .max = MAX_LATE_MS,
      .hint = "0 loses doorbells and messages", .description =
      "Deliver lost doorbells and messages so many milliseconds later; "
      "0: never" },
    { "fault-seed", offsetof(IdtNtbFaults, seed), .max = UINT32_MAX,
      .hint = "0 makes exactly each n-th one fail", .description =
      "Seed of random numbers that choose one of n; 0: exactly each n-th" },
    { "fault-port", offsetof(IdtNtbFaults, port),
      .min = IDT_NTB_FAULT_ALL_PORTS, .max = IDT_MAX_PORTS - 1,
      .hint = "-1 means all other ports", .description =
      "Port number that doorbells, messages and reads that fail are for; "
      "-1: all" },
};

static uint32_t *fault_word(Object *obj, const FaultProperty *property)
{
    return (void *)&IDT_NTB(obj)->faults + property->offset;
}

static void get_fault(Object *obj, Visitor *v, const char *name, void *opaque,
                      Error **errp)
{
    const FaultProperty *property = opaque;
    uint32_t word = *fault_word(obj, property);
    int64_t value = property->min < 0 ? (int32_t)word : (int64_t)word;

    visit_type_int(v, name, &value, errp);
}

static void set_fault(Object *obj, Visitor *v, const char *name, void *opaque,
                      Error **errp)
{
    ERRP_GUARD();
    const FaultProperty *property = opaque;
    IdtNtbState *s = IDT_NTB(obj);
    int64_t value;

    if (!visit_type_int(v, name, &value, errp)) {
        return;
    }
    if (value < property->min || value > property->max) {
        error_setg(errp, "%s=%" PRId64 " is out of range, %" PRId64 " to %"
                   PRId64, name, value, property->min, property->max);
        error_append_hint(errp, "%s.\n", property->hint);
        return;
    }
    /* Without a switch, idt_ntb_claim() checks it */
    if (property->offset == offsetof(IdtNtbFaults, port) && s->sw.shm &&
        !idt_ntb_fault_props_check(s, value, errp)) {
        return;
    }
    *fault_word(obj, property) = value;
    follow(s);
}

void idt_ntb_fault_props_init(IdtNtbState *s)
{
    s->faults.port = IDT_NTB_FAULT_ALL_PORTS;
    s->link_width = IDT_NTB_MAX_LINK_WIDTH;
    s->link_speed = IDT_NTB_MAX_LINK_SPEED;
}

void idt_ntb_fault_props_init_class(ObjectClass *klass)
{
    static const char *const descriptions[][2] = {
        { "link", "Whether the PCIe link of the port is up; off pulls its "
                  "cable, on plugs it" },
        { "link-width", "Lanes that the link has negotiated: 1, 2 or 4" },
        { "link-speed", "Speed that the link has negotiated, in GT/s: 2_5 or "
                        "5" },
        { "partition-reset", "Hold the port's partition in reset, as by its "
                             "PERST# pin (at run time only)" },
    };

    object_class_property_add_bool(klass, "link", get_link, set_link);
    object_class_property_add_enum(klass, "link-width", "PCIELinkWidth",
                                   &PCIELinkWidth_lookup, get_link_width,
                                   set_link_width);
    object_class_property_add_enum(klass, "link-speed", "PCIELinkSpeed",
                                   &PCIELinkSpeed_lookup, get_link_speed,
                                   set_link_speed);
    object_class_property_add_bool(klass, "partition-reset",
                                   get_partition_reset, set_partition_reset);
    for (unsigned i = 0; i < ARRAY_SIZE(descriptions); i++) {
        object_class_property_set_description(klass, descriptions[i][0],
                                              descriptions[i][1]);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(fault_properties); i++) {
        const FaultProperty *property = &fault_properties[i];

        object_class_property_add(klass, property->name, "int", get_fault,
                                  set_fault, NULL, (void *)property);
        object_class_property_set_description(klass, property->name,
                                              property->description);
    }
}
