/*
 * IDT 89HPESxNTx PCIe switch: temperature sensor
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "temp.h"
#include "trace.h"

/* The offset can lead out of what the register can show */
static uint8_t temp_current(const IdtNtbShmSwitch *regs)
{
    int offset = (int8_t)qatomic_read(&regs->tmpadj);
    int sample = qatomic_read(&regs->tmp_sample) & 0xff;

    return MIN(MAX(sample + offset, 0), IDT_NTB_TEMP_MAX);
}

static bool temp_is_down(const IdtNtbShmSwitch *regs)
{
    return FIELD_EX32(qatomic_read(&regs->tmpctl), TMPCTL, PDOWN);
}

typedef struct IdtNtbTempAlarm {
    uint8_t threshold;          /* shift in TMPCTL */
    bool above;
    uint32_t enable;            /* in TMPCTL */
    uint32_t status;            /* in TMPSTS and TMPALARM */
} IdtNtbTempAlarm;

static const IdtNtbTempAlarm alarms[] = {
    { R_TMPCTL_LTH_SHIFT, false, R_TMPCTL_BLTH_EN_MASK, R_TMPSTS_BLTH_MASK },
    { R_TMPCTL_LTH_SHIFT, true, R_TMPCTL_ALTH_EN_MASK, R_TMPSTS_ALTH_MASK },
    { R_TMPCTL_MTH_SHIFT, false, R_TMPCTL_BMTH_EN_MASK, R_TMPSTS_BMTH_MASK },
    { R_TMPCTL_MTH_SHIFT, true, R_TMPCTL_AMTH_EN_MASK, R_TMPSTS_AMTH_MASK },
    { R_TMPCTL_HTH_SHIFT, false, R_TMPCTL_BHTH_EN_MASK, R_TMPSTS_BHTH_MASK },
    { R_TMPCTL_HTH_SHIFT, true, R_TMPCTL_AHTH_EN_MASK, R_TMPSTS_AHTH_MASK },
};

/* The thresholds that are passed, as in TMPSTS */
static uint32_t temp_passed(const IdtNtbShmSwitch *regs)
{
    uint32_t ctl = qatomic_read(&regs->tmpctl);
    uint8_t current = temp_current(regs);
    uint32_t passed = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(alarms); i++) {
        uint8_t threshold = ctl >> alarms[i].threshold;

        if (alarms[i].above ? current > threshold : current < threshold) {
            passed |= alarms[i].status;
        }
    }
    return passed;
}

/* Those of @passed whose alarm is enabled */
static uint32_t temp_enabled(const IdtNtbShmSwitch *regs, uint32_t passed)
{
    uint32_t ctl = qatomic_read(&regs->tmpctl);
    uint32_t enabled = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(alarms); i++) {
        if (ctl & alarms[i].enable) {
            enabled |= alarms[i].status;
        }
    }
    return passed & enabled;
}

static void temp_alarm_ports(IdtNtbSwitch *sw)
{
    for (unsigned i = 0; i < sw->num_ports; i++) {
        unsigned port = idt_ntb_switch_port(sw, i);

        if (idt_ntb_switch_link(sw, port)) {
            qatomic_fetch_or(&idt_ntb_switch_block(sw, port)->ntintsts,
                             R_NTINTSTS_TMPSENSOR_MASK);
            idt_ntb_switch_signal(sw, port);
        }
    }
}

void idt_ntb_temp_measure(IdtNtbSwitch *sw)
{
    IdtNtbShmSwitch *regs = &sw->shm->sw;
    uint8_t current = temp_current(regs);
    uint32_t level, rose;

    if (temp_is_down(regs)) {
        qatomic_set(&regs->tmp_level, 0);
        return;
    }
    qatomic_set(&regs->tmp_lowest,
                MIN(current, qatomic_read(&regs->tmp_lowest) & 0xff));
    qatomic_set(&regs->tmp_highest,
                MAX(current, qatomic_read(&regs->tmp_highest) & 0xff));
    level = temp_enabled(regs, temp_passed(regs));
    rose = level & ~qatomic_xchg(&regs->tmp_level, level);
    if (rose) {
        trace_idt_ntb_temp_alarm(sw->port, current, rose);
        qatomic_fetch_or(&regs->tmpalarm, rose);
        temp_alarm_ports(sw);
    }
}

unsigned idt_ntb_temp_get(const IdtNtbSwitch *sw)
{
    return qatomic_read(&sw->shm->sw.tmp_sample) & 0xff;
}

void idt_ntb_temp_set(IdtNtbSwitch *sw, unsigned half_degrees)
{
    qatomic_set(&sw->shm->sw.tmp_sample, half_degrees);
    idt_ntb_temp_measure(sw);
}

/* Lowest and highest are at the same place in TMPSTS and TMPALARM */
static uint32_t temp_extremes(const IdtNtbShmSwitch *regs)
{
    uint32_t value = FIELD_DP32(0, TMPSTS, LTEMP,
                                qatomic_read(&regs->tmp_lowest));

    return FIELD_DP32(value, TMPSTS, HTEMP, qatomic_read(&regs->tmp_highest));
}

uint32_t idt_ntb_temp_status(IdtNtbSwitch *sw)
{
    IdtNtbShmSwitch *regs = &sw->shm->sw;

    if (temp_is_down(regs)) {
        return 0;
    }
    idt_ntb_temp_measure(sw);
    return FIELD_DP32(temp_extremes(regs) | temp_passed(regs), TMPSTS, TEMP,
                      temp_current(regs));
}

uint32_t idt_ntb_temp_alarm(IdtNtbSwitch *sw)
{
    IdtNtbShmSwitch *regs = &sw->shm->sw;
    uint32_t irq = qatomic_read(&regs->tmpalarm) & R_TMPALARM_IRQ_MASK;

    return temp_is_down(regs) ? 0 : temp_extremes(regs) | irq;
}
