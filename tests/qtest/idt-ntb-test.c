/*
 * QTest testcase for idt-ntb, the IDT 89HPES*NT*G2 non-transparent bridge
 *
 * The cases are in idt-ntb/, named after the register group they test.  Each
 * runs an ivshmem-server and as many QEMUs as it needs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "idt-ntb/harness.h"
#include "idt-ntb/tests.h"

/* They know what is in the machine besides the device */
static void add_q35_tests(void)
{
    ntb_add_link_tests();
    ntb_add_death_tests();
    ntb_add_option_tests();
    ntb_add_error_tests();
    ntb_add_event_tests();
    ntb_add_topology_tests();
    ntb_add_failover_tests();
    ntb_add_barsetup_tests();
    ntb_add_power_tests();
    ntb_add_eeprom_tests();
    ntb_add_eeprom_error_tests();
    ntb_add_flash_tests();
    ntb_add_peer_tests();
    ntb_add_fuse_tests();
    ntb_add_trust_tests();
    ntb_add_host_tests();
    ntb_add_hostile_tests();
    ntb_add_race_tests();
    ntb_add_window_gate_tests();
    ntb_add_window_target_tests();
    ntb_add_window_loop_tests();
    ntb_add_window_model_tests();
    ntb_add_window_close_tests();
    ntb_add_window_stall_tests();
    ntb_add_window_order_tests();
    ntb_add_window_memory_tests();
    ntb_add_window_mailbox_tests();
    ntb_add_window_life_tests();
    ntb_add_window_vcpu_tests();
    ntb_add_flood_tests();
    ntb_add_window_death_tests();
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    if (!ntb_harness_init()) {
        g_test_message("needs machine q35 or pseries");
        ntb_harness_cleanup();
        return g_test_run();
    }
    ntb_add_register_tests();
    ntb_add_access_tests();
    ntb_add_signal_tests();
    ntb_add_interrupt_tests();
    ntb_add_chip_tests();
    ntb_add_caps_tests();
    ntb_add_sensor_tests();
    ntb_add_window_option_tests();
    ntb_add_window_register_tests();
    ntb_add_window_tests();
    if (ntb_machine_is_q35()) {
        add_q35_tests();
    }
    ret = g_test_run();
    ntb_harness_cleanup();
    return ret;
}
