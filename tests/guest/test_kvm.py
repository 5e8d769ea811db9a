# SPDX-License-Identifier: GPL-2.0-or-later
"""The device in guests that run under KVM."""

import re

import ntbtool
import pingpong
import pytest
from test_hotplug import Plug, make_acpi

pytestmark = pytest.mark.kvm

PAGE = 4096


def transfer(sender, receiver):
    """A page through the first window, and back."""
    receiver.write('peer0/mw_trans0', PAGE)
    address = re.search(r'DMA Address\s+(\S+)',
                        receiver.read('peer0/mw_trans0'))[1]
    sender.write('peer0/peer_mw_trans0', f'{int(address, 16)}:{PAGE}')
    sent = sender.run(sender.fill_script([0], [PAGE])).splitlines()
    assert receiver.digests('mw', [0], PAGE) == sent
    assert sender.digests('peer_mw', [0], PAGE) == sent


def test_short(lab):
    """The driver, ping-pong, a window each way, unplug, and kill -9."""
    make_acpi(lab, modules=('ntb', 'ntb_hw_idt'), shared=True)
    lab.boot_all()
    guest_a, guest_b = lab.guests
    port = Plug(guest_b)
    lab.run_all('load ntb_pingpong')
    port.plug()
    pingpong.wait_growing(lab.guests)
    assert 'PCI-MSI' in guest_a.run('grep ntb_irq_idt /proc/interrupts')

    lab.run_all('rmmod ntb_pingpong')
    tools = [ntbtool.Tool(guest) for guest in lab.guests]
    ntbtool.connect(*tools)
    for sender, receiver in (tools, tools[::-1]):
        transfer(sender, receiver)
    for tool in tools:
        assert tool.guest.vm.cmd('qom-get', path='/machine/peripheral/ntb',
                                 property='direct-mappings') == 1
        tool.write('peer0/peer_mw_trans0', '0:0')
    for tool in tools:
        tool.write('peer0/mw_trans0', '0')

    lab.run_all('rmmod ntb_tool; load ntb_pingpong')
    port.unplug()
    pingpong.wait_links(guest_a, 0)
    port.plug()
    pingpong.wait_growing(lab.guests)
    guest_b.kill()
    pingpong.wait_links(guest_a, 0)
    pingpong.wait_stopped(guest_a)
