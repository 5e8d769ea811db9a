/*
 * IDT 89HPESxNTx PCIe switch: what qom-get and qom-set see of a port
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "qemu/main-loop.h"
#include "state.h"
#include "temp.h"

/* Of a step of the sensor */
#define MILLIDEGREES    500

static bool idt_ntb_get_link(Object *obj, Error **errp)
{
    IdtNtbState *s = IDT_NTB(obj);

    return s->sw.shm && idt_ntb_switch_link(&s->sw, s->sw.port);
}

static void idt_ntb_get_partition(Object *obj, Visitor *v, const char *name,
                                  void *opaque, Error **errp)
{
    IdtNtbState *s = IDT_NTB(obj);
    uint32_t value = s->sw.shm ?
                     idt_ntb_switch_partition(&s->sw, s->sw.port) : 0;

    visit_type_uint32(v, name, &value, errp);
}

/* In millidegrees, like Linux's hwmon */
static void idt_ntb_get_temperature(Object *obj, Visitor *v, const char *name,
                                    void *opaque, Error **errp)
{
    IdtNtbState *s = IDT_NTB(obj);
    int64_t value = s->sw.shm ? idt_ntb_temp_get(&s->sw) * MILLIDEGREES :
                                 0;

    visit_type_int(v, name, &value, errp);
}

static void idt_ntb_set_temperature(Object *obj, Visitor *v, const char *name,
                                    void *opaque, Error **errp)
{
    ERRP_GUARD();
    IdtNtbState *s = IDT_NTB(obj);
    int64_t value;

    if (!visit_type_int(v, name, &value, errp)) {
        return;
    }
    if (value < 0 || value > IDT_NTB_TEMP_MAX * MILLIDEGREES ||
        value % MILLIDEGREES) {
        error_setg(errp, "temperature=%" PRId64 " can't be measured: the "
                   "sensor has 0 to %u millidegrees Celsius in steps of %u",
                   value, IDT_NTB_TEMP_MAX * MILLIDEGREES, MILLIDEGREES);
        if (value > 0 && value <= IDT_NTB_TEMP_MAX / 2) {
            error_append_hint(errp, "%" PRId64 " degrees are %" PRId64 ".\n",
                              value, value * 1000);
        }
        return;
    }
    if (!s->sw.shm) {
        error_setg(errp, "the device has no switch yet; set the temperature "
                   "later, with qom-set");
        return;
    }
    idt_ntb_temp_set(&s->sw, value / MILLIDEGREES);
    qemu_bh_schedule(s->look_bh);       /* an alarm of ours */
}

static void idt_ntb_get_direct_mappings(Object *obj, Visitor *v,
                                        const char *name, void *opaque,
                                        Error **errp)
{
    IdtNtbState *s = IDT_NTB(obj);
    uint32_t count = s->sw.shm ? idt_ntb_mapping_count(&s->window.mapping) : 0;

    visit_type_uint32(v, name, &count, errp);
}

static char *idt_ntb_get_windows(Object *obj, Error **errp)
{
    IdtNtbState *s = IDT_NTB(obj);

    return s->sw.shm ? idt_ntb_mapping_list(&s->window.mapping) : g_strdup("");
}

void idt_ntb_qom_class_init(ObjectClass *klass)
{
    object_class_property_add_bool(klass, "link", idt_ntb_get_link, NULL);
    object_class_property_set_description(klass, "link",
        "Whether the PCIe link of the port is up (read-only)");
    object_class_property_add(klass, "partition", "uint32",
                              idt_ntb_get_partition, NULL, NULL, NULL);
    object_class_property_set_description(klass, "partition",
        "Partition of the port (read-only)");
    object_class_property_add(klass, "temperature", "int",
                              idt_ntb_get_temperature,
                              idt_ntb_set_temperature, NULL, NULL);
    object_class_property_set_description(klass, "temperature",
        "What the switch's sensor measures, in millidegrees Celsius "
        "(at run time only)");
    object_class_property_add(klass, "direct-mappings", "uint32",
                              idt_ntb_get_direct_mappings, NULL, NULL, NULL);
    object_class_property_set_description(klass, "direct-mappings",
        "How many pieces of other guests' RAM are mapped into the windows "
        "(read-only)");
    object_class_property_add_str(klass, "windows", idt_ntb_get_windows, NULL);
    object_class_property_set_description(klass, "windows",
        "The pieces of other guests' RAM that are mapped into the windows "
        "(read-only)");
}
