/*
 * IDT 89HPESxNTx PCIe switch: temperature sensor
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "signals.h"
#include "temp.h"
#include "trace.h"

/* Sample and offset, within the range of the register */
static uint8_t current_temp(const IdtNtbShmSwitch *regs)
{
    int offset = (int8_t)qatomic_read(&regs->tmpadj);
    int sample = qatomic_read(&regs->tmp_sample) & 0xff;

    return MIN(MAX(sample + offset, 0), IDT_NTB_TEMP_MAX);
}

static bool is_powered_down(const IdtNtbShmSwitch *regs)
{
    return FIELD_EX32(qatomic_read(&regs->tmpctl), TMPCTL, PDOWN);
}

typedef struct TempAlarm {
    uint8_t threshold;          /* shift in TMPCTL */
    bool above;
    uint32_t enable;            /* in TMPCTL */
    uint32_t status;            /* in TMPSTS and TMPALARM */
} TempAlarm;

static const TempAlarm alarms[] = {
    { R_TMPCTL_LTH_SHIFT, false, R_TMPCTL_BLTH_EN_MASK, R_TMPSTS_BLTH_MASK },
    { R_TMPCTL_LTH_SHIFT, true, R_TMPCTL_ALTH_EN_MASK, R_TMPSTS_ALTH_MASK },
    { R_TMPCTL_MTH_SHIFT, false, R_TMPCTL_BMTH_EN_MASK, R_TMPSTS_BMTH_MASK },
    { R_TMPCTL_MTH_SHIFT, true, R_TMPCTL_AMTH_EN_MASK, R_TMPSTS_AMTH_MASK },
    { R_TMPCTL_HTH_SHIFT, false, R_TMPCTL_BHTH_EN_MASK, R_TMPSTS_BHTH_MASK },
    { R_TMPCTL_HTH_SHIFT, true, R_TMPCTL_AHTH_EN_MASK, R_TMPSTS_AHTH_MASK },
};

/* The alarms whose condition is true, enabled or not; as in TMPSTS */
static uint32_t alarm_conditions(const IdtNtbShmSwitch *regs)
{
    uint32_t ctl = qatomic_read(&regs->tmpctl);
    uint8_t current = current_temp(regs);
    uint32_t conditions = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(alarms); i++) {
        uint8_t threshold = ctl >> alarms[i].threshold;

        if (alarms[i].above ? current > threshold : current < threshold) {
            conditions |= alarms[i].status;
        }
    }
    return conditions;
}

/* Those of @conditions that TMPCTL enables */
static uint32_t enabled_alarms(const IdtNtbShmSwitch *regs, uint32_t conditions)
{
    uint32_t ctl = qatomic_read(&regs->tmpctl);
    uint32_t enabled = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(alarms); i++) {
        if (ctl & alarms[i].enable) {
            enabled |= alarms[i].status;
        }
    }
    return conditions & enabled;
}

void idt_ntb_temp_measure(IdtNtbSwitch *sw)
{
    IdtNtbShmSwitch *regs = &sw->shm->sw;
    uint8_t current = current_temp(regs);
    uint32_t level, rose;

    if (is_powered_down(regs)) {
        qatomic_set(&regs->tmp_level, 0);
        return;
    }
    qatomic_set(&regs->tmp_lowest,
                MIN(current, qatomic_read(&regs->tmp_lowest) & 0xff));
    qatomic_set(&regs->tmp_highest,
                MAX(current, qatomic_read(&regs->tmp_highest) & 0xff));
    level = enabled_alarms(regs, alarm_conditions(regs));
    rose = level & ~qatomic_xchg(&regs->tmp_level, level);
    if (rose) {
        trace_idt_ntb_temp_alarm(sw->port, current, rose);
        qatomic_fetch_or(&regs->tmpalarm, rose);
        for (unsigned slot = 0; slot < sw->num_slots; slot++) {
            idt_ntb_signals_latch(sw, slot, R_NTINTSTS_TMPSENSOR_MASK);
        }
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

/* LTEMP and HTEMP, which are at the same place in TMPSTS and TMPALARM */
static uint32_t read_extremes(const IdtNtbShmSwitch *regs)
{
    uint32_t value = FIELD_DP32(0, TMPSTS, LTEMP,
                                qatomic_read(&regs->tmp_lowest));

    return FIELD_DP32(value, TMPSTS, HTEMP, qatomic_read(&regs->tmp_highest));
}

uint32_t idt_ntb_temp_status(IdtNtbSwitch *sw)
{
    IdtNtbShmSwitch *regs = &sw->shm->sw;

    if (is_powered_down(regs)) {
        return 0;
    }
    idt_ntb_temp_measure(sw);
    return FIELD_DP32(read_extremes(regs) | alarm_conditions(regs), TMPSTS,
                      TEMP, current_temp(regs));
}

uint32_t idt_ntb_temp_alarm(IdtNtbSwitch *sw)
{
    IdtNtbShmSwitch *regs = &sw->shm->sw;
    uint32_t irq = qatomic_read(&regs->tmpalarm) & R_TMPALARM_IRQ_MASK;

    return is_powered_down(regs) ? 0 : read_extremes(regs) | irq;
}
