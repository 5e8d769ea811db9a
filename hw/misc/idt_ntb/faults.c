/*
 * IDT 89HPESxNTx PCIe switch: faults on demand
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "faults.h"
#include "trace.h"

/* Limits how much memory a guest can make us use */
#define MAX_LATE    4096

typedef struct FaultKind {
    const char *name;
    IdtNtbCounter lost;
} FaultKind;

static const FaultKind kinds[IDT_NTB_NUM_FAULT_KINDS] = {
    [IDT_NTB_FAULT_DOORBELLS] = { "doorbells", IDT_NTB_COUNT_DOORBELLS_LOST },
    [IDT_NTB_FAULT_MESSAGES] = { "message", IDT_NTB_COUNT_MESSAGES_LOST },
    [IDT_NTB_FAULT_COMPLETIONS] = { "completion",
                                    IDT_NTB_COUNT_COMPLETIONS_LOST },
};

static void lose(IdtNtbSwitch *sw, const IdtNtbSignal *signal)
{
    const FaultKind *kind = &kinds[signal->kind];

    trace_idt_ntb_fault(sw->port, kind->name, (uint32_t)signal->word,
                        idt_ntb_switch_port(sw, signal->to), "lost");
    idt_ntb_switch_count(sw, kind->lost,
                         signal->kind == IDT_NTB_FAULT_DOORBELLS ?
                         ctpop64(signal->word) : 1);
}

/* Late signals */

static IdtNtbSignal *take_late(IdtNtbFaults *f)
{
    IdtNtbSignal *signal = QSIMPLEQ_FIRST(&f->late);

    QSIMPLEQ_REMOVE_HEAD(&f->late, next);
    f->num_late--;
    return signal;
}

static void deliver_late(void *opaque)
{
    IdtNtbFaults *f = opaque;
    int64_t now = qemu_clock_get_ms(QEMU_CLOCK_VIRTUAL);

    while (!QSIMPLEQ_EMPTY(&f->late) && QSIMPLEQ_FIRST(&f->late)->due <= now) {
        g_autofree IdtNtbSignal *signal = take_late(f);

        if (!f->deliver(f->sw, signal)) {
            lose(f->sw, signal);
        }
    }
    if (!QSIMPLEQ_EMPTY(&f->late)) {
        timer_mod(f->timer, QSIMPLEQ_FIRST(&f->late)->due);
    }
}

/* Keeps the order of signals when @late_ms becomes smaller */
static bool postpone(IdtNtbFaults *f, const IdtNtbSignal *signal)
{
    IdtNtbSignal *last = QSIMPLEQ_LAST(&f->late, IdtNtbSignal, next);
    IdtNtbSignal *late;

    if (!f->late_ms || f->num_late >= MAX_LATE) {
        return false;
    }
    late = g_memdup2(signal, sizeof(*signal));
    late->due = qemu_clock_get_ms(QEMU_CLOCK_VIRTUAL) + f->late_ms;
    if (last) {
        late->due = MAX(late->due, last->due);
    } else {
        timer_mod(f->timer, late->due);
    }
    QSIMPLEQ_INSERT_TAIL(&f->late, late, next);
    f->num_late++;
    trace_idt_ntb_fault(f->sw->port, kinds[signal->kind].name,
                        (uint32_t)signal->word,
                        idt_ntb_switch_port(f->sw, signal->to), "late");
    idt_ntb_switch_count(f->sw, IDT_NTB_COUNT_SIGNALS_LATE, 1);
    return true;
}

/* Faults */

static bool hits(IdtNtbFaults *f, IdtNtbFaultKind kind, unsigned to)
{
    uint32_t every = f->every[kind];

    if (!every || to == f->sw->slot ||
        (f->port != IDT_NTB_FAULT_ALL_PORTS &&
         f->port != idt_ntb_switch_port(f->sw, to))) {
        return false;
    }
    if (f->rand) {
        return g_rand_int(f->rand) % every == 0;
    }
    if (++f->count[kind] < every) {
        return false;
    }
    f->count[kind] = 0;
    return true;
}

bool idt_ntb_faults_cable_is_pulled(const IdtNtbSwitch *sw)
{
    return sw->faults->cable_pulled;
}

bool idt_ntb_faults_take(IdtNtbSwitch *sw, const IdtNtbSignal *signal)
{
    IdtNtbFaults *f = sw->faults;

    if (!f->cable_pulled && !hits(f, signal->kind, signal->to)) {
        return false;
    }
    if (f->cable_pulled || !postpone(f, signal)) {
        lose(sw, signal);
    }
    return true;
}

bool idt_ntb_faults_take_completion(IdtNtbSwitch *sw, unsigned to)
{
    IdtNtbSignal completion = { .kind = IDT_NTB_FAULT_COMPLETIONS, .to = to };

    if (!hits(sw->faults, completion.kind, to)) {
        return false;
    }
    lose(sw, &completion);
    return true;
}

void idt_ntb_faults_follow(IdtNtbFaults *f)
{
    bool any = f->cable_pulled;

    for (unsigned i = 0; i < IDT_NTB_NUM_FAULT_KINDS; i++) {
        any |= f->every[i] != 0;
        /* The next one that fails is the n-th from now on */
        f->count[i] = 0;
    }
    if (f->seed != f->used_seed) {
        g_clear_pointer(&f->rand, g_rand_free);
        f->rand = f->seed ? g_rand_new_with_seed(f->seed) : NULL;
        f->used_seed = f->seed;
    }
    f->sw->faults = any ? f : NULL;
}

void idt_ntb_faults_start(IdtNtbFaults *f, IdtNtbSwitch *sw,
                          bool (*deliver)(IdtNtbSwitch *sw,
                                          const IdtNtbSignal *signal))
{
    f->sw = sw;
    f->deliver = deliver;
    f->timer = timer_new_ms(QEMU_CLOCK_VIRTUAL, deliver_late, f);
    QSIMPLEQ_INIT(&f->late);
    f->num_late = 0;
    idt_ntb_faults_follow(f);
}

void idt_ntb_faults_lose_late(IdtNtbFaults *f)
{
    while (!QSIMPLEQ_EMPTY(&f->late)) {
        g_autofree IdtNtbSignal *signal = take_late(f);

        lose(f->sw, signal);
    }
}

void idt_ntb_faults_stop(IdtNtbFaults *f)
{
    idt_ntb_faults_lose_late(f);
    g_clear_pointer(&f->timer, timer_free);
    g_clear_pointer(&f->rand, g_rand_free);
    f->used_seed = 0;
    f->sw->faults = NULL;
    f->sw = NULL;
}
