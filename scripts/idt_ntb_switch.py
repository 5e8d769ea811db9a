# SPDX-License-Identifier: GPL-2.0-or-later
"""The state of an IDT NTB switch, from its shared memory.

The layout of the memory is read from the header of the device.
"""

import ctypes
import fcntl
import glob
import importlib.util
import os
import pathlib
import re
import stat
import struct
import sys

EEPROM_TOOL = pathlib.Path(__file__).resolve().with_name('idt-ntb-eeprom.py')
REGISTERS = 'hw/misc/idt_ntb_regs.h'
LAYOUT = 'hw/misc/idt_ntb/shm.h'
CHIPS = ('include/hw/misc/idt_ntb.h', 'hw/misc/idt_ntb/chips.c')

SHM_DIR = '/dev/shm'
SO_ACCEPTCON = 0x10000          # in /proc/net/unix: a socket that listens


PCI_COMMAND = 0x04
PCI_COMMAND_MEMORY, PCI_COMMAND_MASTER = 2, 4
PCI_BASE_ADDRESS_0 = 0x10
BARLIMIT_ONES = 0x3ff           # bits that BARLIMIT does not have
BAR_MIN_BITS = 9

# By BARSETUP.ATRAN: name, segments of the BAR, segments that are windows
BAR_MODES = (('direct', 1, 1), ('lut12', 16, 12), ('lut24', 32, 24))

# Registers whose word is not their name, with its index at the end if there
# are several
NAMES = {
    'msgctl': 'SWP{1}MSGCTL{0}', 'swpartctl': 'SWPART{0}CTL',
    'swpartsts': 'SWPART{0}STS', 'swpartfctl': 'SWPART{0}FCTL',
    'swportctl': 'SWPORT{0}CTL', 'swportsts': 'SWPORT{0}STS',
    'swportfctl': 'SWPORT{0}FCTL', 'stkcfg': 'STK{0}CFG',
    'fcapctl': 'FCAP{0}CTL', 'fcapsts': 'FCAP{0}STS',
    'fcaptimer': 'FCAP{0}TIMER', 'sctl': 'S{0}CTL',
    'stxlctl0': 'S{0}TXLCTL0', 'stxlctl1': 'S{0}TXLCTL1',
    'srxeqlctl': 'S{0}RXEQLCTL', 'ntmcgpa': 'NTMCG{0}PA',
}
GPIO = ('GPIOFUNC', 'GPIOAFSEL', 'GPIOCFG', 'GPIOD', 'HPCFGCTL')

# Registers that do not read as the words of these names
UNLIKE = ('ECFGADDR', 'ECFGDATA', 'NTUEEM', 'NTCEEM', 'TMPALARM')

# A bit each of SESTS: whose status and mask they are, and what is in those
EVENTS = {
    'LINKUP': ('selinkupsts', 'selinkupmsk', 'ports'),
    'LINKDN': ('selinkdnsts', 'selinkdnmsk', 'ports'),
    'FRST': ('sefrststs', 'sefrstmsk', 'partitions'),
    'HRST': ('sehrststs', 'sehrstmsk', 'partitions'),
    'FAILOVER': (None, 'sefovrmsk', 'capabilities'),
    'GSIGNAL': ('segsigsts', 'segsigmsk', 'partitions'),
}


class DumpError(Exception):
    """The reason why the tool can't show a switch."""


def load_eeprom_tool():
    """Import the tool that knows the registers."""
    spec = importlib.util.spec_from_file_location('idt_ntb_eeprom',
                                                  EEPROM_TOOL)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module     # data classes look there
    write_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    spec.loader.exec_module(module)
    sys.dont_write_bytecode = write_bytecode
    return module


eeprom = load_eeprom_tool()


def bits(value):
    """The numbers of the bits that are set."""
    return [n for n in range(value.bit_length()) if value >> n & 1]


# The layout of the memory

class Layout:
    """The structures of the device's header as ctypes, and its constants."""

    TYPES = {'uint8_t': ctypes.c_uint8, 'uint32_t': ctypes.c_uint32,
             'uint64_t': ctypes.c_uint64}
    STRUCT = re.compile(r'typedef struct (\w+) \{\n(.*?)\n\} \1;', re.S)
    ENUM = re.compile(r'typedef enum (\w+) \{\n(.*?)\n\} \1;', re.S)
    MEMBER = re.compile(r'(?:union \{(?P<union>.*?)\}|(?P<type>\w+))\s*'
                        r'(?P<name>\w*)(?P<dims>(?:\[[^]]+\])*);', re.S)

    def __init__(self, header, registers):
        text = re.sub(r'/\*.*?\*/', '', header.read_text(encoding='utf-8'),
                      flags=re.S)
        self.macros = dict(registers.macros)
        for name, value in re.findall(r'^#define (\w+)\s+(.*)', text, re.M):
            try:
                self.macros[name] = self.number(value)
            except DumpError:
                pass
        self.enums = {
            name: [word.strip() for word in body.split(',') if word.strip()]
            for name, body in self.ENUM.findall(text)}
        for names in self.enums.values():
            self.macros.update((name, n) for n, name in enumerate(names))
        self.fields = {
            (name, field): eeprom.Field(field, int(shift), int(length), {})
            for name, field, shift, length in re.findall(
                r'^FIELD\((\w+),\s*(\w+),\s*(\d+),\s*(\d+)\)', text, re.M)}
        self.types = dict(self.TYPES)
        for name, body in self.STRUCT.findall(text):
            self.types[name] = self.make(ctypes.Structure, name, body)
        if 'IdtNtbShm' not in self.types:
            raise DumpError(f'{header} does not define IdtNtbShm')
        self.memory = self.types['IdtNtbShm']
        self.size = ctypes.sizeof(self.memory)

    def number(self, text):
        """The value of an expression of the header."""
        match = re.fullmatch(r'\(?\s*(\w+)(?:\s*([*/])\s*(\w+))?\s*\)?', text)
        if not match:
            raise DumpError(f'"{text}" is no number')
        value = self.term(match[1])
        if match[2] == '*':
            value *= self.term(match[3])
        elif match[2] == '/':
            value //= self.term(match[3])
        return value

    def term(self, text):
        if text in self.macros:
            return self.macros[text]
        try:
            return int(re.sub('U?L*$', '', text), 0)
        except ValueError:
            raise DumpError(f'"{text}" is no number') from None

    def make(self, kind, name, body):
        """A structure or union from the text between its braces."""
        members, anonymous = [], []
        for match in self.MEMBER.finditer(body):
            label = match['name'] or f'anonymous{len(anonymous)}'
            if not match['name']:
                anonymous.append(label)
            member = (self.make(ctypes.Union, label, match['union'])
                      if match['union'] else self.types[match['type']])
            for size in reversed(re.findall(r'\[([^]]+)\]', match['dims'])):
                member = member * self.number(size)
            members.append((label, member))
        return type(name, (kind,), {'_anonymous_': anonymous,
                                    '_fields_': members})

    def names(self, enum, prefix):
        """The values of an enum without their prefix, in words."""
        return [name.removeprefix(prefix).lower().replace('_', '-')
                for name in self.enums[enum] if name.startswith(prefix)]


class Device:
    """Layout, registers and chips, read from the sources of the device."""

    def __init__(self, top):
        try:
            self.registers = eeprom.Registers(top / REGISTERS)
            self.layout = Layout(top / LAYOUT, self.registers)
            ids, table = ((top / path).read_text(encoding='utf-8')
                          for path in CHIPS)
        except OSError as error:
            raise DumpError(f'{error.filename}: {error.strerror}; --source '
                            'names a tree with the sources of the device'
                            ) from None
        except eeprom.HeaderError as error:
            raise DumpError(f'{top / REGISTERS} {error}') from None
        ids = dict(re.findall(r'#define (\w+)\s+(0x[0-9a-f]+)', ids))
        self.chips = {
            int(ids[macro], 16): (name, [int(n) for n in ports.split(',')])
            for name, macro, ports in re.findall(
                r'\{\s*"(\w+)",\s*(\w+),[^{}]*\{([\d,\s]+)\}', table)}

    def field(self, register, field, value):
        """A field of the register of that name, or of FIELD() in the layout.
        """
        known = self.layout.fields.get((register, field))
        if not known:
            known = self.registers.named[register].fields[field]
        return known.extract(value)

    def value_name(self, register, field, value):
        values = self.registers.named[register].fields[field].values
        for name, number in values.items():
            if number == value:
                return name.lower().replace('_', '-')
        return str(value)


# Where the memory is

def listeners(path):
    """The inodes of the sockets that listen at a path."""
    wanted = {path, os.path.realpath(path)}
    found = set()
    with open('/proc/net/unix', encoding='utf-8',
              errors='surrogateescape') as file:
        for line in file:
            words = line.rstrip('\n').split(None, 7)
            if len(words) == 8 and words[7] in wanted and \
                    int(words[3], 16) & SO_ACCEPTCON:
                found.add(words[6])
    return found


def processes_at(path):
    """The processes that listen on a socket."""
    links = {f'socket:[{inode}]' for inode in listeners(path)}
    found = set()
    for fd in glob.iglob('/proc/[0-9]*/fd/*') if links else ():
        try:
            if os.readlink(fd) in links:
                found.add(int(fd.split('/')[2]))
        except OSError:
            pass            # the process or the descriptor is gone
    if not found:
        raise DumpError(f'no process that you may look at listens on {path}')
    return found


def open_regular(path):
    """Open a file for reading, unless that could wait or do something."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise DumpError(f'{path} is no regular file')
    return fd


def memories_of(pids, magic):
    """The memories of switches that processes have open: a path for each."""
    found = {}
    for pid in pids:
        os.stat(f'/proc/{pid}/fd')
        for path in glob.iglob(f'/proc/{pid}/fd/*'):
            try:
                status = os.stat(path)
                if not stat.S_ISREG(status.st_mode) or \
                        (status.st_dev, status.st_ino) in found:
                    continue
                fd = open_regular(path)
                try:
                    if os.pread(fd, 8, 0) == magic:
                        found[status.st_dev, status.st_ino] = path
                finally:
                    os.close(fd)
            except OSError:
                pass
    return list(found.values())


def memory_of(pids, name, magic):
    try:
        found = memories_of(pids, magic)
    except OSError as error:
        raise DumpError(f'{name}: {error.strerror}') from None
    if not found:
        raise DumpError(f'{name} has no memory of a switch that you may read')
    if len(found) > 1:
        raise DumpError(f'{name} has several switches: choose one of ' +
                        ' '.join(sorted(found)))
    return found[0]


def find_memory(name, layout):
    """The path of the memory of the switch that the user named."""
    magic = struct.pack('=Q', layout.macros['IDT_NTB_SHM_MAGIC'])
    path = name
    if '/' not in name and not os.path.exists(name):
        path = os.path.join(SHM_DIR, name)
    if not os.path.exists(path) and name.isdecimal():
        return memory_of([int(name)], f'process {name}', magic)
    try:
        is_socket = stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError as error:
        raise DumpError(f'{path}: {error.strerror}') from None
    if is_socket:
        return memory_of(processes_at(path), path, magic)
    return path


def is_locked(fd, offset):
    """Whether a process holds the write lock of a byte."""
    lock = struct.pack('hhqqi', fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0)
    try:
        lock = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, lock)
    except OSError:
        return None
    return struct.unpack('hhqqi', lock)[0] != fcntl.F_UNLCK


class Snapshot:
    """A copy of the memory, and which ports have an owner that lives."""

    def __init__(self, path, layout):
        try:
            fd = open_regular(path)
        except OSError as error:
            raise DumpError(f'{path}: {error.strerror}') from None
        try:
            data = os.pread(fd, layout.size, 0)
            if len(data) < layout.size:
                raise DumpError(f'{path} has less than {layout.size} bytes: '
                                'it is not the memory of a switch')
            self.shm = layout.memory.from_buffer_copy(data)
            self.check_header(path, layout)
            first = layout.memory.slot
            step = layout.macros['IDT_NTB_SHM_BLOCK']
            self.locked = [is_locked(fd, first.offset + n * step)
                           for n in range(len(self.shm.slot))]
        except OSError as error:
            raise DumpError(f'{path}: {error.strerror}') from None
        finally:
            os.close(fd)

    def check_header(self, path, layout):
        header = self.shm.header
        if header.magic != layout.macros['IDT_NTB_SHM_MAGIC']:
            raise DumpError(f'{path} is not the memory of a switch, or no '
                            'port has attached to it yet')
        version = layout.macros['IDT_NTB_SHM_VERSION']
        if (header.version, header.size) != (version, layout.size):
            raise DumpError(
                f'{path} has version {header.version} of the layout with '
                f'{header.size} bytes, this tool reads version {version} with '
                f'{layout.size}; --source names the sources of that QEMU')


# The state of the switch

class Port:
    """The words of a port, and what follows from them."""

    def __init__(self, switch, slot, number):
        self.switch = switch
        self.slot = slot
        self.number = number
        self.block = switch.shm.slot[slot].p
        self.memory = switch.shm.memory[slot].m
        field = switch.device.field
        regs = switch.shm.sw
        self.control = regs.swportctl[number]
        self.status = regs.swportsts[number]
        self.partition = field('SWPORT0STS', 'SWPART', self.status)
        self.mode = switch.device.value_name(
            'SWPORT0STS', 'MODE', field('SWPORT0STS', 'MODE', self.status))
        self.has_nt = 'nt' in self.mode.split('-')
        self.state = switch.states.get(self.block.state,
                                       str(self.block.state))
        self.is_changing = (
            bool(field('SHM_SWPORTSTS', 'PENDING', self.status)) or
            self.block.topology_req != self.block.topology_ack or
            any(field('SWPORT0CTL', name, self.control) !=
                field('SWPORT0STS', name, self.status)
                for name in ('MODE', 'SWPART', 'DEVNUM')))
        self.link = (self.state == 'up' and self.has_nt and
                     not self.is_changing and
                     switch.partition_state(self.partition) == 'active')
        self.command = self.block.cfg[PCI_COMMAND // 4]
        self.is_master = bool(self.command & PCI_COMMAND_MASTER)

    def is_admitted(self):
        field = self.switch.device.field
        if field('NT0.NTCTL', 'IDPROTDIS', self.block.ntctl):
            return True
        return any(entry['partition'] == self.partition and
                   entry['requester-id'] == 0
                   for entry in self.switch.mapping_table())

    def msgsts(self):
        """MSGSTS as it reads."""
        full = sum(bool(self.switch.device.field('SHM_INMSG', 'FULL', word))
                   << n for n, word in enumerate(self.block.inmsg))
        return full << 16 | self.block.outmsgsts & 0xf

    def ntintsts(self):
        """NTINTSTS as it reads."""
        mask = 0
        for name, field in self.switch.named('NT0.NTINTSTS').fields.items():
            if name not in ('MSG', 'DBELL'):
                mask |= field.max() << field.shift
        return (self.block.ntintsts & mask |
                bool(self.msgsts() & ~self.block.msgstsmsk) |
                bool(self.block.indbellsts & ~self.block.indbellmsk) << 1)

    def messages(self):
        field = self.switch.device.field
        return [{'register': n, 'data': field('SHM_INMSG', 'DATA', word),
                 'source-partition': field('SHM_INMSG', 'SRC', word)}
                for n, word in enumerate(self.block.inmsg)
                if field('SHM_INMSG', 'FULL', word)]

    def setup(self, n, field):
        return self.switch.device.field('NT0.BARSETUP0', field,
                                        self.block.barsetup[n])

    def is_64bit(self, n):
        return n in (2, 4) and self.setup(n, 'EN') and \
            self.setup(n, 'TYPE') == 2

    def double(self, words, n):
        """Join two words for a BAR of 64 bits, else take one."""
        return words[n] | (words[n + 1] << 32 if self.is_64bit(n) else 0)

    def windows(self):
        """The windows that are programmed, open or not."""
        found = []
        for n in range(1, len(self.block.barsetup)):
            atran, bits_ = self.setup(n, 'ATRAN'), self.setup(n, 'SIZE')
            if not self.setup(n, 'EN') or self.setup(n, 'MODE') or \
                    self.is_64bit(n - 1) or bits_ < BAR_MIN_BITS:
                continue
            if atran == 0:
                found += self.direct_window(n, 1 << bits_)
            elif atran < len(BAR_MODES) and n in (2, 4):
                found += self.lut_windows(n, 1 << bits_, *BAR_MODES[atran])
        return found

    def direct_window(self, n, size):
        block = self.block
        limit = self.double(block.barlimit, n)
        address = self.double(block.cfg[PCI_BASE_ADDRESS_0 // 4:], n) & ~0xf
        size = min(size, (limit | BARLIMIT_ONES) - address + 1)
        if not limit or size <= 0:
            return []           # as in reset, or closed
        return [self.window(n, 'direct', 0, size, self.setup(n, 'TPART'),
                            block.barutbase[n] << 32 | block.barltbase[n])]

    def lut_windows(self, n, size, mode, segments, count):
        field = self.switch.device.field
        size //= segments
        return [self.window(n, mode, i, size,
                            field('NT0.LUTUDATA', 'PART', upper),
                            high << 32 | low)
                for i, (low, high, upper) in enumerate(
                    self.block.lut[n // 4][:count])
                if field('NT0.LUTUDATA', 'VALID', upper)]

    def window(self, bar, mode, index, size, partition, address):
        target = self.switch.find_nt(partition)
        why = self.why_closed(target)
        return {
            'bar': bar, 'mode': mode, 'index': index, 'size': size,
            'partition': partition, 'port': target.number if target else None,
            'address': address, 'open': not why, 'closed-by': why,
            'mapped': bool(target and self.block.holds >> target.slot & 1),
        }

    def why_closed(self, target):
        """Return the reason why no access reaches a port, or None."""
        if not target:
            return 'no port there'
        if not self.command & PCI_COMMAND_MEMORY:
            return 'memory space off'
        if not self.link:
            return 'own link down'
        if not target.link:
            return 'link down'
        if not target.is_master:
            return 'no bus master'
        if not self.is_admitted():
            return 'mapping table'
        return None

    def ram(self):
        """The RAM that the others may map."""
        table = self.memory.ram[:min(self.memory.count, len(self.memory.ram))]
        return [{'address': ram.addr, 'size': ram.size, 'offset': ram.offset,
                 'fd': ram.fd} for ram in table]

    def requests(self):
        """The requests in the mailboxes to others."""
        waiting = {}
        for other in self.switch.ports:
            box = self.switch.shm.mailbox[self.slot][other.slot].m
            if box.head != box.tail:
                waiting[str(other.number)] = box.head - box.tail & 0xffffffff
        return waiting

    def as_dict(self):
        block = self.block
        locked = self.switch.locked[self.slot]
        return {
            'port': self.number, 'slot': self.slot,
            'partition': self.partition, 'mode': self.mode,
            'state': self.state, 'link': self.link,
            'changing': self.is_changing, 'bus-master': self.is_master,
            'generation': block.generation, 'client': block.client,
            'pid': self.memory.pid, 'locked': locked,
            'admitted': self.is_admitted(),
            'doorbells': {'pending': bits(block.indbellsts),
                          'masked': bits(block.indbellmsk)},
            'messages': {'inbound': self.messages(),
                         'failed': bits(block.outmsgsts & 0xf)},
            'interrupt': {
                'pending': self.switch.set_fields('NT0.NTINTSTS',
                                                  self.ntintsts()),
                'masked': self.switch.set_fields('NT0.NTINTSTS',
                                                 block.ntintmsk)},
            'holds': self.switch.port_numbers(block.holds),
            'windows': self.windows(), 'ram': self.ram(),
            'requests': self.requests(),
            'counters': dict(zip(self.switch.counters, block.counter)),
        }


class Switch:
    """The state that a snapshot shows, as plain dictionaries."""

    def __init__(self, device, snapshot):
        self.device = device
        self.shm = snapshot.shm
        self.locked = snapshot.locked
        self.states = dict(enumerate(device.layout.names(
            'IdtNtbPortState', 'IDT_NTB_PORT_')))
        self.counters = device.layout.names('IdtNtbCounter',
                                            'IDT_NTB_COUNT_')
        if self.shm.header.device_id not in device.chips:
            raise DumpError('the memory is of an unknown chip with device ID '
                            f'0x{self.shm.header.device_id:04x}')
        self.chip, numbers = device.chips[self.shm.header.device_id]
        self.ports = [Port(self, slot, number)
                      for slot, number in enumerate(numbers)]

    def named(self, name):
        return self.device.registers.named[name]

    def set_fields(self, name, value):
        """The names of the fields of a register that are not 0."""
        return [field.name for field in self.named(name).fields.values()
                if field.extract(value)]

    def port_numbers(self, slots):
        return [port.number for port in self.ports if slots >> port.slot & 1]

    def partition_state(self, partition):
        return self.device.value_name(
            'SWPART0CTL', 'STATE', self.device.field(
                'SWPART0CTL', 'STATE', self.shm.sw.swpartctl[partition]))

    def find_nt(self, partition):
        """The port whose NT function is in a partition, as the device finds
        it."""
        ports = [port for port in self.ports
                 if port.has_nt and port.partition == partition]
        return min(ports, key=lambda port: port.is_changing, default=None)

    def mapping_table(self):
        field = self.device.field
        return [{
            'entry': n,
            'partition': field('NT0.NTMTBLDATA', 'PART', value),
            'requester-id': field('NT0.NTMTBLDATA', 'REQID', value),
        } for n, value in enumerate(self.shm.sw.mtbl)
            if field('NT0.NTMTBLDATA', 'VALID', value)]

    def partitions(self):
        return [{
            'partition': n, 'state': self.partition_state(n),
            'changing': bool(self.shm.sw.swpart_pending >> n & 1),
            'ports': [port.number for port in self.ports
                      if port.partition == n and port.mode != 'disabled'],
        } for n in range(len(self.shm.sw.swpartctl))]

    def sests(self):
        """SESTS as it reads."""
        return sum(bool(self.event_status(sts) & ~getattr(self.shm.sw, msk))
                   << self.named('SESTS').fields[name].shift
                   for name, (sts, msk, _) in EVENTS.items())

    def event_status(self, word):
        if word:
            return getattr(self.shm.sw, word)
        return sum(bool(value) << n
                   for n, value in enumerate(self.shm.sw.fcapsts))

    def events(self):
        regs = self.shm.sw
        return {name: {
            'of': of, 'pending': bits(self.event_status(sts)),
            'masked': bits(getattr(regs, msk)),
            'globally-masked': bool(self.device.field('SESTS', name,
                                                      regs.semsk)),
        } for name, (sts, msk, of) in EVENTS.items()}

    def doorbell_masks(self):
        return [{'doorbell': n, 'refused-from': bits(refused),
                 'kept-from': bits(kept)}
                for n, (refused, kept) in enumerate(zip(
                    self.shm.sw.godbellmsk, self.shm.sw.gidbellmsk))
                if refused or kept]

    def message_routes(self):
        field = self.device.field
        return [{'partition': part, 'message': n,
                 'to-partition': field('SWP0MSGCTL0', 'PART', value),
                 'to-register': field('SWP0MSGCTL0', 'REG', value)}
                for part in {port.partition for port in self.ports
                             if port.has_nt}
                for n, value in enumerate(row[part]
                                          for row in self.shm.sw.msgctl)]

    # Registers

    def words(self, struct_):
        """The words of a structure: member, index, value."""
        # pylint: disable=protected-access
        for name, _ in struct_._fields_:
            value = getattr(struct_, name)
            if isinstance(value, int):
                yield name, (), value
            elif isinstance(value[0], int):
                for n, word in enumerate(value):
                    yield name, (n,), word
            elif name == 'msgctl':
                for n, row in enumerate(value):
                    for m, word in enumerate(row):
                        yield name, (n, m), word

    def register_names(self, struct_, prefix):
        """The registers whose words are in a structure, and their values."""
        for member, index, value in self.words(struct_):
            name = NAMES.get(member, member.upper() + '{0}' * len(index))
            name = prefix + name.format(*index)
            if member == 'gpio':
                name = GPIO[index[0]]
            if name in self.device.registers.named and name not in UNLIKE:
                yield name, value

    def registers(self):
        """All registers that the memory has, as they read."""
        values = dict(self.register_names(self.shm.sw, ''))
        values.update(self.derived())
        for port in filter(lambda port: port.has_nt, self.ports):
            nt = f'NT{port.number}.'
            values.update(self.register_names(port.block, nt))
            values.update({f'{nt}NTINTSTS': port.ntintsts(),
                           f'{nt}MSGSTS': port.msgsts()})
            for n, word in enumerate(port.block.inmsg):
                field = self.device.field
                values[f'{nt}INMSG{n}'] = field('SHM_INMSG', 'DATA', word)
                values[f'{nt}INMSGSRC{n}'] = field('SHM_INMSG', 'SRC', word)
            base = self.device.registers.function('NT', port.number)
            for n, word in enumerate(port.block.cfg):
                register = self.device.registers.at.get(base + 4 * n)
                if register and register.name.startswith(nt):
                    values.setdefault(register.name, word)
            for n in (3, 5):
                if port.is_64bit(n - 1):
                    values[f'{nt}BARSETUP{n}'] = 0
            for name in UNLIKE:
                values.pop(nt + name, None)
        registers = [(self.named(name), value)
                     for name, value in values.items()]
        return {register.name: {
            'value': value,
            'fields': {field.name: field.extract(value)
                       for field in register.fields.values()},
        } for register, value in sorted(registers,
                                        key=lambda pair: pair[0].addr)}

    def derived(self):
        """Registers of the switch that do not read as their words."""
        values = {'SESTS': self.sests(), 'GDBELLSTS': 0}
        links = {port.number for port in self.ports if port.link}
        field = self.device.field
        for port in self.ports:
            values['GDBELLSTS'] |= port.block.indbellsts
        for n, value in enumerate(self.shm.sw.swportsts):
            value = self.known_bits('SWPORT0STS', value) & ~0x30
            downstream = self.device.value_name(
                'SWPORT0STS', 'MODE',
                field('SWPORT0STS', 'MODE', value)) == 'downstream'
            values[f'SWPORT{n}STS'] = (value | (n in links) << 4 |
                                       downstream << 5)
        for n, value in enumerate(self.shm.sw.swpartsts):
            values[f'SWPART{n}STS'] = self.partition_status(n, value)
        values['EEPROMINTF'] = self.known_bits('EEPROMINTF',
                                               self.shm.sw.eepromintf)
        return values

    def known_bits(self, name, value):
        """A value without the bits that are in no field."""
        return sum(field.extract(value) << field.shift
                   for field in self.named(name).fields.values())

    def partition_status(self, n, value):
        """SWPARTxSTS as it reads."""
        field = self.device.field
        value = value & 0xf | field('SWPART0CTL', 'STATE',
                                    self.shm.sw.swpartctl[n]) << 5
        for number, status in enumerate(self.shm.sw.swportsts):
            if field('SWPORT0STS', 'SWPART', status) != n:
                continue
            words = self.device.value_name(
                'SWPORT0STS', 'MODE',
                field('SWPORT0STS', 'MODE', status)).split('-')
            if 'up' in words or 'upstream' in words:
                value = value & ~0x3e00 | 1 << 8 | number << 9
            value |= ('nt' in words) << 14 | ('dma' in words) << 15
        return value

    def as_dict(self):
        header = self.shm.header
        regs = self.shm.sw
        return {
            'switch': {
                'chip': self.chip, 'device-id': header.device_id,
                'version': header.version, 'size': header.size,
                'from-file': bool(header.from_file),
                'partitions': header.partitions,
                'nt-slots': bits(header.nt_slots & 0xff),
                'image-size': header.image_size,
                'image-sha256': bytes(header.image_digest).hex(),
                'temperature': (regs.tmp_sample & 0xff) / 2,
            },
            'ports': [port.as_dict() for port in self.ports],
            'partitions': self.partitions(),
            'mapping-table': self.mapping_table(),
            'message-routes': self.message_routes(),
            'doorbell-masks': self.doorbell_masks(),
            'events': self.events(),
            'partitions-without-events': bits(regs.sepmsk & 0xff),
            'registers': self.registers(),
        }
