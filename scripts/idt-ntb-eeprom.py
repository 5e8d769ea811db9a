#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Make and inspect EEPROM images for the IDT NTB switch.

    idt-ntb-eeprom.py build TEXT IMAGE     make IMAGE from TEXT
    idt-ntb-eeprom.py dump IMAGE [TEXT]    convert IMAGE to such a text
    idt-ntb-eeprom.py compare ONE OTHER    show how two images or texts differ

A text has one statement a line; comments begin with "#":

    NAME = VALUE              write a register
    NAME = VALUE, VALUE, ...  write consecutive registers from NAME on; for a
                              single one, end with a comma
    wait NAME = VALUE [mask VALUE]
                              wait until NAME is VALUE, except bits in mask
    LABEL:                    name this byte of the image
    jump LABEL                go on at LABEL, or at a byte by its number
    checksum                  end the image; added at the end if missing.  With
                              a value: use that, right or wrong
    bytes XX XX ...           insert bytes, such as those that are jumped over
    pad SIZE [BYTE]           fill up to SIZE bytes, with 0xff by default

A NAME is a register of the switch (SWPART0CTL), of a port's NT function
(NT4.BARSETUP2) or bridge function (P4.PCIELCTLSTS), or the byte address of a
dword in the global address space or in a function (0x3e100, NT4.0x480).  A
VALUE is a number, a field of the register with its value, or several of these:
EN | SIZE(20).  A field without a value is all ones; "~" in front inverts the
whole value.  Registers, fields and names of values come from
hw/misc/idt_ntb_regs.h.

A valid image is the same after dump and build.
"""

import argparse
import bisect
import dataclasses
import difflib
import pathlib
import re
import struct
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent
REGISTERS = TOP / 'hw/misc/idt_ntb_regs.h'

MAX_SIZE = 0x10000
CSRS = 0x10000
ERASED = 0xff

# Blocks by their first byte: name, and format without the values that follow
WRITE, WRITE_MANY, JUMP, WAIT, CHECKSUM = 0x00, 0x20, 0x40, 0x60, 0xe0
SELECTOR = 0x1f
BLOCKS = {
    WRITE: ('write', '<BHI'),
    WRITE_MANY: ('consecutive write', '<BHH'),
    JUMP: ('jump', '<BH'),
    WAIT: ('wait', '<BHII'),
    CHECKSUM: ('checksum', '<BB'),
}

# Arrays of registers: the first one, how many there are, and the bytes between
# two.  Words are macros of the header.
ARRAYS = (
    (r'(SWPART)0(\w+)', 'IDT_MAX_PARTITIONS', 'IDT_PART_STRIDE'),
    (r'(SWPORT)0(\w+)', 'IDT_MAX_PORTS', 'IDT_SWPORT_STRIDE'),
    (r'(BARSETUP|BARLIMIT|BARLTBASE|BARUTBASE)0()', 'IDT_NUM_BARS',
     'IDT_BAR_STRIDE'),
    (r'(OUTMSG|INMSG|INMSGSRC)0()', 'IDT_NUM_MESSAGES', 4),
    (r'(NTMCG)0(PA)', 'IDT_NUM_MCAST_GROUPS', 4),
    (r'(STK)0(CFG)', 'IDT_NUM_STACKS', 4),
    (r'(FCAP)0(\w+)', 'IDT_NUM_FAILOVER_CAPS', 'IDT_FCAP_STRIDE'),
    (r'(NTMTBLPROT)0()', 'IDT_MAX_PARTITIONS', 4),
    (r'(GODBELLMSK|GIDBELLMSK)0()', 'IDT_NUM_DOORBELLS', 4),
    (r'(SWP)0(MSGCTL\d)', 'IDT_MAX_PARTITIONS', 4),
    (r'(SWP\dMSGCTL)0()', 'IDT_NUM_MESSAGES', 'IDT_MSGCTL_MSG_STRIDE'),
    (r'(S)0(CTL|TXLCTL\d|RXEQLCTL)', 'IDT_NUM_SERDES', 'IDT_SERDES_STRIDE'),
    (r'(IOEXPADDR)0()', 'IDT_NUM_IO_EXPANDERS', 4),
)

# Macros of the header that begin with this are values of the field
VALUES = {
    ('SWPART0CTL', 'STATE'): 'IDT_PART_STATE_',
    ('SWPART0STS', 'STATE'): 'IDT_PART_STATE_',
    ('SWPART0FCTL', 'PFSTATE'): 'IDT_PART_STATE_',
    ('SWPART0FCTL', 'SFSTATE'): 'IDT_PART_STATE_',
    ('SWPORT0CTL', 'MODE'): 'IDT_PORT_MODE_',
    ('SWPORT0CTL', 'OMA'): 'IDT_PORT_OMA_',
    ('SWPORT0FCTL', 'PFMODE'): 'IDT_PORT_MODE_',
    ('SWPORT0FCTL', 'SFMODE'): 'IDT_PORT_MODE_',
    ('SWPORT0STS', 'MODE'): 'IDT_PORT_MODE_',
    ('BARSETUP0', 'ATRAN'): 'IDT_BAR_ATRAN_',
}


class ImageError(Exception):
    """An image has an error at a byte."""

    def __init__(self, at, what):
        super().__init__(f'byte 0x{at:04x}: {what}')
        self.at = at


class TextError(Exception):
    """A line of a text has an error."""


class HeaderError(Exception):
    """The header of the registers cannot be used."""


# Registers

@dataclasses.dataclass
class Field:
    """A field of a register, and the names of its values."""
    name: str
    shift: int
    length: int
    values: dict

    def max(self):
        return (1 << self.length) - 1

    def extract(self, value):
        return value >> self.shift & self.max()

    def text(self, value):
        """The field of a register's value, as in a text."""
        value = self.extract(value)
        if self.length == 1:
            return self.name
        for name, number in self.values.items():
            if number == value:
                return f'{self.name}({name})'
        return f'{self.name}({number_text(value)})'


@dataclasses.dataclass
class Register:
    """A dword of the global address space."""
    name: str
    addr: int
    fields: dict

    def comment(self, value):
        """The fields that are not 0, and the bits outside of fields."""
        parts = []
        for field in self.fields.values():
            if field.extract(value):
                parts.append(field.text(value))
                value &= ~(field.max() << field.shift)
        if value and parts:
            parts.append(f'0x{value:x}')
        return ' | '.join(reversed(parts))


def number_text(value):
    return str(value) if value < 64 else f'0x{value:x}'


class Registers:
    """All registers that the header of the device names."""

    def __init__(self, header):
        self.macros = {}
        self.named = {}
        self.at = {}
        self._read(header.read_text(encoding='utf-8'))
        for name in ('IDT_GAS_SIZE', 'IDT_GAS_PORT_STRIDE', 'IDT_MAX_PORTS',
                     'IDT_GAS_NT_FUNCTION', 'IDT_GAS_SWITCH', 'IDT_NT_REGS'):
            self.constant(name)
        local = self._expand_arrays()
        for register in local:
            if register.addr >= self.constant('IDT_GAS_SWITCH'):
                self._add(register)
        for port in range(self.constant('IDT_MAX_PORTS')):
            for register in local:
                self._add_function('NT', port, register,
                                   self.constant('IDT_GAS_NT_FUNCTION'))
                self._add_function('P', port, register,
                                   self.constant('IDT_NT_REGS'))

    def _read(self, header):
        for name, value in re.findall(
                r'^#define\s+(\w+)\s+(0x[0-9a-f]+|\d+)\b', header, re.M):
            self.macros[name] = int(value, 0)
        for name, addr in re.findall(r'^REG32\((\w+),\s*(0x[0-9a-f]+)\)',
                                     header, re.M):
            self.named[name] = Register(name, int(addr, 0), {})
        for name, field, shift, length in re.findall(
                r'^\s*FIELD\((\w+),\s*(\w+),\s*(\d+),\s*(\d+)\)', header,
                re.M):
            if name in self.named:
                self.named[name].fields[field] = Field(
                    field, int(shift), int(length),
                    self._values(VALUES.get((name, field))))

    def _values(self, prefix):
        return {name[len(prefix):]: value
                for name, value in self.macros.items()
                if prefix and name.startswith(prefix)}

    def constant(self, value):
        """A number, or the macro of that name."""
        if isinstance(value, int):
            return value
        if value not in self.macros:
            raise HeaderError(f'does not define {value}')
        return self.macros[value]

    def _expand_arrays(self):
        """Expand one array after the other: some have two dimensions."""
        registers = list(self.named.values())
        self.named = {}
        for pattern, count, stride in ARRAYS:
            for register in list(registers):
                match = re.fullmatch(pattern, register.name)
                for n in range(1, self.constant(count)) if match else ():
                    registers.append(Register(
                        f'{match[1]}{n}{match[2]}',
                        register.addr + n * self.constant(stride),
                        register.fields))
        return registers

    def _add(self, register):
        self.named[register.name] = register
        self.at.setdefault(register.addr, register)

    def _add_function(self, kind, port, register, limit):
        if register.addr < limit:
            self._add(Register(f'{kind}{port}.{register.name}',
                               self.function(kind, port) + register.addr,
                               register.fields))

    def function(self, kind, port):
        """The address of a port's function."""
        return (port * self.constant('IDT_GAS_PORT_STRIDE') +
                (self.constant('IDT_GAS_NT_FUNCTION') if kind == 'NT' else 0))

    def lookup(self, addr):
        """The register at an address, which is its name if it has no other."""
        if addr in self.at:
            return self.at[addr]
        port, offset = divmod(addr, self.constant('IDT_GAS_PORT_STRIDE'))
        name = f'0x{addr:05x}'
        if port < self.constant('IDT_MAX_PORTS'):
            inside = offset % self.constant('IDT_GAS_NT_FUNCTION')
            name = f'{"P" if inside == offset else "NT"}{port}.0x{inside:03x}'
        return Register(name, addr, {})

    def find(self, name):
        """The register with this name or address."""
        if name in self.named:
            return self.named[name]
        match = re.fullmatch(r'(?:(NT|P)(\d+)\.)?(0x[0-9a-fA-F]+|\d+)', name)
        if not match:
            close = difflib.get_close_matches(name, self.named, 1)
            raise TextError(f'there is no register {name}' +
                            (f'; is it {close[0]}?' if close else ''))
        addr, limit = parse_number(match[3]), self.constant('IDT_GAS_SIZE')
        if match[1]:
            limit = self.constant('IDT_GAS_NT_FUNCTION')
        if addr % 4 or addr >= limit or \
                int(match[2] or 0) >= self.constant('IDT_MAX_PORTS'):
            raise TextError(f'{name} is no address of a register')
        if match[1]:
            addr += self.function(match[1], int(match[2]))
        return self.lookup(addr)


# Images

@dataclasses.dataclass
class Block:
    """A block of an image: where it is, and its values after the type."""
    at: int
    size: int
    type: int
    values: tuple

    def next(self):
        return self.values[0] if self.type == JUMP else self.at + self.size


def read_block(image, at):
    """The block at a byte of an image."""
    if at >= len(image):
        raise ImageError(at, 'the image ends without a checksum block')
    if image[at] & ~SELECTOR == JUMP != image[at]:
        raise ImageError(at, f'jump with selector {image[at] & SELECTOR}: '
                         'only selector 0 is known, which always jumps')
    if image[at] not in BLOCKS:
        raise ImageError(at, f'block of unknown type 0x{image[at]:02x}')
    name, layout = BLOCKS[image[at]]
    left = len(image) - at
    size = struct.calcsize(layout)
    if image[at] == WRITE_MANY and size <= left:
        _, csr, count = struct.unpack_from(layout, image, at)
        if count == 0:
            raise ImageError(at, 'consecutive write of no registers')
        if csr + count > CSRS:
            raise ImageError(
                at, f'consecutive write of {count} registers from '
                f'0x{csr * 4:05x} on leads beyond the last register at '
                f'0x{(CSRS - 1) * 4:05x}')
        layout += f'{count}I'
        size = struct.calcsize(layout)
    if size > left:
        raise ImageError(at, f'the image ends after {left} of the {size} '
                         f'bytes of a {name} block')
    block = Block(at, size, image[at],
                  struct.unpack_from(layout, image, at)[1:])
    if block.type == JUMP and block.next() >= len(image):
        raise ImageError(at, f'jump to byte 0x{block.next():04x}, but the '
                         f'image has 0x{len(image):04x} bytes')
    return block


def checksum(data):
    """The checksum of bytes that end with the type of its block."""
    return ~sum(data) & 0xff


def ignores_checksum(registers, blocks):
    """Whether the image turns off the check of its checksum."""
    control = registers.named['SMBUSCTL']
    value = 0
    for block in blocks:
        if block.type in (WRITE, WRITE_MANY):
            first, *values = block.values
            values = values[block.type == WRITE_MANY:]
            n = control.addr // 4 - first
            if 0 <= n < len(values):
                value = values[n]
    return control.fields['ICHECKSUM'].extract(value)


def bytes_read(image, blocks):
    """The bytes that the checksum covers: those that the chip reads, up to the
    type of the last block."""
    return b''.join(image[block.at:block.at + block.size]
                    for block in blocks[:-1]) + bytes([CHECKSUM])


def check_checksum(registers, image, blocks):
    """Check the checksum in the last block."""
    last = blocks[-1]
    good, stored = checksum(bytes_read(image, blocks)), last.values[0]
    if stored != good and not ignores_checksum(registers, blocks):
        raise ImageError(last.at, f'the checksum is 0x{stored:02x}, but must '
                         f'be 0x{good:02x}')


def walk(image, blocks):
    """Append the blocks of an image to a list, in the order of execution."""
    done = bytearray(len(image))
    at = 0
    while not blocks or blocks[-1].type != CHECKSUM:
        block = read_block(image, at)
        again = done.find(1, at, at + block.size)
        if again >= 0:
            raise ImageError(again, 'executed a second time: the image does '
                             'not end')
        done[at:at + block.size] = b'\1' * block.size
        blocks.append(block)
        at = block.next()


# From text to image

def parse_number(text):
    try:
        return int(text, 0)
    except ValueError:
        raise TextError(f'{text} is no number') from None


def parse_byte(text, base=0):
    try:
        value = int(text, base)
    except ValueError:
        value = -1
    if not 0 <= value <= 0xff:
        raise TextError(f'{text} is no byte')
    return value


def parse_field(register, term):
    """The bits of a term such as SIZE(20)."""
    name, has_value, rest = term.partition('(')
    field = register.fields.get(name.strip())
    if not field:
        raise TextError(f'{register.name} has no field {name.strip()}' + (
            f', but {", ".join(register.fields)}' if register.fields else ''))
    if not has_value:
        return field.max() << field.shift
    if not rest.endswith(')'):
        raise TextError(f'{term}: a parenthesis is not closed')
    text = rest[:-1].strip()
    if text not in field.values and text[:1].isalpha():
        raise TextError(f'{field.name} has no value {text}' + (
            f', but {", ".join(field.values)}' if field.values else ''))
    value = field.values[text] if text in field.values else parse_number(text)
    if not 0 <= value <= field.max():
        raise TextError(f'{term}: the field has {field.length} bits')
    return value << field.shift


def parse_value(register, text):
    """The value of a register, as in a text."""
    text = text.strip()
    complement = text.startswith('~')
    value = 0
    for term in text.lstrip('~').split('|'):
        term = term.strip()
        if not term:
            raise TextError(f'a value is missing in "{text}"')
        value |= (parse_number(term) if term[0].isdigit() else
                  parse_field(register, term))
    if value > 0xffffffff:
        raise TextError(f'{text} has more than 32 bits')
    return value ^ 0xffffffff if complement else value


class Builder:
    """Makes an image from a text."""

    def __init__(self, registers):
        self.registers = registers
        self.image = bytearray()
        self.labels = {}
        self.jumps = []             # (byte to put the target at, label, line)
        self.checksum_at = None     # -1: the text gives its value
        self.line = 0
        self.lines = []             # (first byte, line) of each statement

    def build(self, text):
        for self.line, line in enumerate(text.splitlines(), 1):
            line = line.partition('#')[0].strip()
            if line:
                self.lines.append((len(self.image), self.line))
                self.statement(line)
                self.check_size()
        if self.checksum_at is None:
            self.add_checksum()
            self.check_size()
        self.finish()

    def check_size(self):
        if len(self.image) > MAX_SIZE:
            raise TextError(f'the image becomes larger than {MAX_SIZE} bytes')

    def statement(self, line):
        word, _, rest = line.partition(' ')
        if re.fullmatch(r'[A-Za-z_]\w*\s*:', line):
            self.add_label(line[:-1].strip())
        elif '=' in line:
            if word == 'wait':
                self.add_wait(rest)
            else:
                self.add_write(line)
        elif word in ('jump', 'checksum', 'bytes', 'pad'):
            getattr(self, f'add_{word}')(*rest.split())
        else:
            raise TextError(f'"{line}" is no statement')

    def add_block(self, kind, *values, more=''):
        self.image += struct.pack(BLOCKS[kind][1] + more, kind, *values)

    def add_label(self, name):
        if name in self.labels:
            raise TextError(f'{name} is a label already')
        self.labels[name] = len(self.image)

    def add_write(self, line):
        name, _, text = line.partition('=')
        first = self.registers.find(name.strip())
        values = []
        texts = text.split(',')
        if len(texts) > 1 and not texts[-1].strip():
            del texts[-1]
        for n, part in enumerate(texts):
            register = self.registers.lookup(first.addr + n * 4)
            values.append(parse_value(first if n == 0 else register, part))
        if ',' in text:
            if len(values) > 0xffff:
                raise TextError('more values than one block can have')
            self.add_block(WRITE_MANY, first.addr // 4, len(values), *values,
                           more=f'{len(values)}I')
        else:
            self.add_block(WRITE, first.addr // 4, values[0])

    def add_wait(self, line):
        name, _, text = line.partition('=')
        register = self.registers.find(name.strip())
        value, has_mask, mask = re.fullmatch(r'(.*?)(?:\b(mask)\b(.*))?',
                                             text).groups()
        self.add_block(WAIT, register.addr // 4, parse_value(register, value),
                       parse_value(register, mask) if has_mask else 0)

    def add_jump(self, *words):
        if len(words) != 1:
            raise TextError('jump needs one label')
        self.jumps.append((len(self.image) + 1, words[0], self.line))
        self.add_block(JUMP, 0)

    def add_checksum(self, *words):
        if self.checksum_at is not None:
            raise TextError('a second checksum')
        if len(words) > 1:
            raise TextError('checksum has one value')
        self.checksum_at = len(self.image)
        self.add_block(CHECKSUM, parse_byte(words[0]) if words else 0)
        if words:
            self.checksum_at = -1

    def add_bytes(self, *words):
        self.image += bytes(parse_byte(word, 16) for word in words)

    def add_pad(self, *words):
        if len(words) not in (1, 2):
            raise TextError('pad needs a size, and may have a byte')
        size = parse_number(words[0])
        if size > MAX_SIZE:
            raise TextError(f'an image has {MAX_SIZE} bytes at most')
        if size < len(self.image):
            raise TextError(f'the image has {len(self.image)} bytes already')
        fill = parse_byte(words[1]) if len(words) > 1 else ERASED
        self.image += bytes([fill]) * (size - len(self.image))

    def finish(self):
        """Resolve jumps, make the checksum, and check the image."""
        for at, label, self.line in self.jumps:
            place = self.labels.get(label)
            if place is None:
                if not label[0].isdigit():
                    raise TextError(f'there is no label {label}')
                place = parse_number(label)
            if place >= MAX_SIZE:
                raise TextError(f'{label} is beyond the largest image')
            struct.pack_into('<H', self.image, at, place)
        blocks = []
        try:
            walk(self.image, blocks)
            if self.checksum_at >= 0:
                self.image[self.checksum_at + 1] = checksum(
                    bytes_read(self.image, blocks))
                blocks[-1] = read_block(self.image, blocks[-1].at)
            check_checksum(self.registers, self.image, blocks)
        except ImageError as error:
            statement = bisect.bisect_right(self.lines, (error.at, 1 << 30))
            self.line = self.lines[statement - 1][1] if statement else 1
            raise TextError(error) from None


# From image to text

class Dumper:
    """Makes a text from an image, with its first error."""

    def __init__(self, registers, image):
        self.registers = registers
        self.image = image
        self.error = None
        self.blocks = []
        self.good_checksum = None
        try:
            walk(image, self.blocks)
            self.good_checksum = checksum(bytes_read(image, self.blocks))
            check_checksum(registers, image, self.blocks)
        except ImageError as error:
            self.error = error
        self.blocks.sort(key=lambda block: block.at)
        self.places = {block.values[0]: f'at_{block.values[0]:04x}'
                       for block in self.blocks if block.type == JUMP}

    def text(self):
        lines = []
        at = 0
        for block in self.blocks:
            lines += self.gap(at, block.at)
            at = block.at + block.size
            lines += self.mark(block.at, at)
            if block.at in self.places:
                lines.append(f'{self.places[block.at]}:')
            lines.append(self.block(block))
        lines += self.gap(at, len(self.image))
        lines += self.mark(len(self.image), MAX_SIZE + 1)
        return '\n'.join(lines) + '\n'

    def mark(self, begin, end):
        """The error, if it is at a byte from begin to before end."""
        if self.error and begin <= self.error.at < end:
            return [f'# {self.error}']
        return []

    def gap(self, begin, end):
        """Statements for bytes that are not executed."""
        lines = self.mark(begin, end)
        while begin < end:
            rest = self.image[begin:end]
            if end == len(self.image) and len(set(rest)) == 1:
                lines.append(f'pad 0x{end:04x} 0x{rest[0]:02x}')
                break
            row = rest[:16]
            text = ' '.join(f'{byte:02x}' for byte in row)
            lines.append(f'bytes {text:47}  # 0x{begin:04x}')
            begin += len(row)
        return lines

    def block(self, block):
        """The statement for a block; a comment has its byte and fields."""
        kind, values, comment = block.type, block.values, ''
        if kind == JUMP:
            text = f'jump {self.places[values[0]]}'
        elif kind == CHECKSUM:
            text = 'checksum'
            if values[0] != self.good_checksum:
                text += f' 0x{values[0]:02x}'
        else:
            register = self.registers.lookup(values[0] * 4)
            if kind == WAIT:
                text = (f'wait {register.name} = 0x{values[1]:08x} '
                        f'mask 0x{values[2]:08x}')
                comment = register.comment(values[1] & ~values[2])
            elif kind == WRITE:
                text = f'{register.name} = 0x{values[1]:08x}'
                comment = register.comment(values[1])
            else:
                text = f'{register.name} = ' + ', '.join(
                    f'0x{value:x}' for value in values[2:])
                if len(values) == 3:
                    text += ','
        return f'{text:48}# 0x{block.at:04x} {comment}'.rstrip()


# Commands

def read_image(path):
    """The image in a file.  Reads one byte too many to find a large one."""
    with open(path, 'rb') as file:
        image = file.read(MAX_SIZE + 1)
    if not 1 <= len(image) <= MAX_SIZE:
        error = ImageError(0, f'an image has 1 to {MAX_SIZE} bytes')
        sys.exit(f'{path}: {error}')
    return image


def build_image(registers, text):
    """The image from the text in a file."""
    builder = Builder(registers)
    try:
        builder.build(text.read_text(encoding='utf-8', errors='replace'))
    except TextError as error:
        sys.exit(f'{text}:{builder.line}: {error}')
    return bytes(builder.image)


def build(registers, text, image):
    image.write_bytes(build_image(registers, text))


def dump(registers, image, text):
    dumper = Dumper(registers, read_image(image))
    if text:
        text.write_text(dumper.text(), encoding='utf-8')
    else:
        print(dumper.text(), end='')
    if dumper.error:
        sys.exit(f'{image}: {dumper.error}')


def is_text(path):
    """Whether a file is UTF-8 without 0; the last block of an image is not."""
    try:
        return '\0' not in path.read_text(encoding='utf-8')
    except UnicodeDecodeError:
        return False


def read_either(registers, path):
    """The image in a file, or from a text."""
    return (build_image(registers, path) if is_text(path) else
            read_image(path))


def without_places(text):
    """The lines of a dump, without positions and erased bytes."""
    return [re.sub(r'# 0x[0-9a-f]{4}\b', '#', line)
            for line in text.splitlines()
            if not re.fullmatch(f'pad .* 0x{ERASED:02x}', line)]


def compare(registers, one, other):
    """Show how two images differ; erased bytes at the end do not count."""
    images = [read_either(registers, path) for path in (one, other)]
    size = max(len(image) for image in images)
    images = [image.ljust(size, bytes([ERASED])) for image in images]
    if images[0] == images[1]:
        return
    texts = [without_places(Dumper(registers, image).text())
             for image in images]
    print('\n'.join(line.rstrip(' #') for line in difflib.unified_diff(
        *texts, str(one), str(other), lineterm='')))
    sys.exit(1)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--registers', type=pathlib.Path, default=REGISTERS,
                        metavar='HEADER', help='instead of %(default)s')
    commands = parser.add_subparsers(dest='command', required=True)
    for command, text, *files in (
            (build, 'make an image from a text', 'text', 'image'),
            (dump, 'make a text from an image', 'image', '[text]'),
            (compare, 'compare two images or texts; the status is 0 if they '
             'are the same', 'one', 'other')):
        parts = commands.add_parser(command.__name__, help=text)
        parts.set_defaults(command=command)
        for name in files:
            parts.add_argument(name.strip('[]'), type=pathlib.Path,
                               nargs='?' if '[' in name else None)
    args = vars(parser.parse_args())
    header, command = args.pop('registers'), args.pop('command')
    try:
        if not header.is_file():
            raise HeaderError('there is no such file; give the header of the '
                              'registers with --registers')
        command(Registers(header), **args)
    except HeaderError as error:
        sys.exit(f'{header}: {error}')
    except OSError as error:
        sys.exit(f'idt-ntb-eeprom: error: {error}')


if __name__ == '__main__':
    main()
