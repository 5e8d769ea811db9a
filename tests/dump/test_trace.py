# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/idt-ntb-trace: the order of events, and what it says about them."""

import contextlib
import io
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
from unittest import mock
from xml.etree import ElementTree

import pytest

sys.path.append(str(pathlib.Path(__file__).resolve().parent))

# pylint: disable=wrong-import-position
from ports import TOP, TRACE_TOOL, Pair, device, load_tool

SVG = '{http://www.w3.org/2000/svg}'

tool = load_tool(TRACE_TOOL)
DEVICE = tool.Device
formats = tool.Formats(TOP / tool.TRACE_EVENTS)

# A doorbell, its interrupt, and a read of the status, in one microsecond
SENDER = '''
7@5.000001:idt_ntb_write port 0: 0x01420 = 0x00000005, lanes 0xffffffff
7@5.000002:idt_ntb_doorbell port 0 to port 2: 0x00000005
7@5.000002:idt_ntb_message port 0 OUTMSG1 to port 2 INMSG2: 0x0000cafe
'''
RECEIVER = '''
8@5.000002:idt_ntb_msi port 2: NTINTSTS 0x02, rose 0x02
8@5.000002:idt_ntb_read port 2: 0x05404 is 0x00000003
'''
# As from QEMU 10.2 on
RECEIVER_ISO = '''
1970-01-01T00:00:05.000002Z idt_ntb_msi port 2: NTINTSTS 0x02, rose 0x02
1970-01-01T00:00:05.000002Z idt_ntb_read port 2: 0x05404 is 0x00000003
'''
EXPECTED = '''\
     1    0.000000  0         write OUTDBELLSET = 0x00000005
     2    0.000001  0 to 2    doorbell 0 2
     3    0.000001  0 to 2    OUTMSG1 to INMSG2: 0x0000cafe
     4    0.000001  2         MSI: DBELL
     5    0.000001  2         read NTINTSTS = 0x00000003  # DBELL | MSG
'''


def run(*args):
    return subprocess.run([sys.executable, TRACE_TOOL, *map(str, args)],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=120, check=False)


def call(*args):
    """The same in this process, with what it has read of the device."""
    out, error = io.StringIO(), io.StringIO()
    status = 0
    with mock.patch.object(sys, 'argv', [TRACE_TOOL, *map(str, args)]), \
            mock.patch.object(tool, 'Device', lambda source: device
                              if source == TOP else DEVICE(source)), \
            contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            tool.main()
        except SystemExit as end:
            print(end.code, file=error)
            status = 1
    return subprocess.CompletedProcess(args, status, out.getvalue(),
                                       error.getvalue())


class Logs(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix='ntb-')
        self.addCleanup(directory.cleanup)
        self.path = pathlib.Path(directory.name)

    def show(self, *logs, options=()):
        paths = []
        for n, text in enumerate(logs):
            paths.append(self.path / f'{n}.log')
            paths[-1].write_text(text.lstrip(), encoding='utf-8')
        return call(*paths, *options)

    def text(self, *logs, options=()):
        done = self.show(*logs, options=options)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        return done.stdout

    def test_cause_before_effect(self):
        """In whatever order the logs are named."""
        self.assertEqual(self.text(SENDER, RECEIVER), EXPECTED)
        self.assertEqual(self.text(RECEIVER, SENDER), EXPECTED)

    def test_both_times(self):
        self.assertEqual(self.text(RECEIVER_ISO, SENDER), EXPECTED)
        whole = RECEIVER_ISO.replace('05.000002Z', '06Z')
        self.assertIn('     4    0.999999  2         MSI: DBELL\n',
                      self.text(whole, SENDER))

    def test_qemu_keeps_its_order(self):
        """Two that send to each other at the same time."""
        other = re.sub('port ([02])', lambda port: f'port {2 - int(port[1])}',
                       SENDER).replace('0x01', '0x05').replace(
                           '5.000001', '5.000002')
        lines = self.text(SENDER, other).splitlines()
        for port in '0', '2':
            own = [line for line in lines if line[20:].startswith(port + ' ')]
            self.assertEqual([line.split()[-2] for line in own],
                             ['=', '0', 'INMSG2:'], lines)

    def test_registers(self):
        """Another port's, of the header, in part, and those that lead there.
        """
        log = '''
7@5.000000:idt_ntb_write port 0: 0x01ff8 = 0x0000542c, lanes 0xffffffff
7@5.000000:idt_ntb_read port 0: 0x0542c is 0x0000ffff
7@5.000000:idt_ntb_read port 0: 0x01ffc is 0x0000ffff
7@5.000000:idt_ntb_write port 0: 0x01004 = 0x00000507, lanes 0x0000ffff
7@5.000000:idt_ntb_write port 0: 0x3e104 = 0x00000000, lanes 0xffffffff
'''
        shown = ['read NT2.INDBELLMSK = 0x0000ffff',
                 'write PCICMD/PCISTS = 0x00000507, only 0x0000ffff',
                 'write SWPART0STS = 0x00000000']
        for options, hidden in ((), []), (('--all',), [
                'write GASAADDR = 0x0000542c  # REG(0x150b)',
                'read GASADATA = 0x0000ffff']):
            lines = self.text(log, options=options).splitlines()
            self.assertEqual(sorted(line[30:] for line in lines),
                             sorted(shown + hidden))

    def test_other_lines(self):
        """Guest errors belong to the time of the event before."""
        log = RECEIVER + 'idt-ntb: port 2: write to read-only register X\n' \
            '8@5.000003:pci_cfg_read x\n[a line] of -d in_asm\n' \
            '8@5.000004:idt_ntb_reap port 0: its process is dead\n'
        self.assertEqual(self.text(log).splitlines()[2:], [
            '     3    0.000000  2         write to read-only register X',
            '     4    0.000002  0         reap: its process is dead'])

    def test_choice(self):
        lines = EXPECTED.splitlines(keepends=True)
        for options, chosen in ((('--lines', '2-3'), lines[1:3]),
                                (('--lines', '5'), lines[4:]),
                                (('--from', '0.000001'), lines[1:]),
                                (('--to', '0.0000005'), lines[:1])):
            self.assertEqual(self.text(SENDER, RECEIVER, options=options),
                             ''.join(chosen))

    def test_refused(self):
        for log, options, why in (
                ('', (), 'has no events'),
                (SENDER.replace('7@5.000002:', ''), (), 'has no times'),
                (SENDER.replace('to port', 'for port'), (),
                 'idt_ntb_doorbell is no event of this version'),
                (SENDER, ('--lines', '9'), 'no event is among'),
                (SENDER, ('--source', '/'), 'names a tree with the sources')):
            done = self.show(log, options=options)
            self.assertEqual((done.returncode, done.stdout), (1, ''), why)
            self.assertIn(why, done.stderr)
            self.assertEqual(done.stderr.count('\n'), 1)
        self.assertIn('No such file', run('/nothing').stderr)
        self.assertEqual(run('/nothing', '--lines', '5-').returncode, 2)

    def test_clock_set_back(self):
        done = self.show(SENDER + SENDER)
        self.assertIn('the clock was set back', done.stderr)
        self.assertEqual(done.returncode, 0)

    def test_svg(self):
        root = ElementTree.fromstring(self.text(SENDER, RECEIVER,
                                                options=['--svg']))
        texts = [element.text for element in root.iter(f'{SVG}text')]
        at = [texts.index(text) for text in (
            'Guest 0', 'Port 0', 'Port 2', 'Guest 2',
            'write OUTDBELLSET = 0x00000005', 'doorbell 0 2', 'MSI: DBELL')]
        self.assertEqual(at, sorted(at))
        # An arrow for each event, between the columns that it concerns
        x = {texts[n]: float(element.get('x')) for n, element in enumerate(
            root.iter(f'{SVG}text'))}
        arrows = [line for line in root.iter(f'{SVG}line')
                  if line.get('class') != 'life']
        self.assertEqual(len(arrows), 5)
        self.assertEqual(float(arrows[1].get('x1')), x['Port 0'])
        self.assertEqual(float(arrows[3].get('x1')), x['Port 2'])

    def test_all_events(self):
        """Each event of the device is understood, and has words."""
        words = tool.Words(device)
        for name, (_, kinds, pattern) in formats.events.items():
            text = pattern.pattern.replace('\\', '')
            for kind in kinds:
                text = text.replace(formats.CONVERSIONS[kind].replace(
                    '\\', ''), 'what' if kind == 's' else '1', 1)
            args = formats.arguments(name, text)
            self.assertIsNotNone(args, text)
            self.assertTrue(words.describe(tool.Event(0, name, args, text))[2])
        for name, (start, end, _) in tool.SHOWN.items():
            self.assertLessEqual({start, end} - {'guest'},
                                 set(formats.events[name][0]))


@pytest.mark.xdist_group('dump')
class Live(unittest.TestCase):
    def test_two_qemus(self):
        """What two QEMUs have done, in an order that the registers allow."""
        pair = Pair()
        self.addCleanup(pair.close)
        pair.fill()
        a, b = pair.ports
        for n in range(20):
            a.write('OUTDBELLSET', 1 << 2)
            self.assertEqual(
                b.read_global(device.registers.named['NT2.INDBELLSTS'].addr)
                >> 2 & 1, 1)
            b.write('INDBELLSTS', 1 << 2)
        done = run(a.log, b.log)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        lines = done.stdout.splitlines()
        for text in (r'0         attached in partition 0',
                     r'2         link up',
                     r'0         write GIDBELLMSK0 = 0x00000002',
                     r'0 to 2    doorbell 2',
                     r'0 to 2    OUTMSG1 to INMSG2: 0x0000cafe',
                     r'0         OUTMSG1 failed: 0x0000beef',
                     r'0 to 2    map BAR1\+0x0 at 0x400000, size 0x100000',
                     r'2 to 0    write by request at 0x200004, size 4',
                     r'2         event GSIGNAL 1'):
            self.assertTrue(any(re.fullmatch(r' *\d+ +\S+  ' + text, line)
                                for line in lines), text)
        # Sent, seen, cleared, again and again
        last = [line[20:] for line in lines if re.search(
            '0 to 2    doorbell|INDBELLSTS', line)][-60:]
        self.assertEqual(last, [
            '0 to 2    doorbell 2', '2         read INDBELLSTS = 0x00000004',
            '2         write INDBELLSTS = 0x00000004'] * 20)
