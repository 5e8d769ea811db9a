# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux's clients under a schedule of faults (scripts/idt-ntb-chaos).

A client may stop when a signal is lost for good: none of them repeats one.
After the schedule each cable is pulled and plugged once, as a user would do,
and from then on everything has to work.  Only ntb_perf has to be loaded again,
after a reset of the function: see docs/system/devices/idt-ntb-drivers.rst.
"""

import os
import pathlib
import random
import subprocess
import sys

import ntbtool
import pingpong
import pytest
import settings
from guest import DEADLINE
from ntbperf import FIXED, Perf

TOOL = pathlib.Path(__file__).resolve().parents[2] / 'scripts/idt-ntb-chaos'
# How long a schedule is, in seconds
SHORT, LONG = 10, int(os.environ.get('NTB_CHAOS_SECONDS', 60))
long = pytest.param(LONG, marks=pytest.mark.everything)
MODULES = 'ntb', 'ntb_hw_idt'


@pytest.fixture
def pair(lab):
    """Two guests with a QMP socket for the tool."""
    def boot(*modules):
        for name in 'AB':
            lab.guest(name, [*lab.switch.port(), '-qmp', socket(lab, name) +
                             ',server=on,wait=off'], boot=False, shared=True,
                      modules=(*MODULES, *modules),
                      append='ntb_pingpong.delay_ms=1')
        lab.boot_all()
        return lab.guests
    return boot


def socket(lab, name):
    return f'unix:{lab.folder}/{name}.qmp'


class Schedule:
    """The tool at work; end() waits until its schedule is over."""

    def __init__(self, lab, seconds, seed):
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen(
            [sys.executable, TOOL, '--seed', seed, '--seconds', str(seconds),
             *(socket(lab, guest.name).removeprefix('unix:')
               for guest in lab.guests)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
            env={**os.environ,
                 'PYTHONPATH': os.path.join(settings.SOURCE, 'python')})

    def running(self):
        return self.process.poll() is None

    def end(self, guests):
        output = self.process.communicate(timeout=DEADLINE)[0]
        print(output)
        assert self.process.returncode == 0
        for guest in guests:
            for value in False, True:
                guest.vm.cmd('qom-set', path='/machine/peripheral/ntb',
                             property='link', value=value)


@pytest.fixture
def chaos(lab, pytestconfig, record_property):
    seed = pytestconfig.getoption('seed') or str(random.randrange(1 << 32))
    record_property('seed', seed)
    return lambda seconds: Schedule(lab, seconds, seed)


@pytest.mark.parametrize('seconds', [SHORT, long])
def test_pingpong(pair, chaos, seconds):
    guests = pair('ntb_pingpong')
    pingpong.wait_growing(guests)
    chaos(seconds).end(guests)
    pingpong.wait_growing(guests)


@pytest.mark.everything
def test_tool(pair, chaos):
    """Doorbells, messages and windows are used meanwhile."""
    guests = pair()
    tools = [ntbtool.Tool(guest) for guest in guests]
    ntbtool.connect(*tools)
    size = 0x10000
    buffers = [tool.allocate(size) for tool in tools]
    for tool, theirs in zip(tools, reversed(buffers)):
        tool.open(theirs)
    schedule = chaos(LONG)
    while schedule.running():
        for tool in tools:
            tool.run('echo s 0xff >peer_db; echo c 0xff >db; '
                     'echo 0x5afe >peer0/msg0; echo c 0xf000f >msg_sts; '
                     f'head -c {size} peer0/peer_mw0 | sha256sum; '
                     f'head -c {size} /dev/urandom >peer0/peer_mw0')
    schedule.end(guests)
    ntbtool.connect(*tools)
    for tool, other in zip(tools, reversed(tools)):
        for name in tool, other:
            name.run('echo c 0xffffffff >db; echo c 0xf000f >msg_sts')
        sent = tool.run(tool.fill_script([0], [size])).split()[0]
        assert other.digests('mw', [0], size)[0].split()[0] == sent
        tool.run('echo s 0xff >peer_db; echo 0xcab1e >peer0/msg0')
        assert other.number('db') == 0xff
        assert other.read('msg0') == '0x000cab1e<-0'
    for tool in tools:
        tool.close()
    for tool in tools:
        tool.free()


@pytest.mark.everything
def test_perf(lab, pair, chaos):
    """A run goes on meanwhile; it may fail."""
    guests = pair()
    both = [Perf(guest, FIXED) for guest in guests]
    for perf in both:
        perf.wait_ready()
    schedule = chaos(LONG)
    while schedule.running():
        for perf in both:
            perf.guest.try_run(f'echo 0 >{perf.folder}/run')
    schedule.end(guests)
    lab.run_all('rmmod ntb_perf && rmmod ntb_hw_idt')
    lab.run_all('for device in /sys/bus/pci/devices/*; do '
                'grep -q 0x111d $device/vendor || continue; '
                'echo 1 >$device/reset; done; load ntb_hw_idt')
    both = [Perf(guest, FIXED) for guest in guests]
    for perf in both:
        perf.wait_ready()
    for sender, receiver in (both, both[::-1]):
        sender.run_for_ever()
        pingpong.wait_until(lambda s=sender, r=receiver:
                            s.has_sent(r.received()), 'data arrives')
        sender.stop()
