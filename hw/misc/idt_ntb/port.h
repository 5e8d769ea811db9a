/*
 * IDT 89HPESxNTx PCIe switch: the life of a port
 *
 * An owner claims a port, brings its link up, takes it down and resets the
 * function, and frees the port.  If the owner dies, another process frees it.
 *
 * The owner holds the write lock of its block (idt_ntb_shm_lock_offset()).
 * Creation of a switch, claims, and clean-up after a process that died happen
 * under the lock of the first byte of the header.  Both are open file
 * description locks: the kernel drops them with their owner, so that a killed
 * process leaves no lock behind.  Modelled in docs/spin/idt-ntb-port.promela.
 *
 * Call all functions with the BQL held, from the main loop or a vCPU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_IDT_NTB_PORT_H
#define HW_MISC_IDT_NTB_PORT_H

#include "switch.h"

/* As a port number: the lowest free port with an NT function */
#define IDT_NTB_PORT_AUTO   -1

/*
 * Attach to the switch in the memory @shm_fd, which stays open, and create
 * the switch if no port is attached.  The link stays down.
 *
 * @port: the port number, or IDT_NTB_PORT_AUTO
 * @client: our client id at the server
 * @timeout_ms: how long to wait for another process that attaches or detaches
 *
 * Return true, or false with @errp set and @sw unchanged.
 */
bool idt_ntb_port_attach(IdtNtbSwitch *sw, int shm_fd, int port,
                         unsigned client, unsigned timeout_ms, Error **errp);

/*
 * Check that a device can be at the port number @port, any number; messages
 * call it the value of @option.
 *
 * Return true, or false with @errp set and the ports that can as a hint.
 */
bool idt_ntb_port_check(const IdtNtbSwitch *sw, const char *option, int port,
                        Error **errp);

/*
 * Wait up to @timeout_ms until no process owns the port number @port in the
 * memory @shm_fd.  @sw is detached.
 */
void idt_ntb_port_wait(const IdtNtbSwitch *sw, int shm_fd, int port,
                       unsigned timeout_ms);

/*
 * Attach at a new server, whose memory is @shm_fd.  If that is the memory
 * that the port is attached to, the attachment goes on.  Else attach to the
 * same port there and detach from the old memory: the NT function keeps its
 * registers, its link is down.
 *
 * Return true, or false with @errp set and @sw unchanged.
 */
bool idt_ntb_port_reattach(IdtNtbSwitch *sw, int shm_fd, unsigned client,
                           unsigned timeout_ms, Error **errp);

/* Return true if @shm_fd is the memory that the port is attached to. */
bool idt_ntb_port_is_attached_to(const IdtNtbSwitch *sw, int shm_fd);

/*
 * Take the link down and free the port.  Do nothing while detached.
 *
 * @away: the guest is on its way to another process.  Keep the switch, whose
 * registers are not in the guest's state: no process creates it anew before the
 * next attachment, or idt_ntb_port_end_away().
 */
void idt_ntb_port_detach(IdtNtbSwitch *sw, bool away);
void idt_ntb_port_end_away(IdtNtbSwitch *sw);

/*
 * Free the ports of other processes that died.  Call it again after a while:
 * the kernel can drop the lock of a process some time after its end.
 *
 * Return true if there was such a port.
 */
bool idt_ntb_port_reap(IdtNtbSwitch *sw);

/*
 * Take the link of the port in @slot down, reset its NT function and raise
 * LINKDN.  The port is ours, or its owner has died.  If our process is killed
 * meanwhile, the next call for the port does the rest.
 */
void idt_ntb_port_put_down(IdtNtbSwitch *sw, unsigned slot);

/*
 * Take our link down as if its cable was pulled, and raise LINKDN.  The
 * function keeps its registers.
 */
void idt_ntb_port_pull_cable(IdtNtbSwitch *sw);

/*
 * Train our link if the topology allows it, and raise LINKUP if it was down.
 * Show the others that the link is trained, in case another process has
 * overwritten that.  Afterwards evaluate our interrupt: notify_guest(), or
 * schedule look_bh.
 */
void idt_ntb_port_link_up(IdtNtbSwitch *sw);

/*
 * Show the others the first IDT_NT_REGS bytes of our configuration space.
 *
 * Return true if the function was a bus master and is no more.
 */
bool idt_ntb_port_publish(IdtNtbSwitch *sw, const uint8_t *config);

#endif
