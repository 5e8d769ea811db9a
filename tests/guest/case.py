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

# ./ntb check --soak repeats what is done several times that many times as often
SOAK = int(os.environ.get('NTB_SOAK', 1))


def soak_only(test):
    """A test that is too long for ./ntb check."""
    return test if 'NTB_SOAK' in os.environ else None


class Lab:
    """A switch, the guests on it, and the folder where both leave things."""

    def __init__(self):
        # Short: paths of sockets end after a hundred characters
        self.folder = tempfile.mkdtemp(prefix='ntb-')
        self.guests = []
        self.switches = []
        self.switch = self.add_switch('switch')

    def add_switch(self, name):
        folder = os.path.join(self.folder, name)
        os.mkdir(folder)
        switch = Switch(folder)
        self.switches.append(switch)
        switch.start()
        return switch

    def close(self):
        """End and remove everything, also when something goes wrong."""
        try:
            for guest in self.guests:
                guest.shutdown()
        finally:
            for guest in self.guests:
                if guest.running():
                    guest.kill()
            for switch in self.switches:
                switch.stop()
            shutil.rmtree(self.folder)

    def keep_logs(self, kept):
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


class GuestTestCase(unittest.TestCase):
    """A test with a switch of its own and guests made by guest().

    At the end, every guest that still runs must be without complaints of its
    kernel, and every QEMU must have written nothing but what the test said it
    expects with expect_qemu_log().
    """

    # The machines of guests, by name, that are not the usual one
    MACHINES = {}

    def setUp(self):
        self.lab = self.open_lab()
        self.addCleanup(self._clean_up)
        self._expected = []

    def open_lab(self):
        close_shared()
        return Lab()

    def close_lab(self, failed):
        """The test is over."""
        del failed
        self.lab.close()

    @property
    def switch(self):
        return self.lab.switch

    @property
    def guests(self):
        return self.lab.guests

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
        failed = self._count_failures() > self._failed_before
        if failed:
            kept = os.path.join(settings.FAILED, self.id())
            self.lab.keep_logs(kept)
            print(f'\nThe logs of {self.id()} are in {kept}', file=sys.stderr)
        self.close_lab(failed)

    def _count_failures(self):
        return len(self._result.failures) + len(self._result.errors)

    def run(self, result=None):
        """Run the test, and let its cleanup know whether it failed."""
        self._result = result or self.defaultTestResult()
        self._failed_before = self._count_failures()
        return super().run(self._result)

    def guest(self, name, args=None, boot=True, **kwargs):
        """Make a guest; by default it has one port of the test's switch."""
        if name in self.MACHINES:
            kwargs['machine'] = self.MACHINES[name]
        guest = Guest(name, self.lab.folder,
                      self.switch.port() if args is None else args, **kwargs)
        self.guests.append(guest)
        if boot:
            guest.boot()
        return guest

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


# How the guests of the SharedTestCase that ran last were made, and its Lab
_shared = None


def close_shared():
    global _shared
    if _shared:
        lab = _shared[1]
        _shared = None
        lab.close()


class SharedTestCase(GuestTestCase):
    """Tests that take over the guests of the test before, to save boots.

    A test finds them with MODULES loaded, however the last one left them, and
    new ones when the last one failed.  make_guests() makes them; classes of
    one file that agree in what it goes by, NAMES, PORT, KIND and MACHINES,
    share them, too.
    """

    MODULES = ('ntb', 'ntb_hw_idt', 'ntb_pingpong')
    NAMES = 'AB'
    # Properties of the guests' devices
    PORT = ''
    # More arguments of guest()
    KIND = {'append': 'ntb_pingpong.delay_ms=1'}

    def open_lab(self):
        global _shared
        kind = self.NAMES, self.PORT, self.KIND, self.MACHINES
        if _shared and _shared[0] != kind:
            close_shared()
        if not _shared:
            _shared = kind, Lab()
            unittest.addModuleCleanup(close_shared)
        return _shared[1]

    def make_guests(self):
        for name in self.NAMES:
            self.guest(name, self.switch.port(self.PORT), boot=False,
                       modules=self.MODULES, **self.KIND)

    def setUp(self):
        super().setUp()
        if not self.guests:
            self.make_guests()
            self.boot_all(self.guests)
        started = [(guest, guest.send(
            'for module in ntb_pingpong ntb_tool ntb_perf ntb_hw_idt ntb; do '
            '[ ! -f /lib/modules/$module.ko ] || '
            '[ ! -d /sys/module/$module ] || rmmod $module || exit; done'))
                   for guest in self.guests]
        for guest, number in started:
            self.assertEqual(guest.finish(number), (0, ''), guest.name)
        for guest in self.guests:
            for module in self.MODULES:
                guest.run(f'load {module}')

    def close_lab(self, failed):
        if failed:
            close_shared()


class SharedPairTestCase(SharedTestCase):
    """Two of them."""

    def setUp(self):
        super().setUp()
        self.guest_a, self.guest_b = self.guests
