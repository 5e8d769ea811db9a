# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/idt-ntb-dump: what it shows of a switch, and of garbage."""

import ctypes
import json
import os
import pathlib
import pty
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from xml.etree import ElementTree

import pytest

sys.path.append(str(pathlib.Path(__file__).resolve().parent))

# pylint: disable=wrong-import-position
from ports import TOOL, TOP, Pair, device, idt_ntb_switch, load_tool

EXPECTED = pathlib.Path(__file__).resolve().with_name('expected.txt')
DEADLINE = 120
SVG = '{http://www.w3.org/2000/svg}'

tool = load_tool()


def run(*args):
    return subprocess.run([sys.executable, TOOL, *map(str, args)],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=DEADLINE, check=False)


@pytest.mark.xdist_group('dump')
class Dump(unittest.TestCase):
    """Two QEMUs, which no test changes."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.pair = Pair()
        cls.addClassCleanup(cls.pair.close)
        cls.pair.fill()
        cls.name = cls.pair.switch.memory

    def show(self, *args):
        done = run(*args)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        return done.stdout

    def normal(self, text):
        """The text without numbers that differ from run to run."""
        for name, pid in zip('ab', self.pair.pids()):
            text = text.replace(f'PID {pid}', f'PID {name}')
        return re.sub(r'(?m)^(  \d +0x\S+ +\d+ [KM]iB +0x\S+ +)\d+$', r'\1fd',
                      text)

    def test_text(self):
        self.assertEqual(self.normal(self.show(self.name)),
                         EXPECTED.read_text(encoding='utf-8'))

    def test_ways_to_name_it(self):
        """By name, path, process, and the sockets that these listen on."""
        text = self.show(self.name)
        for name in (f'/dev/shm/{self.name}', *self.pair.pids(),
                     self.pair.ports[1].qmp_path, self.pair.switch.socket):
            with self.subTest(name):
                self.assertEqual(self.show(name), text)

    def test_registers(self):
        """Each register reads as the tool says, and its text builds it."""
        state = json.loads(self.show('--json', self.name))
        self.assertGreater(len(state['registers']), 400)
        for name, register in state['registers'].items():
            with self.subTest(name):
                self.assertEqual(
                    hex(self.pair.ports[0].read_global(
                        device.registers.named[name].addr)),
                    hex(register['value']))
        lines = self.show('--registers', self.name).splitlines()
        self.assertIn('  NT0.NTCTL      = 0x00000002  # CPEN', lines)
        self.assertIn('  SWPART1CTL     = 0x00000001  # STATE(ACTIVE)', lines)

    def test_all_registers(self):
        """All registers of the header are shown, except those without a word
        in memory: triggers, constants, and what other registers select."""
        state = json.loads(self.show('--json', self.name))
        left_out = {
            name for name, register in device.registers.named.items()
            if re.match(r'NT0\.|[^.]*$', name) and
            register.name not in state['registers']}
        self.assertEqual({name.removeprefix('NT0.') for name in left_out}, {
            'BCVSTS', 'ECFGADDR', 'ECFGDATA', 'GASAADDR', 'GASADATA',
            'GPESTS', 'LUTLDATA', 'LUTMDATA', 'LUTUDATA', 'NTCEEM',
            'NTGSIGNAL', 'NTMTBLDATA', 'NTUEEM', 'OUTDBELLSET', 'PTCSTS',
            'REQIDCAP', 'TMPALARM', 'TMPSTS'})

    def test_counters(self):
        """The same by QMP."""
        state = json.loads(self.show('--json', self.name))
        for port, seen in zip(self.pair.ports, state['ports']):
            self.assertEqual(port.counters(), seen['counters'])
        self.assertEqual(state['ports'][0]['counters'], {
            'doorbells-sent': 2, 'doorbells-masked': 1, 'messages-sent': 2,
            'messages-refused': 1, 'requests-sent': 0, 'requests-served': 2,
            'request-bytes': 0, 'interrupts': 0, 'doorbells-lost': 0,
            'messages-lost': 0, 'completions-lost': 0, 'signals-late': 0})
        self.assertEqual(state['ports'][1]['counters']['request-bytes'], 8)

    def test_svg(self):
        root = ElementTree.fromstring(self.show('--svg', self.name))
        texts = [element.text for element in root.iter(f'{SVG}text')]
        for text in ('Partition 0', 'Partition 1', 'Port 0', 'Port 2',
                     'BAR1: 1 MiB at 0x400000'):
            self.assertIn(text, texts)
        # One arrow for windows that are side by side
        self.assertEqual(len(root.findall(f'{SVG}polygon')), 3)

    def test_watch(self):
        """Shows the text again and again until Ctrl-C."""
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        with subprocess.Popen(
                [sys.executable, TOOL, '--watch', '0.1', self.name],
                stdin=slave, stdout=slave, stderr=slave,
                preexec_fn=take_terminal) as process:
            os.close(slave)
            try:
                seen = read_until(master, b'Ctrl-C ends', 3)
                os.write(master, b'\3')
                seen += read_until(master, b'\033[?1049l', 1)
                self.assertEqual(process.wait(DEADLINE), 0)
            finally:
                process.kill()
        self.assertIn(b'89HPES24NT6AG2', seen)


def take_terminal():
    """Make standard input the terminal, whose Ctrl-C ends us."""
    os.setsid()
    os.close(os.open(os.ttyname(0), os.O_RDWR))
    # A shell starts jobs in the background with this signal ignored
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def read_until(fd, what, times):
    """Read a terminal until WHAT has come that many times."""
    seen = b''
    end = time.monotonic() + DEADLINE
    while seen.count(what) < times:
        if not select.select([fd], [], [], end - time.monotonic())[0]:
            raise AssertionError(f'no {what} in {seen}')
        seen += os.read(fd, 4096)
    return seen


class Left(unittest.TestCase):
    def test_dead(self):
        """The memory that a server and its QEMUs left when they were killed.
        """
        pair = Pair()
        self.addCleanup(pair.close)
        pair.fill()
        pair.switch.kill()
        done = run(pair.switch.memory)
        self.assertEqual(done.stderr, '')
        for port in pair.ports:
            port.qemu.kill()
        done = run('--json', pair.switch.memory)
        self.assertEqual(done.stderr, '')
        last = json.loads(done.stdout)['ports'][1]
        self.assertEqual((last['state'], last['locked']), ('up', False))
        self.assertRegex(run(pair.switch.memory).stdout, r'(?m)^  2 .* dead$')


class Garbage(unittest.TestCase):
    """Memory that others have written to, and files that are none."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix='ntb-')
        self.addCleanup(directory.cleanup)
        self.path = pathlib.Path(directory.name) / 'memory'

    def look(self, data):
        """Everything that the tool makes of these bytes."""
        self.path.write_bytes(data)
        state = tool.Switch(device, tool.Snapshot(
            str(self.path), device.layout)).as_dict()
        tool.text(state, state)
        tool.registers_text(device, state)
        ElementTree.fromstring(tool.Picture(state).svg())
        json.dumps(state)

    def header(self):
        """A header that is right, of one of the chips."""
        memory = device.layout.memory()
        memory.header.magic = device.layout.macros['IDT_NTB_SHM_MAGIC']
        memory.header.version = device.layout.macros['IDT_NTB_SHM_VERSION']
        memory.header.size = device.layout.size
        return memory

    def test_random(self):
        rand = random.Random(18)
        for seed in range(24):
            memory = self.header()
            memory.header.device_id = rand.choice(sorted(device.chips))
            # Half, a quarter, an eighth of the bits are set
            garbage = rand.randbytes(device.layout.size)
            for _ in range(seed % 3):
                mask = rand.randbytes(device.layout.size)
                garbage = (int.from_bytes(garbage, 'big') &
                           int.from_bytes(mask, 'big')).to_bytes(
                               device.layout.size, 'big')
            with self.subTest(seed):
                self.look(bytes(memory)[:64] + garbage[64:])

    def test_ones(self):
        memory = self.header()
        memory.header.device_id = 0x808f
        self.look(bytes(memory)[:64].ljust(device.layout.size, b'\xff'))

    def test_refused(self):
        good = bytes(self.header())
        for data, why in (
                (b'', 'has less than'),
                (good[:-1], 'has less than'),
                (bytes(len(good)), 'is not the memory of a switch'),
                (good[:8] + b'\x63' + good[9:], 'has version 99 of the layout'),
                (good, 'unknown chip')):
            self.path.write_bytes(data)
            done = run(self.path)
            self.assertEqual(done.returncode, 1)
            self.assertIn(why, done.stderr)
            self.assertEqual(done.stderr.count('\n'), 1)
        for name in ('no-such-switch', self.path.parent, '/dev/null',
                     os.getpid()):
            done = run(name)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, '^idt-ntb-dump: error: .*\n$')


class LayoutTest(unittest.TestCase):
    """The layout is that of the C compiler."""

    PRELUDE = '''
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#define QEMU_BUILD_BUG_ON(x) _Static_assert(!(x), #x)
#include "hw/misc/idt_ntb/shm.h"
#define SHOW(type, member) printf("%s.%s %zu %zu\\n", #type, #member, \\
    offsetof(type, member), sizeof(((type *)0)->member))
int main(void)
{
'''

    def members(self):
        """All members: type, name, offset, size."""
        for name, type_ in device.layout.types.items():
            if isinstance(type_, type(ctypes.Structure)):
                # pylint: disable=protected-access
                for member, of in type_._fields_:
                    if member not in getattr(type_, '_anonymous_', ()):
                        yield (name, member, getattr(type_, member).offset,
                               ctypes.sizeof(of))
                for member in ('header', 'sw'):
                    if hasattr(type_, member):
                        found = getattr(type_, member)
                        yield name, member, found.offset, found.size

    def test_offsets(self):
        compiler = shutil.which('cc') or self.skipTest('no C compiler')
        members = sorted(set(self.members()))
        self.assertGreater(len(members), 100)
        with tempfile.TemporaryDirectory(prefix='ntb-') as folder:
            folder = pathlib.Path(folder)
            (folder / 'hw').mkdir()
            (folder / 'hw/registerfields.h').write_text(
                '#define REG32(...)\n#define REG16(...)\n'
                '#define FIELD(...)\n', encoding='utf-8')
            (folder / 'show.c').write_text(
                self.PRELUDE + ''.join(f'SHOW({name}, {member});\n'
                                       for name, member, *_ in members) +
                '}\n', encoding='utf-8')
            subprocess.run([compiler, '-I', folder, '-I', TOP, '-o',
                            folder / 'show', folder / 'show.c'], check=True)
            lines = subprocess.run([folder / 'show'], check=True, text=True,
                                   stdout=subprocess.PIPE).stdout
        self.assertEqual(lines.splitlines(), [
            f'{name}.{member} {offset} {size}'
            for name, member, offset, size in members])

    def test_words(self):
        """Registers without a rule of their own are named like their words."""
        for word in idt_ntb_switch.NAMES:
            self.assertTrue(any(
                hasattr(device.layout.types[name], word)
                for name in ('IdtNtbShmSwitch', 'IdtNtbShmPort')), word)
