# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux's ntb_perf, driven through its files in debugfs."""

import re

import settings
from guest import wait_until

PAGE = 4096
# With patches/linux, and as Linux has it
FIXED = '/lib/modules/fixed/ntb_perf.ko'
UNMODIFIED = '/lib/modules/ntb_perf.ko'
# A run of run() copies 1 MiB
TOTAL_ORDER = 20
# The same where each store traps: half a millisecond in an emulated KVM
TRAPPED_ORDER = 14 if settings.ACCEL == 'kvm' else TOTAL_ORDER


class Perf:
    """ntb_perf of a guest with one port; peers have the driver's indices."""

    def __init__(self, guest, module, total_order=TOTAL_ORDER):
        self.guest = guest
        self.total_order = total_order
        guest.run(f'insmod {module} total_order={total_order} '
                  f'chunk_order={min(total_order, 19)}')
        self.folder = guest.run('echo /sys/kernel/debug/ntb_perf/*').strip()

    def _info(self, what):
        """The numbers after WHAT, one for each peer that has it."""
        return [int(number, 16) for number in re.findall(
            what + r'\s+(0x[0-9a-f]+)',
            self.guest.run(f'cat {self.folder}/info'))]

    def wait_ready(self, peers=1):
        """This one and PEERS others have told each other where their buffers
        are."""
        def ready():
            return all(sum(address > 0 for address in self._info(what)) ==
                       peers for what in ('In buffer xlat', 'Out buffer xlat'))
        wait_until(ready, f'{self.guest.name} has buffers')

    def run(self):
        self.guest.run(f'echo 0 >{self.folder}/run')
        return self.guest.run(f'cat {self.folder}/run')

    def run_for_ever(self, peer=0):
        self.guest.run('echo 40 >/sys/module/ntb_perf/parameters/total_order;'
                       f'echo {peer} >{self.folder}/run 2>/dev/null & '
                       'echo $! >/tmp/perf')

    def stop(self):
        self.guest.run('kill $(cat /tmp/perf)')
        wait_until(lambda: 'idle' in self.guest.run(
            f'grep status {self.folder}/info'), 'the test has stopped')

    def buffers(self):
        """Where the peers write to: addresses and sizes."""
        return list(zip(self._info('In buffer xlat'),
                        self._info('In buffer size')))

    def received(self, peer=0):
        """Return the content of the buffer that a peer writes to."""
        return self.guest.memory(*self.buffers()[peer])

    def has_sent(self, data):
        """Whether DATA is somewhere in its RAM.  A run sends a block of random
        data again and again: the receiver has all of it, and nothing else,
        when the same block is there while the run goes on."""
        at = self.guest.memory().find(data)
        return at > 0 and at % PAGE == 0
