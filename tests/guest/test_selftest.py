# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's own tools/testing/selftests/ntb/ntb_test.sh, unmodified."""

import os
import re
import unittest

import settings
from case import GuestTestCase, soak_only
from guest import DEADLINE
from test_tool import SLOW, SMALL, WINDOWS

# The kernels of Debian 12 and 13: 6.1 and 6.12; and the newest, if asked for
SUITES = ['bookworm', 'trixie']
if settings.SUITE == 'sid':
    SUITES.append('sid')
# 1 MiB of ntb_perf
OPTIONS = '-p 20'


def expected(local, remote, windows):
    """What the script says when it has tested everything there is."""
    def both(name, result):
        return [f'Running {name} tests on: {local} / {remote}', result,
                f'Running {name} tests on: {remote} / {local}', result]

    def perf(where):
        return [f'Running {where} perf test without DMA',
                'Peer 0 test statistics:', '0: copied 1048576 bytes', 'Passed']

    def all_windows(here, there):
        return [line for n in range(windows) for line in (
            f'Running mw{n} tests on: {here} / {there}', 'Passed')]

    return [
        'Starting ntb_tool tests...',
        f'Running port tests on: {local} / {remote}',
        'Local port 0 with index 0 on remote host',
        'Peer port 2 with index 0 on local host',
        'Passed',
        *both('link', 'Passed'), *both('db', 'Passed'),
        # The chip has no scratchpads
        *both('spad', 'Unsupported'), *both('msg', 'Passed'),
        *all_windows(local, remote), *all_windows(remote, local),
        'Starting ntb_pingpong tests...',
        f'Running ping pong tests on: {local} / {remote}', 'Passed',
        # and no inbound translation, which this would need
        'Starting ntb_msi_test tests...',
        'Not doing MSI tests seeing the module is not available.',
        'Starting ntb_perf tests...', *perf('local'), *perf('remote')]


def normalised(output):
    """The script's output without what varies."""
    lines = [' '.join(line.split()) for line in output.splitlines()]
    return [re.sub(r'(copied \d+ bytes) in .*', r'\1', line) for line in lines
            if line and not re.match(r'MW \d+ size aligned to', line)]


class SelftestTestCase(GuestTestCase):
    """Guests with what the script needs, and a look at what it did."""

    maxDiff = None

    def selftest_guest(self, name, suite, args, **kwargs):
        folder = os.path.join(settings.GUESTS, suite)
        initrd = os.path.join(folder, 'initrd-selftest')
        if not os.path.exists(initrd):
            self.skipTest('only for Debian\'s kernel')
        # The modules are for modprobe to load
        return self.guest(name, args, modules=(), boot=False, initrd=initrd,
                          kernel=os.path.join(folder, 'vmlinux'), **kwargs)

    def run_script(self, guest, options, local, remote, windows=WINDOWS):
        # It says "Passed" after some things that went wrong, too, and skips
        # what it does not find: its exit status is not enough
        output = guest.run(f'bash /ntb_test.sh {OPTIONS} {options} '
                           f'{local} {remote} 2>&1', 3 * DEADLINE)
        self.assertEqual(normalised(output), expected(local, remote, windows))


class LocalTest(SelftestTestCase):
    """Two devices in one guest."""

    def check(self, suite, shared):
        guest = self.selftest_guest(
            'A', suite, [*self.switch.port(name='left', slot=2),
                         *self.switch.port(name='right', slot=3)],
            shared=shared)
        guest.boot()
        guest.run('modprobe ntb_hw_idt')
        self.run_script(guest, '', '0000:00:02.0', '0000:00:03.0')


class RemoteTest(SelftestTestCase):
    """Two guests; the script runs in A and reaches B over ssh."""

    def check(self, suite, shared, layout='', windows=WINDOWS):
        address = os.path.join(self.lab.folder, 'ethernet')
        net = f'stream,id=net,addr.type=unix,addr.path={address}'
        guest_a, guest_b = pair = [
            self.selftest_guest(name, suite, [
                *self.switch.port(layout, slot=slot), '-netdev', netdev,
                '-device',
                f'e1000,netdev=net,romfile=,mac=52:54:00:00:00:0{name}'],
                                shared=shared)
            for name, slot, netdev in (('A', 8, net + ',server=on'),
                                       ('B', 9, net))]
        self.boot_all(pair)
        for number, guest in enumerate(pair, 1):
            guest.run('modprobe ntb_hw_idt && modprobe e1000 && '
                      f'ip addr add 10.0.0.{number}/24 dev eth0 && '
                      'ip link set eth0 up')
        self.connect(guest_a, guest_b)
        self.run_script(guest_a, '-r b', '0000:00:08.0', '0000:00:09.0',
                        windows)
        connections = guest_b.run('grep -c "Child connection" /tmp/dropbear')
        self.assertEqual(connections.strip(), '1')

    @staticmethod
    def connect(guest_a, guest_b):
        """One connection that all ssh commands share."""
        key = guest_a.run('cd /root/.ssh && '
                          'ssh-keygen -q -t ed25519 -N "" -f id_ed25519 && '
                          'cat id_ed25519.pub')
        guest_b.run(f'echo "{key.strip()}" >/root/.ssh/authorized_keys && '
                    'mkdir /etc/dropbear && dropbear -R -E 2>/tmp/dropbear')
        guest_a.run('cat >/root/.ssh/config <<END\n'
                    'Host b\n'
                    'HostName 10.0.0.2\n'
                    'ControlPath /tmp/ssh\n'
                    'StrictHostKeyChecking accept-new\n'
                    'END\n'
                    'ssh -MNf b 2>&1')

    # For a change, and for time: each window takes eight commands.  Windows 0
    # and 1 must have one size: ntb_perf takes that of the wrong one.

    def test_direct(self):
        self.check(settings.SUITE, shared=True, windows=3,
                   layout='bar1-size=64K,bar2-mode=direct,bar2-size=64K,'
                   'bar4-size=64K')

    @soak_only
    def test_lut12(self):
        self.check(settings.SUITE, shared=True, windows=14,
                   layout='bar1-size=64K,bar2-mode=lut12,bar2-size=1M,'
                   'bar4-size=64K')


def add_matrix():
    """Each of Debian's kernels with each kind of RAM."""
    for suite in SUITES:
        for shared in (True, False):
            def local(self, suite=suite, shared=shared):
                self.check(suite, shared)

            def remote(self, suite=suite, shared=shared):
                self.expect_qemu_log(SLOW)
                self.check(suite, shared, '' if shared else SMALL)

            name = f'test_{suite}_{"shared" if shared else "plain"}_ram'
            if suite != settings.SUITE or not shared:
                local = soak_only(local)
            setattr(LocalTest, name, local)
            setattr(RemoteTest, name, soak_only(remote))


add_matrix()

if __name__ == '__main__':
    unittest.main()
