# SPDX-License-Identifier: GPL-2.0-or-later
"""Two QEMUs without guests, each a port of one switch in a known state."""

import importlib.util
import os
import pathlib
import sys
import tempfile
from importlib.machinery import SourceFileLoader

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.append(str(TOP / 'tests/guest'))
sys.path.append(str(TOP / 'scripts'))

# pylint: disable=wrong-import-position
import settings
import idt_ntb_switch
from guest import wait_until
from qemu.machine import QEMUQtestMachine
from switch import Switch

TOOL = TOP / 'scripts/idt-ntb-dump'
TRACE_TOOL = TOP / 'scripts/idt-ntb-trace'

SLOT = 4
BARS = {0: 0xe0000000, 1: 0xe1000000, 2: 0xe4000000, 4: 0xe8000000}
MIB = 1 << 20


def load_tool(path=TOOL):
    loader = SourceFileLoader(path.name.replace('-', '_'), str(path))
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader(loader.name, loader))
    sys.modules[loader.name] = module   # data classes look there
    loader.exec_module(module)
    return module


device = idt_ntb_switch.Device(TOP)


class QemuPort:
    """A QEMU whose device the test accesses by qtest."""

    def __init__(self, folder, name, switch):
        self.qmp_path = os.path.join(folder, f'{name}.qmp')
        self.log = os.path.join(folder, f'{name}.log')
        self.qemu = QEMUQtestMachine(
            settings.QEMU, base_temp_dir=folder, name=name, args=[
                *settings.FIRMWARE, '-M', 'q35,memory-backend=mem', '-m', '16',
                '-object', 'memory-backend-memfd,id=mem,size=16M,share=on',
                '-qmp', f'unix:{self.qmp_path},server=on,wait=off',
                '-msg', 'timestamp=on', '-trace', 'idt_ntb*', '-D', self.log,
                *switch.port(slot=SLOT)])
        self.qemu.launch()
        for bar, address in BARS.items():
            self.config_write(0x10 + 4 * bar, address)
        self.config_write(4, 6)         # memory space, bus master

    def command(self, words):
        answer = self.qemu.qtest(words)
        assert answer.startswith('OK'), answer
        return answer.split()

    def counters(self):
        return self.qemu.cmd('qom-get', path='/machine/peripheral/ntb',
                             property='counters')

    def config_write(self, offset, value):
        self.command(f'outl 0xcf8 {1 << 31 | SLOT << 11 | offset:#x}')
        self.command(f'outl 0xcfc {value:#x}')

    def window_write(self, bar, offset, value):
        self.command(f'writel {BARS[bar] + offset:#x} {value:#x}')

    def write(self, name, value):
        """Write a register of the own NT function, or of the switch."""
        if f'NT0.{name}' in device.registers.named:
            address = device.registers.named[f'NT0.{name}'].addr - \
                device.registers.function('NT', 0)
            self.command(f'writel {BARS[0] + address:#x} {value:#x}')
        else:
            self.write('GASAADDR', device.registers.named[name].addr)
            self.write('GASADATA', value)

    def read_global(self, address):
        self.write('GASAADDR', address)
        offset = device.registers.named['NT0.GASADATA'].addr - \
            device.registers.function('NT', 0)
        return int(self.command(f'readl {BARS[0] + offset:#x}')[1], 16)


class Pair:
    """A server and two ports."""

    def __init__(self):
        # pylint: disable=consider-using-with
        self.directory = tempfile.TemporaryDirectory(prefix='ntb-')
        self.switch = Switch(self.directory.name)
        self.ports = []
        try:
            self.switch.start()
            for name in ('a', 'b'):
                self.ports.append(QemuPort(self.directory.name, name,
                                           self.switch))
        except BaseException:
            self.close()
            raise

    def pids(self):
        return [port.qemu.get_pid() for port in self.ports]

    def fill(self):
        """Bring the switch into the state that expected.txt shows."""
        a, b = self.ports
        a.write('NTCTL', 2)
        for partition, port in enumerate((a, b)):
            port.write('NTMTBLADDR', partition)
            port.write('NTMTBLDATA', 1 | partition << 17)
        # Windows: a direct one, and entries of the lookup table
        setup = a.read_global(device.registers.named['NT0.BARSETUP1'].addr)
        a.write('BARSETUP1', setup | 1 << 13)
        a.write('BARLTBASE1', 4 * MIB)
        a.write('BARLIMIT1', 0xffffffff)
        for entry, address in ((3, 8 * MIB), (4, 9 * MIB)):
            a.write('LUTOFFSET', 2 << 8 | entry)
            a.write('LUTLDATA', address)
            a.write('LUTUDATA', 1 << 31 | 1)
        b.write('LUTOFFSET', 2 << 8)
        b.write('LUTLDATA', 1 * MIB)
        b.write('LUTUDATA', 1 << 31)
        b.write('LUTOFFSET', 2 << 8 | 23)
        b.write('LUTUDATA', 1 << 31 | 5)
        a.window_write(1, 0, 0x12345678)        # makes a mapping
        # By request: the page has another offset than the window
        b.write('LUTOFFSET', 2 << 8 | 1)
        b.write('LUTLDATA', 2 * MIB + 4)
        b.write('LUTUDATA', 1 << 31)
        b.window_write(2, 1 * MIB, 1)
        b.window_write(2, 1 * MIB + 4, 2)
        # Doorbells 0 and 2, of which 0 does not reach partition 1
        a.write('GIDBELLMSK0', 1 << 1)
        b.write('INDBELLMSK', ~(1 << 2) & 0xffffffff)
        b.write('NTINTMSK', 0xf8)
        a.write('OUTDBELLSET', 1 << 0 | 1 << 2)
        # Two messages, of which the second one finds the register full
        a.write('SWP0MSGCTL1', 1 << 4 | 2)
        a.write('OUTMSG1', 0xcafe)
        a.write('OUTMSG1', 0xbeef)
        b.write('NTGSIGNAL', 1)
        wait_until(lambda: a.counters()['requests-served'] == 2 and
                   b.counters()['interrupts'] == 1, 'QEMUs are done')

    def close(self):
        try:
            for port in self.ports:
                if port.qemu.is_running():
                    port.qemu.kill()
        finally:
            self.switch.stop()
            self.directory.cleanup()
