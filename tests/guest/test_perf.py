# SPDX-License-Identifier: GPL-2.0-or-later
"""ntb_perf in two guests, unmodified and with patches/linux."""

import os
import re
import unittest

from case import GuestTestCase, SharedPairTestCase
from guest import wait_until

PAGE = 4096
RAM = 256 << 20
TOTAL_ORDER = 20


class Perf:
    """ntb_perf of a guest with one port, and one peer."""

    def __init__(self, guest, module):
        self.guest = guest
        guest.run(f'insmod {module} total_order={TOTAL_ORDER}')
        self.folder = guest.run('echo /sys/kernel/debug/ntb_perf/*').strip()

    def _info(self, what):
        found = re.search(what + r'\s+(0x[0-9a-f]+)',
                          self.guest.run(f'cat {self.folder}/info'))
        return int(found[1], 16) if found else 0

    def wait_ready(self):
        """The peers have told each other where their buffers are."""
        wait_until(lambda: self._info('In buffer xlat') and
                   self._info('Out buffer xlat'),
                   f'{self.guest.name} has buffers')

    def run(self):
        self.guest.run(f'echo 0 >{self.folder}/run')
        return self.guest.run(f'cat {self.folder}/run')

    def run_for_ever(self):
        self.guest.run('echo 40 >/sys/module/ntb_perf/parameters/total_order;'
                       f'echo 0 >{self.folder}/run 2>/dev/null & '
                       'echo $! >/tmp/perf')

    def stop(self):
        self.guest.run('kill $(cat /tmp/perf)')
        wait_until(lambda: 'idle' in self.guest.run(
            f'grep status {self.folder}/info'), 'the test has stopped')

    def memory(self, address, size):
        """What is in the guest's memory."""
        name = os.path.join(self.guest.folder, 'memory')
        self.guest.vm.cmd('pmemsave', val=address, size=size, filename=name)
        with open(name, 'rb') as file:
            data = file.read()
        os.unlink(name)
        return data

    def received(self):
        """What is in the buffer that the peer writes to."""
        return self.memory(self._info('In buffer xlat'),
                           self._info('In buffer size'))


def pages(data):
    return [data[n:n + PAGE] for n in range(0, len(data), PAGE)]


class PerfChecks:
    """What is done in both test cases."""

    MODULES = ('ntb', 'ntb_hw_idt')

    def load(self, module):
        if self.guests[0].try_run(f'[ -f {module} ]')[0] != 0:
            self.skipTest(f'a kernel of your own: no {module}')
        both = [Perf(guest, module) for guest in self.guests]
        for perf in both:
            perf.wait_ready()
        return both, both[::-1]

    def check_run(self, sender):
        self.assertIn(f'copied {1 << TOTAL_ORDER} bytes', sender.run())

    def check_unmodified(self):
        """Its handshake works, its run "succeeds", and not one byte arrives:
        it writes through a window that nobody opened."""
        for sender, receiver in self.load('/lib/modules/ntb_perf.ko'):
            self.check_run(sender)
            data = receiver.received()
            self.assertGreaterEqual(len(data), PAGE)
            self.assertEqual(data, bytes(len(data)))

    def check_fixed(self):
        """What arrives is what was sent."""
        for sender, receiver in self.load('/lib/modules/fixed/ntb_perf.ko'):
            self.assertFalse(any(receiver.received()))
            self.check_run(sender)
            first = pages(receiver.received())
            self.assertEqual(len(set(first)), len(first))
            self.assertNotIn(bytes(PAGE), first)
            # It sends a block of random data again and again.  The receiver
            # has all of it, and nothing else, when the same block is
            # somewhere in the sender's RAM.
            sender.run_for_ever()
            wait_until(lambda r=receiver: not set(pages(r.received())) &
                       set(first), 'all of the buffer is new')
            wait_until(lambda s=sender, r=receiver: self.is_in_ram(s, r),
                       'the sender has what arrived')
            sender.stop()

    @staticmethod
    def is_in_ram(sender, receiver):
        at = sender.memory(0, RAM).find(receiver.received())
        return at > 0 and at % PAGE == 0


class PerfTest(PerfChecks, SharedPairTestCase):
    """By the direct path."""

    PAIR = {'shared': True}

    def test_unmodified(self):
        self.check_unmodified()

    def test_fixed(self):
        self.check_fixed()


class PerfRequestTest(PerfChecks, GuestTestCase):
    """RAM is not shared: each store is a request."""

    def test_fixed(self):
        self.expect_qemu_log('memory-backend-memfd')
        for name in 'AB':
            self.guest(name, self.switch.port(
                'bar1-size=4K,bar2-size=128K,bar4-size=4K'), boot=False,
                       modules=self.MODULES)
        self.boot_all(self.guests)
        self.check_fixed()


if __name__ == '__main__':
    unittest.main()
