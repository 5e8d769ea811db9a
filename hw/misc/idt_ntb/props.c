/*
 * IDT 89HPESxNTx PCIe switch: the properties of a port
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "qemu/main-loop.h"
#include "qemu/units.h"
#include "hw/pci/pci_bus.h"
#include "hw/pci/pci_device.h"
#include "hw/qdev-properties.h"
#include "hw/qdev-properties-system.h"
#include "port.h"
#include "state.h"
#include "temp.h"

#define DEFAULT_CHIP    "89HPES24NT6AG2"

/* The largest timeout that PCIe lets a device have */
#define MAX_COMPLETION_TIMEOUT_MS 64000

/* One step of the sensor */
#define MILLIDEGREES    500

/* Configuration */

/* The EEPROM of a real board sets these: 26 windows of 1 MiB */
static const char *const default_modes[IDT_NUM_BARS] = {
    "off", "direct", "lut24", "off", "direct", "off",
};

static const Property properties[] = {
    DEFINE_PROP_CHR("chardev", IdtNtbState, chr),
    DEFINE_PROP_STRING("chip", IdtNtbState, chip),
    DEFINE_PROP_INT32("port", IdtNtbState, port, IDT_NTB_PORT_AUTO),
    DEFINE_PROP_UINT32("partitions", IdtNtbState, partitions,
                       IDT_NTB_DEFAULT_PARTITIONS),
    DEFINE_PROP_STRING("eeprom", IdtNtbState, eeprom),
    DEFINE_PROP_BOOL("eeprom-writable", IdtNtbState, eeprom_writable, false),
    DEFINE_PROP_UINT32("server-timeout", IdtNtbState, server_timeout, 5000),
    DEFINE_PROP_UINT32("completion-timeout", IdtNtbState, completion_timeout,
                       100),
    DEFINE_PROP_BOOL("direct", IdtNtbState, direct, true),
    DEFINE_PROP_BOOL("trust-peers", IdtNtbState, trust_peers, false),
    DEFINE_PROP_STRING("bar1-mode", IdtNtbState, bars[1].mode),
    DEFINE_PROP_SIZE("bar1-size", IdtNtbState, bars[1].size, 1 * MiB),
    DEFINE_PROP_BOOL("bar1-64bit", IdtNtbState, bars[1].is_64bit, false),
    DEFINE_PROP_BOOL("bar1-prefetch", IdtNtbState, bars[1].prefetch, false),
    DEFINE_PROP_STRING("bar2-mode", IdtNtbState, bars[2].mode),
    DEFINE_PROP_SIZE("bar2-size", IdtNtbState, bars[2].size, 32 * MiB),
    DEFINE_PROP_BOOL("bar2-64bit", IdtNtbState, bars[2].is_64bit, true),
    DEFINE_PROP_BOOL("bar2-prefetch", IdtNtbState, bars[2].prefetch, true),
    DEFINE_PROP_STRING("bar3-mode", IdtNtbState, bars[3].mode),
    DEFINE_PROP_SIZE("bar3-size", IdtNtbState, bars[3].size, 1 * MiB),
    DEFINE_PROP_BOOL("bar3-64bit", IdtNtbState, bars[3].is_64bit, false),
    DEFINE_PROP_BOOL("bar3-prefetch", IdtNtbState, bars[3].prefetch, false),
    DEFINE_PROP_STRING("bar4-mode", IdtNtbState, bars[4].mode),
    DEFINE_PROP_SIZE("bar4-size", IdtNtbState, bars[4].size, 1 * MiB),
    DEFINE_PROP_BOOL("bar4-64bit", IdtNtbState, bars[4].is_64bit, true),
    DEFINE_PROP_BOOL("bar4-prefetch", IdtNtbState, bars[4].prefetch, true),
    DEFINE_PROP_STRING("bar5-mode", IdtNtbState, bars[5].mode),
    DEFINE_PROP_SIZE("bar5-size", IdtNtbState, bars[5].size, 1 * MiB),
    DEFINE_PROP_BOOL("bar5-64bit", IdtNtbState, bars[5].is_64bit, false),
    DEFINE_PROP_BOOL("bar5-prefetch", IdtNtbState, bars[5].prefetch, false),
};

static const char *const descriptions[][2] = {
    { "chardev", "Socket chardev that is connected to an ivshmem-server" },
    { "chip", "Chip of the family, the same for all ports (default: "
              DEFAULT_CHIP ")" },
    { "port", "Port of the switch; -1 takes the lowest free one" },
    { "partitions", "Number of ports with an NT function, the same for all" },
    { "eeprom", "EEPROM image that configures the switch, the same for all" },
    { "eeprom-writable",
      "Let the guest write the file of eeprom= through EEPROMINTF" },
    { "server-timeout",
      "How long to wait for the server at start, in milliseconds" },
    { "completion-timeout",
      "How long to wait for another port's answer, in milliseconds" },
    { "direct",
      "Map other guests' shared RAM into the windows; off: by request only" },
    { "trust-peers",
      "Map RAM that is not sealed too: its owner could end this QEMU" },
    { "partition", "Partition of the port (read-only)" },
    { "temperature", "Temperature that the switch's sensor measures, in "
                     "millidegrees Celsius (at run time only)" },
    { "direct-mappings",
      "Number of pieces of other guests' RAM in the windows (read-only)" },
    { "windows",
      "List of other guests' RAM that is mapped into the windows (read-only)" },
    { "counters",
      "What the device has done since it took its port (read-only)" },
};

static const char *const bar_descriptions[][2] = {
    { "size", "Aperture of the BAR, a power of two" },
    { "64bit", "BAR of 64 bits; BAR2 and BAR4 only" },
    { "prefetch", "Prefetchable BAR" },
};

void idt_ntb_props_init(IdtNtbState *s)
{
    s->chip = g_strdup(DEFAULT_CHIP);
    for (unsigned bar = 1; bar < IDT_NUM_BARS; bar++) {
        s->bars[bar].mode = g_strdup(default_modes[bar]);
    }
    idt_ntb_fault_props_init(s);
    /* QOM has set the defaults before, through set_given() */
    s->given = NULL;
}

/* How qdev sets a property */
static ObjectPropertyAccessor *set_property;

static void set_given(Object *obj, Visitor *v, const char *name, void *opaque,
                      Error **errp)
{
    IDT_NTB(obj)->given = ((const Property *)opaque)->name;
    set_property(obj, v, name, opaque, errp);
}

/* Remember which properties are given that an EEPROM image decides */
static void watch_properties(ObjectClass *klass)
{
    for (unsigned i = 0; i < ARRAY_SIZE(properties); i++) {
        const char *name = properties[i].name;

        if (g_str_equal(name, "partitions") || g_str_has_prefix(name, "bar")) {
            ObjectProperty *property = object_class_property_find(klass, name);

            set_property = property->set;
            property->set = set_given;
        }
    }
}

static void describe_bars(ObjectClass *klass)
{
    for (unsigned bar = 1; bar < IDT_NUM_BARS; bar++) {
        g_autofree char *mode = g_strdup_printf("bar%u-mode", bar);
        g_autofree char *text = g_strdup_printf(
            "off, direct, lut12 or lut24 (default: %s)", default_modes[bar]);

        object_class_property_set_description(klass, mode, text);
        for (unsigned i = 0; i < ARRAY_SIZE(bar_descriptions); i++) {
            g_autofree char *name = g_strdup_printf("bar%u-%s", bar,
                                                    bar_descriptions[i][0]);

            object_class_property_set_description(klass, name,
                                                  bar_descriptions[i][1]);
        }
    }
}

static bool check_eeprom(const IdtNtbState *s, Error **errp)
{
    ERRP_GUARD();

    if (s->eeprom && s->given) {
        error_setg(errp, "eeprom= sets partitions and BARs, and %s= is given "
                   "too", s->given);
        error_append_hint(errp, "With eeprom=, leave out %s=.\n", s->given);
        return false;
    }
    if (s->eeprom_writable && !s->eeprom) {
        error_setg(errp, "eeprom-writable=on needs eeprom=FILE, the file that "
                   "the guest may write");
        return false;
    }
    return true;
}

bool idt_ntb_props_check(IdtNtbState *s, Error **errp)
{
    ERRP_GUARD();
    const IdtNtbChip *chip = s->sw.chip;

    /* The bus of pseries is conventional, but has the extended space */
    if (!pci_bus_allows_extended_config_space(pci_get_bus(PCI_DEVICE(s)))) {
        error_setg(errp, "idt-ntb needs a PCI Express bus");
        error_append_hint(errp, "Use a machine that has one, such as -machine "
                          "q35.\n");
        return false;
    }
    if (!qemu_chr_fe_backend_connected(&s->chr)) {
        error_setg(errp, "property 'chardev' is missing");
        error_append_hint(errp, "Use -chardev socket,id=ID,path=PATH with the "
                          "path of an ivshmem-server's socket, and "
                          "chardev=ID.\n");
        return false;
    }
    if (s->partitions < 2 || s->partitions > chip->num_nt_ports) {
        error_setg(errp, "partitions=%u is out of range: %s has 2 to %u",
                   s->partitions, chip->name, chip->num_nt_ports);
        return false;
    }
    if (s->completion_timeout < 1 ||
        s->completion_timeout > MAX_COMPLETION_TIMEOUT_MS) {
        error_setg(errp, "completion-timeout=%u is out of range, 1 to %u",
                   s->completion_timeout, MAX_COMPLETION_TIMEOUT_MS);
        return false;
    }
    return check_eeprom(s, errp);
}

/* Live state */

static void get_partition(Object *obj, Visitor *v, const char *name,
                          void *opaque, Error **errp)
{
    IdtNtbState *s = IDT_NTB(obj);
    uint32_t value = s->sw.shm ?
                     idt_ntb_switch_partition(&s->sw, s->sw.slot) : 0;

    visit_type_uint32(v, name, &value, errp);
}

/* In millidegrees, like Linux's hwmon */
static void get_temperature(Object *obj, Visitor *v, const char *name,
                            void *opaque, Error **errp)
{
    IdtNtbState *s = IDT_NTB(obj);
    int64_t value = s->sw.shm ? idt_ntb_temp_get(&s->sw) * MILLIDEGREES : 0;

    visit_type_int(v, name, &value, errp);
}

static void set_temperature(Object *obj, Visitor *v, const char *name,
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
        error_setg(errp, "the device has no switch yet");
        error_append_hint(errp, "Set the temperature later, with qom-set.\n");
        return;
    }
    idt_ntb_temp_set(&s->sw, value / MILLIDEGREES);
    qemu_bh_schedule(s->look_bh);       /* an alarm of ours */
}

static void get_direct_mappings(Object *obj, Visitor *v, const char *name,
                                void *opaque, Error **errp)
{
    IdtNtbState *s = IDT_NTB(obj);
    uint32_t count = s->sw.shm ? idt_ntb_mapping_count(&s->window.mapping) : 0;

    visit_type_uint32(v, name, &count, errp);
}

static char *get_windows(Object *obj, Error **errp)
{
    IdtNtbState *s = IDT_NTB(obj);

    return s->sw.shm ? idt_ntb_mapping_list(&s->window.mapping) : g_strdup("");
}

static void get_counters(Object *obj, Visitor *v, const char *name,
                         void *opaque, Error **errp)
{
    static const char *const names[IDT_NTB_NUM_COUNTERS] = {
        [IDT_NTB_COUNT_DOORBELLS_SENT] = "doorbells-sent",
        [IDT_NTB_COUNT_DOORBELLS_MASKED] = "doorbells-masked",
        [IDT_NTB_COUNT_MESSAGES_SENT] = "messages-sent",
        [IDT_NTB_COUNT_MESSAGES_REFUSED] = "messages-refused",
        [IDT_NTB_COUNT_REQUESTS_SENT] = "requests-sent",
        [IDT_NTB_COUNT_REQUESTS_SERVED] = "requests-served",
        [IDT_NTB_COUNT_REQUEST_BYTES] = "request-bytes",
        [IDT_NTB_COUNT_INTERRUPTS] = "interrupts",
        [IDT_NTB_COUNT_DOORBELLS_LOST] = "doorbells-lost",
        [IDT_NTB_COUNT_MESSAGES_LOST] = "messages-lost",
        [IDT_NTB_COUNT_COMPLETIONS_LOST] = "completions-lost",
        [IDT_NTB_COUNT_SIGNALS_LATE] = "signals-late",
    };
    IdtNtbState *s = IDT_NTB(obj);

    if (!visit_start_struct(v, name, NULL, 0, errp)) {
        return;
    }
    for (unsigned i = 0; i < IDT_NTB_NUM_COUNTERS; i++) {
        if (!visit_type_uint64(v, names[i], &s->sw.counter[i], errp)) {
            break;
        }
    }
    visit_end_struct(v, NULL);
}

static void add_live_properties(ObjectClass *klass)
{
    object_class_property_add(klass, "partition", "uint32", get_partition,
                              NULL, NULL, NULL);
    object_class_property_add(klass, "temperature", "int", get_temperature,
                              set_temperature, NULL, NULL);
    object_class_property_add(klass, "direct-mappings", "uint32",
                              get_direct_mappings, NULL, NULL, NULL);
    object_class_property_add_str(klass, "windows", get_windows, NULL);
    object_class_property_add(klass, "counters", "IdtNtbCounters",
                              get_counters, NULL, NULL, NULL);
}

void idt_ntb_props_init_class(ObjectClass *klass)
{
    device_class_set_props(DEVICE_CLASS(klass), properties);
    add_live_properties(klass);
    idt_ntb_fault_props_init_class(klass);
    for (unsigned i = 0; i < ARRAY_SIZE(descriptions); i++) {
        object_class_property_set_description(klass, descriptions[i][0],
                                              descriptions[i][1]);
    }
    describe_bars(klass);
    watch_properties(klass);
}
