# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/idt-ntb-start: a switch, and the arguments that connect to it."""

import contextlib
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import unittest
from unittest import mock
from xml.etree import ElementTree

sys.path.append(str(pathlib.Path(__file__).resolve().parent))

# pylint: disable=wrong-import-position
from ports import TOP, device, settings
from guest import wait_until
from qemu.machine import QEMUQtestMachine

TOOL = TOP / 'scripts/idt-ntb-start'
QEMU = '{http://libvirt.org/schemas/domain/qemu/1.0}'


class Arguments(unittest.TestCase):
    """What the tool prints works."""

    def start(self, *options):
        """Start the tool; return the process and what it says."""
        # pylint: disable=consider-using-with
        process = subprocess.Popen(
            [sys.executable, TOOL, '--build', settings.BUILD, *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        self.addCleanup(process.stdout.close)
        text = ''
        for line in process.stdout:
            if line.startswith('# Ctrl-C'):
                break
            text += line
        return process, text

    def parts(self, text):
        """The command lines, and the documents for libvirt."""
        parts = re.split(r'(?m)^# Port \d+: .*\n', text)[1:]
        return ([shlex.split(part.replace('\\\n', ''))
                 for part in parts[::2]],
                [ElementTree.fromstring(part) for part in parts[1::2]])

    def test_two_guests(self):
        process, text = self.start()
        commands, documents = self.parts(text)
        folder = pathlib.Path(re.search(r'path=([^,]+)/switch', text)[1])
        self.assertEqual(folder.stat().st_mode & 0o777, 0o700)
        with contextlib.ExitStack() as stack:
            qemus = []
            for qemu, *args in commands:
                vm = QEMUQtestMachine(qemu, args=[*settings.FIRMWARE, *args])
                vm.launch()
                stack.callback(vm.shutdown)
                qemus.append(vm)
            self.assertEqual([vm.cmd('qom-get', property='port',
                                     path='/machine/peripheral/ntb0')
                              for vm in qemus], [0, 2])
        for command, document in zip(commands, documents):
            words = [arg.get('value') for arg in document.iter(f'{QEMU}arg')]
            self.assertEqual(len(words), 4)
            for word in words:
                self.assertIn(word.partition(',bus=')[0], command)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(120), 0)
        wait_until(lambda: not folder.exists(), 'the directory is gone')
        self.assertFalse((pathlib.Path('/dev/shm') / folder.name).exists())

    def test_eight_guests(self):
        """More than the default chip has ports for."""
        commands, documents = self.parts(self.start('--guests', '8')[1])
        self.assertEqual(len(documents), 8)
        chip, ports = next((name, ports)
                           for name, ports in device.chips.values()
                           if name == '89HPES32NT8AG2')
        self.assertEqual([command[-1] for command in commands], [
            f'idt-ntb,id=ntb0,chardev=ntb,chip={chip},partitions=8,port={port}'
            for port in ports])

    def test_one_guest(self):
        """Its peer comes from elsewhere, and finds two partitions."""
        commands, _ = self.parts(self.start('--guests', '1')[1])
        self.assertTrue(commands[0][-1].endswith(',partitions=2,port=0'))
        self.assertEqual(len(commands), 1)

    def test_refused(self):
        for args, why in (
                (('--build', '/'), 'has no contrib/ivshmem-server'),
                (('--build', settings.BUILD, '--kernel', '/none'), 'no file'),
                (('--build', settings.BUILD, '--kernel', settings.KERNEL),
                 'consoles need a terminal'),
                (('--source', '/', '--build', settings.BUILD),
                 'names a tree with the sources')):
            done = subprocess.run(
                [sys.executable, TOOL, *args], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                check=False)
            self.assertEqual((done.returncode, done.stdout), (1, ''), why)
            self.assertIn(why, done.stderr)
            self.assertEqual(done.stderr.count('\n'), 1)

    def test_comma(self):
        """In the name of the directory."""
        with tempfile.TemporaryDirectory(prefix='a,b') as folder:
            with mock.patch.dict(os.environ, TMPDIR=folder):
                commands, _ = self.parts(self.start('--guests', '1')[1])
            path = f'path={folder.replace(",", ",,")}/idt-ntb-'
            self.assertIn(path, commands[0][-3])
