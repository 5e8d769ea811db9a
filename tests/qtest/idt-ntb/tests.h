/*
 * QTest testcase for idt-ntb: the groups of cases
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_QTEST_IDT_NTB_TESTS_H
#define TESTS_QTEST_IDT_NTB_TESTS_H

void ntb_add_register_tests(void);
void ntb_add_access_tests(void);
void ntb_add_signal_tests(void);
void ntb_add_interrupt_tests(void);
void ntb_add_link_tests(void);
void ntb_add_death_tests(void);
void ntb_add_option_tests(void);
void ntb_add_chip_tests(void);
void ntb_add_caps_tests(void);
void ntb_add_error_tests(void);
void ntb_add_sensor_tests(void);
void ntb_add_event_tests(void);
void ntb_add_topology_tests(void);
void ntb_add_failover_tests(void);
void ntb_add_eeprom_tests(void);
void ntb_add_eeprom_error_tests(void);
void ntb_add_flash_tests(void);
void ntb_add_flood_tests(void);
void ntb_add_peer_tests(void);
void ntb_add_fuse_tests(void);
void ntb_add_host_tests(void);
void ntb_add_hostile_tests(void);
void ntb_add_race_tests(void);
void ntb_add_trust_tests(void);
void ntb_add_window_option_tests(void);
void ntb_add_barsetup_tests(void);
void ntb_add_power_tests(void);
void ntb_add_window_register_tests(void);
void ntb_add_window_tests(void);
void ntb_add_window_gate_tests(void);
void ntb_add_window_target_tests(void);
void ntb_add_window_loop_tests(void);
void ntb_add_window_model_tests(void);
void ntb_add_window_close_tests(void);
void ntb_add_window_stall_tests(void);
void ntb_add_window_order_tests(void);
void ntb_add_window_memory_tests(void);
void ntb_add_window_mailbox_tests(void);
void ntb_add_window_life_tests(void);
void ntb_add_window_vcpu_tests(void);
void ntb_add_window_death_tests(void);

/* Cases of the peers' that others run too, under worse conditions */
void ntb_test_signals(void);
void ntb_test_full_eventfd(void);
void ntb_test_idle_signals(void);

#endif
