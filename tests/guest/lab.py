# SPDX-License-Identifier: GPL-2.0-or-later
"""A switch, the guests on it, and the folder where both leave things."""

import os
import re
import shutil
import stat
import tempfile

from guest import KERNEL_TROUBLE, Guest, GuestError
from machine import Q35
from switch import Switch


class Lab:
    """A test environment.  close() ends and removes everything.

    machines  the machines of guests, by name, that are not the usual one
    """

    def __init__(self, machines=None):
        # Short: paths of sockets end after a hundred characters
        self.folder = tempfile.mkdtemp(prefix='ntb-')
        self.machines = machines or {}
        self.guests = []
        self.switches = []
        self.expected = []
        # A test that failed leaves guests that no other one can use
        self.failed = False
        self.switch = self.add_switch('switch')

    def add_switch(self, name):
        folder = os.path.join(self.folder, name)
        os.mkdir(folder)
        switch = Switch(folder)
        self.switches.append(switch)
        switch.start()
        return switch

    def guest(self, name, args=None, boot=True, **kwargs):
        """Make a guest; by default it has one port of the switch."""
        kwargs.setdefault('machine', self.machines.get(name, Q35))
        guest = Guest(name, self.folder,
                      self.switch.port() if args is None else args, **kwargs)
        self.guests.append(guest)
        if boot:
            guest.boot()
        return guest

    def pair(self, options='', **kwargs):
        """Two guests with one port each, started at the same time."""
        pair = [self.guest(name, self.switch.port(options), boot=False,
                           **kwargs) for name in 'AB']
        self.boot_all(pair)
        return pair

    def run_all(self, *scripts):
        """Run a script in each guest, or the same in all, at the same time;
        return the outputs."""
        if len(scripts) == 1:
            scripts *= len(self.guests)
        started = [guest.send(script)
                   for guest, script in zip(self.guests, scripts, strict=True)]
        ended = [guest.finish(number)
                 for guest, number in zip(self.guests, started)]
        for guest, (status, output) in zip(self.guests, ended):
            if status:
                raise GuestError(f'{guest.name}: {output}')
        return [output for _, output in ended]

    def boot_all(self, guests=None):
        for guest in guests or self.guests:
            guest.boot(wait=False)
        for guest in guests or self.guests:
            guest.wait_ready()

    def expect_qemu_log(self, pattern):
        """Lines that match PATTERN may be in QEMU's output."""
        self.expected.append(re.compile(pattern))

    def check(self):
        """Guests that still run must be without complaints of their kernels,
        and no QEMU has written anything that is not expected."""
        for guest in self.guests:
            if guest.running():
                for log in guest.console(), guest.dmesg():
                    trouble = KERNEL_TROUBLE.search(log)
                    assert not trouble, \
                        f'{guest.name}: its kernel says:\n{log[-4000:]}'
            for line in guest.qemu_log().splitlines():
                assert any(pattern.search(line)
                           for pattern in self.expected), \
                    f'{guest.name}: QEMU says: {line}'

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
