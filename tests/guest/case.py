# SPDX-License-Identifier: GPL-2.0-or-later
"""What all guest tests have: a switch, guests, and a look at what is left."""

import os
import re
import shutil
import stat
import sys
import tempfile
import unittest

import settings
from guest import KERNEL_TROUBLE, Guest, GuestError
from switch import Switch


# ./ntb soak repeats what is done several times that many times as often
SOAK = int(os.environ.get('NTB_SOAK', 1))


class GuestTestCase(unittest.TestCase):
    """A test with a switch of its own and guests made by guest().

    At the end, every guest that still runs must be without complaints of its
    kernel, and every QEMU must have written nothing but what the test said it
    expects with expect_qemu_log().
    """

    def setUp(self):
        # Short: paths of sockets end after a hundred characters
        self.folder = tempfile.mkdtemp(prefix='ntb-')
        self.addCleanup(self._clean_up)
        self.guests = []
        self._expected = []
        self.switch = Switch(self.folder)
        self.switch.start()

    def tearDown(self):
        for guest in self.guests:
            if guest.running():
                self._check_kernel(guest)
            for line in guest.qemu_log().splitlines():
                if not any(p.search(line) for p in self._expected):
                    self.fail(f'{guest.name}: QEMU says: {line}')

    def _check_kernel(self, guest):
        trouble = KERNEL_TROUBLE.search(guest.console()) or \
            KERNEL_TROUBLE.search(guest.dmesg())
        if trouble:
            self.fail(f'{guest.name}: its kernel says "{trouble[0]}":\n' +
                      guest.dmesg()[-4000:])

    def _clean_up(self):
        failed = len(self._result.failures) + len(self._result.errors)
        if failed > self._failed_before:
            self._keep_logs()
        try:
            for guest in self.guests:
                guest.shutdown()
            self.switch.stop()
        finally:
            shutil.rmtree(self.folder)

    def _keep_logs(self):
        kept = os.path.join(settings.FAILED, self.id())
        shutil.rmtree(kept, ignore_errors=True)
        # Sockets cannot be copied
        shutil.copytree(self.folder, kept, ignore=lambda folder, names: [
            name for name in names
            if stat.S_ISSOCK(os.lstat(os.path.join(folder, name)).st_mode)])
        for guest in self.guests:
            if guest.running():
                with open(os.path.join(kept, guest.name, 'dmesg'), 'w') as log:
                    try:
                        log.write(guest.dmesg())
                    except GuestError as error:
                        log.write(str(error))
        print(f'\nThe logs of {self.id()} are in {kept}', file=sys.stderr)

    def guest(self, name, args=None, boot=True, **kwargs):
        """Make a guest; by default it has one port of the test's switch."""
        guest = Guest(name, self.folder,
                      self.switch.port() if args is None else args, **kwargs)
        self.guests.append(guest)
        if boot:
            guest.boot()
        return guest

    def another_switch(self, name):
        """One more switch, apart from the test's own."""
        folder = os.path.join(self.folder, name)
        os.mkdir(folder)
        switch = Switch(folder)
        self.addCleanup(switch.stop)
        switch.start()
        return switch

    def pair(self, **kwargs):
        """Two guests with one port each, started at the same time."""
        pair = [self.guest(name, boot=False, **kwargs) for name in 'AB']
        self.boot_all(pair)
        return pair

    @staticmethod
    def boot_all(guests):
        for guest in guests:
            guest.boot(wait=False)
        for guest in guests:
            guest.wait_ready()

    def expect_qemu_log(self, pattern):
        """Lines that match PATTERN may be in QEMU's output."""
        self._expected.append(re.compile(pattern))

    def run(self, result=None):
        """Run the test, and let its cleanup know whether it failed."""
        self._result = result or self.defaultTestResult()
        self._failed_before = (len(self._result.failures) +
                               len(self._result.errors))
        return super().run(self._result)
