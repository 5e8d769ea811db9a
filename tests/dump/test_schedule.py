# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/idt-ntb-chaos, with two QEMUs without guests."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import unittest

from ports import TOP, Pair, settings

TOOL = TOP / 'scripts/idt-ntb-chaos'
DEADLINE = 600
CLEAR = {'link': True, 'link-width': '4', 'link-speed': '5',
         'partition-reset': False, 'fault-doorbells': 0, 'fault-messages': 0,
         'fault-completions': 0, 'fault-late': 0, 'fault-seed': 0,
         'fault-port': -1}


def steps(text):
    return re.findall(r'(?m)^\d+: (.*)', text)


class Chaos(unittest.TestCase):
    def setUp(self):
        self.pair = Pair()
        self.addCleanup(self.pair.close)
        self.sockets = [port.qmp_path for port in self.pair.ports]

    def start(self, *args):
        # pylint: disable=consider-using-with
        process = subprocess.Popen(
            [sys.executable, TOOL, *args], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ,
                 'PYTHONPATH': os.path.join(settings.SOURCE, 'python')})
        self.addCleanup(process.kill)
        return process

    def run_tool(self, *args, status=0):
        process = self.start(*args)
        output, errors = process.communicate(timeout=DEADLINE)
        self.assertEqual(process.returncode, status, errors)
        return output, errors

    def assert_clear(self, *ports):
        for port in ports or self.pair.ports:
            for name, value in CLEAR.items():
                self.assertEqual(port.qemu.cmd(
                    'qom-get', path='/machine/peripheral/ntb',
                    property=name), value, name)

    def test_repeats(self):
        """A seed chooses the same again; the lines can be replayed."""
        faults = 'link,degraded,doorbells,messages,late,completions,aer,reset'
        args = '--seed', '18', '--seconds', '6', '--faults', faults
        first = self.run_tool(*args, *self.sockets)[0]
        self.assertGreater(len(steps(first)), 2)
        self.assert_clear()
        with tempfile.TemporaryDirectory(prefix='ntb-') as folder:
            script = pathlib.Path(folder) / 'script'
            script.write_text(first, encoding='utf-8')
            self.assertEqual(steps(self.run_tool(
                '--replay', script, *self.sockets)[0]), steps(first))
        self.assert_clear()
        again = self.run_tool(*args, *reversed(self.sockets))[0]
        self.assertEqual(steps(again), steps(first))

    def test_interrupted(self):
        """Ctrl-C clears what is set."""
        for number in signal.SIGINT, signal.SIGTERM:
            process = self.start('--faults', 'link', *self.sockets)
            while not process.stdout.readline().startswith('1: '):
                self.assertIsNone(process.poll())
            process.send_signal(number)
            output, errors = process.communicate(timeout=DEADLINE)
            self.assertEqual((process.returncode, errors), (0, ''))
            self.assertRegex(output, r'\d+ steps\n$')
            self.assert_clear()

    def test_gone(self):
        """The end of a QEMU clears what is set in the others."""
        process = self.start('--faults', 'link', *self.sockets)
        while not process.stdout.readline().startswith('1: '):
            self.assertIsNone(process.poll())
        self.pair.ports[0].qemu.kill()
        errors = process.communicate(timeout=DEADLINE)[1]
        self.assertEqual(process.returncode, 1)
        self.assertRegex(errors, '^idt-ntb-chaos: error: .*a.qmp.*\n$')
        self.assert_clear(self.pair.ports[1])

    def test_misuse(self):
        for args, why in (
                (['/no/such/socket'], 'no QMP connection'),
                (['--faults', 'cable', *self.sockets], 'unknown fault cable'),
                (['--seconds', '0', *self.sockets], 'positive number')):
            self.assertIn(why, self.run_tool(
                *args, status=1 if 'no QMP' in why else 2)[1])
        with tempfile.TemporaryDirectory(prefix='ntb-') as folder:
            script = pathlib.Path(folder) / 'script'
            for line, why in (
                    ('port=4 hold=0 pause=0 link=off', 'no port 4'),
                    ('port=0 hold=0 pause=0 lnik=off', 'unknown fault: lnik'),
                    ('port=0 hold=0 pause=0 fault-doorbells=x', 'no number'),
                    ('port=0 hold=0', 'no step of a schedule')):
                script.write_text(f'{line}\n', encoding='utf-8')
                self.assertIn(why, self.run_tool(
                    '--replay', script, *self.sockets, status=1)[1])
        self.assert_clear()
