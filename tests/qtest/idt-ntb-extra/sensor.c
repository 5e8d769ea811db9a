/*
 * QTest testcase for idt-ntb: temperature sensor
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qobject/qdict.h"
#include "idt-ntb/fixture.h"

#define TMPCTL_HIGH(degrees)    ((degrees) * 2 << R_TMPCTL_HTH_SHIFT | \
                                 R_TMPCTL_AHTH_EN_MASK)
#define TMPCTL_LOW(degrees)     ((degrees) * 2 << R_TMPCTL_LTH_SHIFT | \
                                 R_TMPCTL_BLTH_EN_MASK)

/* Set the temperature of the sensor, in millidegrees */
static void set_temperature(NtbPort *p, int value)
{
    qtest_qmp_assert_success(p->qts, "{'execute': 'qom-set', 'arguments': {"
                             "'path': '/machine/peripheral/ntb0',"
                             "'property': 'temperature', 'value': %d}}",
                             value);
}

static unsigned tmpsts(NtbPort *p, unsigned shift)
{
    return extract32(ntb_gas_read(p, A_TMPSTS), shift, 8);
}

static void test_measure(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];

    ntb_gas_write(a, A_TMPCTL, 0);
    ntb_gas_write(a, A_TMPALARM, 80 << 16 | 80 << 8);
    g_assert_cmpint(ntb_qom_int(a, "temperature"), ==, 40000);
    /* One switch, one sensor */
    set_temperature(a, 55500);
    g_assert_cmpint(ntb_qom_int(b, "temperature"), ==, 55500);
    g_assert_cmpuint(tmpsts(b, R_TMPSTS_TEMP_SHIFT), ==, 111);
    set_temperature(b, 20000);
    g_assert_cmpuint(tmpsts(a, R_TMPSTS_TEMP_SHIFT), ==, 40);
    g_assert_cmpuint(tmpsts(a, R_TMPSTS_LTEMP_SHIFT), ==, 40);
    g_assert_cmpuint(tmpsts(a, R_TMPSTS_HTEMP_SHIFT), ==, 111);
    /* The offset is signed, and the result stays in range */
    ntb_gas_write(a, A_TMPADJ, 0xfe);
    g_assert_cmpuint(tmpsts(a, R_TMPSTS_TEMP_SHIFT), ==, 38);
    g_assert_cmpint(ntb_qom_int(a, "temperature"), ==, 20000);
    ntb_gas_write(a, A_TMPADJ, 0x80);
    g_assert_cmpuint(tmpsts(a, R_TMPSTS_TEMP_SHIFT), ==, 0);
    set_temperature(a, 127500);
    ntb_gas_write(a, A_TMPADJ, 0x7f);
    g_assert_cmpuint(tmpsts(a, R_TMPSTS_TEMP_SHIFT), ==, 255);
    ntb_gas_write(a, A_TMPCTL, R_TMPCTL_PDOWN_MASK);
    g_assert_cmphex(ntb_gas_read(a, A_TMPSTS), ==, 0);
    g_assert_cmphex(ntb_gas_read(a, A_TMPALARM), ==, 0);
}

static void test_range(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    const int values[] = { -500, 128000, 55, 1, 499, 55250, 127501 };

    for (unsigned i = 0; i < G_N_ELEMENTS(values); i++) {
        QDict *error = qtest_qmp_assert_failure_ref(a->qts,
            "{'execute': 'qom-set', 'arguments': {"
            "'path': '/machine/peripheral/ntb0',"
            "'property': 'temperature', 'value': %d}}", values[i]);

        g_assert_nonnull(strstr(qdict_get_str(error, "desc"),
                                "0 to 127500 millidegrees Celsius in steps "
                                "of 500"));
        qobject_unref(error);
    }
    g_assert_cmpint(ntb_qom_int(a, "temperature"), ==, 40000);
}

static void assert_alarm(NtbPort *p, uint32_t alarm)
{
    ntb_assert_msi(p);
    g_assert_cmphex(ntb_read(p, A_NTINTSTS), ==, R_NTINTSTS_TMPSENSOR_MASK);
    ntb_write(p, A_NTINTSTS, R_NTINTSTS_TMPSENSOR_MASK);
    g_assert_cmphex(ntb_read(p, A_NTINTSTS), ==, 0);
    g_assert_cmphex(ntb_gas_read(p, A_TMPALARM) & R_TMPALARM_IRQ_MASK, ==,
                    alarm);
}

static void assert_no_alarm(NtbPort *p)
{
    ntb_assert_no_msi(p);
    g_assert_cmphex(ntb_read(p, A_NTINTSTS), ==, 0);
}

/* All ports get an interrupt each time that an enabled threshold is passed */
static void test_alarm(NtbFixture *f)
{
    NtbPort *a = f->ports[0];
    NtbPort *b = f->ports[1];

    for (unsigned i = 0; i < 2; i++) {
        ntb_write(f->ports[i], A_NTINTMSK, ~R_NTINTSTS_TMPSENSOR_MASK);
        ntb_msi_enable(f->ports[i], true);
    }
    ntb_gas_write(a, A_TMPCTL, TMPCTL_HIGH(50) | TMPCTL_LOW(10));
    set_temperature(a, 50000);
    assert_no_alarm(a);
    set_temperature(a, 50500);
    assert_alarm(a, R_TMPSTS_AHTH_MASK);
    assert_alarm(b, R_TMPSTS_AHTH_MASK);
    g_assert_cmphex(ntb_gas_read(b, A_TMPSTS) &
                    (R_TMPSTS_AHTH_MASK | R_TMPSTS_BLTH_MASK), ==,
                    R_TMPSTS_AHTH_MASK);
    /* It is above, but does not come to be so; nor by clearing the alarm */
    set_temperature(a, 60000);
    ntb_gas_write(b, A_TMPALARM, R_TMPSTS_AHTH_MASK);
    g_assert_cmphex(ntb_gas_read(a, A_TMPALARM) & R_TMPALARM_IRQ_MASK, ==, 0);
    assert_no_alarm(a);
    assert_no_alarm(b);
    set_temperature(b, 5000);
    assert_alarm(a, R_TMPSTS_BLTH_MASK);
    assert_alarm(b, R_TMPSTS_BLTH_MASK);
    set_temperature(b, 30000);
    set_temperature(b, 70000);
    assert_alarm(b, R_TMPSTS_AHTH_MASK | R_TMPSTS_BLTH_MASK);
    assert_alarm(a, R_TMPSTS_AHTH_MASK | R_TMPSTS_BLTH_MASK);
}

/* By the registers: enabled above the threshold, moved, powered down */
static void test_alarm_enable(NtbFixture *f)
{
    NtbPort *a = f->ports[0];

    ntb_write(a, A_NTINTMSK, ~R_NTINTSTS_TMPSENSOR_MASK);
    ntb_msi_enable(a, true);
    ntb_gas_write(a, A_TMPCTL, TMPCTL_HIGH(30) & ~R_TMPCTL_AHTH_EN_MASK);
    assert_no_alarm(a);
    ntb_gas_write(a, A_TMPCTL, TMPCTL_HIGH(30));
    assert_alarm(a, R_TMPSTS_AHTH_MASK);
    ntb_gas_write(a, A_TMPCTL, TMPCTL_HIGH(50));
    ntb_gas_write(a, A_TMPADJ, 40);
    assert_alarm(a, R_TMPSTS_AHTH_MASK);
    ntb_gas_write(a, A_TMPADJ, 0);
    ntb_gas_write(a, A_TMPCTL, TMPCTL_HIGH(50) | R_TMPCTL_PDOWN_MASK);
    set_temperature(a, 90000);
    assert_no_alarm(a);
    ntb_gas_write(a, A_TMPCTL, TMPCTL_HIGH(50));
    assert_alarm(a, R_TMPSTS_AHTH_MASK);
}

/* Below and above three thresholds: status, enable and alarm of each */
static void test_six_alarms(NtbFixture *f)
{
    static const struct {
        unsigned threshold;     /* shift in TMPCTL */
        bool above;
        uint32_t enable;
    } alarms[] = {              /* in the order of TMPSTS and TMPALARM */
        { R_TMPCTL_LTH_SHIFT, false, R_TMPCTL_BLTH_EN_MASK },
        { R_TMPCTL_LTH_SHIFT, true, R_TMPCTL_ALTH_EN_MASK },
        { R_TMPCTL_MTH_SHIFT, false, R_TMPCTL_BMTH_EN_MASK },
        { R_TMPCTL_MTH_SHIFT, true, R_TMPCTL_AMTH_EN_MASK },
        { R_TMPCTL_HTH_SHIFT, false, R_TMPCTL_BHTH_EN_MASK },
        { R_TMPCTL_HTH_SHIFT, true, R_TMPCTL_AHTH_EN_MASK },
    };
    NtbPort *a = f->ports[0];

    ntb_write(a, A_NTINTMSK, ~R_NTINTSTS_TMPSENSOR_MASK);
    ntb_msi_enable(a, true);
    for (unsigned i = 0; i < G_N_ELEMENTS(alarms); i++) {
        /* Neither above nor below the other two, which it is equal to */
        uint32_t thresholds = 0x505050 & ~(0xffu << alarms[i].threshold);
        uint32_t status = R_TMPSTS_BLTH_MASK << i;
        uint32_t here = alarms[i].above ? 0x4f : 0x51;

        set_temperature(a, 40000);
        ntb_gas_write(a, A_TMPCTL, thresholds |
                                   here << alarms[i].threshold);
        g_assert_cmphex(ntb_gas_read(a, A_TMPSTS) & R_TMPALARM_IRQ_MASK, ==,
                        status);
        assert_no_alarm(a);
        ntb_gas_write(a, A_TMPCTL, thresholds | here << alarms[i].threshold |
                                   alarms[i].enable);
        g_assert_cmphex(ntb_gas_read(a, A_TMPCTL) & alarms[i].enable, !=, 0);
        assert_alarm(a, status);
        ntb_gas_write(a, A_TMPALARM, R_TMPALARM_IRQ_MASK & ~status);
        g_assert_cmphex(ntb_gas_read(a, A_TMPALARM) & R_TMPALARM_IRQ_MASK, ==,
                        status);
        ntb_gas_write(a, A_TMPALARM, status);
        g_assert_cmphex(ntb_gas_read(a, A_TMPALARM) & R_TMPALARM_IRQ_MASK, ==,
                        0);
    }
}

static void test_temperature(NtbFixture *f)
{
    NtbPort *p = f->ports[0];
    unsigned degrees;

    g_assert_cmphex(ntb_gas_read(p, A_TMPCTL), ==, R_TMPCTL_PDOWN_MASK);
    ntb_gas_write(p, A_TMPCTL, UINT32_MAX);
    g_assert_cmphex(ntb_gas_read(p, A_TMPCTL), ==, 0xbfffffff);
    ntb_gas_write(p, A_TMPCTL, 0);
    g_assert_cmphex(ntb_gas_read(p, A_TMPCTL), ==, 0);

    degrees = FIELD_EX32(ntb_gas_read(p, A_TMPSTS), TMPSTS, TEMP) / 2;
    g_assert_cmpuint(degrees, >, 10);
    g_assert_cmpuint(degrees, <, 90);
    ntb_gas_write(p, A_TMPSTS, 0);
    g_assert_cmpuint(FIELD_EX32(ntb_gas_read(p, A_TMPSTS), TMPSTS, TEMP) / 2,
                     ==, degrees);

    /* That is how hwmon writes temp1_lowest and temp1_highest */
    ntb_gas_write(p, A_TMPALARM, 0x00643200);
    g_assert_cmphex(FIELD_EX32(ntb_gas_read(p, A_TMPSTS), TMPSTS, LTEMP), ==,
                    0x32);
    g_assert_cmphex(FIELD_EX32(ntb_gas_read(p, A_TMPSTS), TMPSTS, HTEMP), ==,
                    0x64);
    g_assert_cmphex(ntb_gas_read(p, A_TMPALARM) & 0xffff00, ==, 0x643200);
}

static const NtbTest tests[] = {
    { "registers/temperature-has-hwmon-limits", test_temperature, .ports = 1 },
    { "sensor/one-for-all-ports", test_measure, .ports = 2 },
    { "sensor/refuses-what-it-cannot-measure", test_range, .ports = 1 },
    { "sensor/passing-a-threshold-interrupts-all", test_alarm, .ports = 2 },
    { "sensor/registers-can-raise-an-alarm", test_alarm_enable, .ports = 1 },
    { "sensor/six-alarms-are-independent", test_six_alarms, .ports = 1 },
};

ntb_tests(tests);
