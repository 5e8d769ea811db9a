# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests of other architectures: what only they have.

Tests in other files run with them too, by the marker "machines".
"""

import re

import pingpong
import pytest
import test_tool
from machine import ARM64_INTX, ARM64_ITS, ARM64_V2M

pytestmark = pytest.mark.everything

ROOT_PORT = ['-device', 'pcie-root-port,id=port1,chassis=1']
PORT = 'partitions=3'
LARGE = 4 << 20


def test_large_windows(lab):
    """Windows of 4 MiB: Linux on x86 gives no larger buffer."""
    lab.machines = {'B': ARM64_ITS}
    tools = test_tool.connected(lab.pair(
        'bar1-size=4M,bar4-size=4M', modules=test_tool.MODULES, shared=True))
    for sender, receiver in (tools, tools[::-1]):
        test_tool.transfer(sender, receiver, LARGE)
        assert test_tool.direct_mappings(sender.guest) == test_tool.WINDOWS
        sizes = [size for _, size in receiver.allocate(LARGE)]
        assert sizes.count(LARGE) == 2


@pytest.mark.parametrize('machine,controller,root_port', [
    (ARM64_ITS, 'ITS-MSI', True), (ARM64_V2M, 'MSI', True),
    # QEMU's root ports insist on MSIs themselves
    (ARM64_INTX, 'GICv3', False)], ids=['its', 'v2m', 'intx'])
def test_interrupts(lab, machine, controller, root_port):
    """All ways by which virt brings interrupts, at the root and behind a root
    port."""
    lab.guest('x86', lab.switch.port(PORT), boot=False)
    lab.guest('root', lab.switch.port(PORT), boot=False, machine=machine)
    if root_port:
        lab.guest('port', [*ROOT_PORT,
                           *lab.switch.port(f'{PORT},bus=port1')],
                  boot=False, machine=machine)
    lab.boot_all()
    pingpong.wait_growing(lab.guests)
    for guest in lab.guests[1:]:
        assert re.search(controller,
                         guest.run('grep ntb_irq_idt /proc/interrupts'))
