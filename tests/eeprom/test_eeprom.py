# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/idt-ntb-eeprom.py: texts to images and back.

The expected images are written by hand, not by the tool.
"""

import importlib.util
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import unittest

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
TOOL = TOP / 'scripts/idt-ntb-eeprom.py'
EXAMPLES = TOP / 'docs/specs/idt-ntb-eeprom'


def load_tool():
    spec = importlib.util.spec_from_file_location('idt_ntb_eeprom', TOOL)
    module = importlib.util.module_from_spec(spec)
    # Data classes look there for the module that they are in
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


tool = load_tool()
registers = tool.Registers(tool.REGISTERS)


def build(text):
    builder = tool.Builder(registers)
    try:
        builder.build(text)
    except tool.TextError as error:
        raise tool.TextError(f'{builder.line}: {error}') from None
    return bytes(builder.image)


def dump(image):
    """The text of an image, and what is wrong with it, or None."""
    dumper = tool.Dumper(registers, image)
    return dumper.text(), dumper.error and str(dumper.error)


def write(addr, value):
    return struct.pack('<BHI', 0x00, addr // 4, value)


def write_many(addr, *values):
    return struct.pack(f'<BHH{len(values)}I', 0x20, addr // 4, len(values),
                       *values)


def jump(place):
    return struct.pack('<BH', 0x40, place)


def wait(addr, value, mask):
    return struct.pack('<BHII', 0x60, addr // 4, value, mask)


def end_read(image, skipped):
    """The checksum behind an image of which some bytes are jumped over."""
    image += b'\xe0'
    return image + bytes([255 - (sum(image) - sum(skipped)) % 256])


def end(image):
    return end_read(image, b'')


def random_block(rand, registers):
    addr = rand.choice(registers)
    values = [rand.getrandbits(32) for _ in range(rand.randint(1, 6))]
    return rand.choice((
        write(addr, values[0]), wait(addr, values[0], values[-1]),
        write_many(min(addr, 0x40000 - 4 * len(values)), *values)))


def random_image(rand, registers=range(0, 0x40000, 4)):
    """Blocks with jumps between them, in any order, and gaps."""
    pieces = [b''.join(random_block(rand, registers)
                       for _ in range(rand.randint(0, 9)))
              for _ in range(rand.randint(1, 9))]
    order = list(range(len(pieces)))
    rand.shuffle(order)
    gaps = [rand.randbytes(rand.choice((0, 0, 1, 5, 40))) for _ in order]
    places, at = {}, 3
    for n, gap in zip(order, gaps):
        places[n] = at
        at += len(pieces[n]) + 3 + len(gap)
    image = jump(places[0])
    for n, gap in zip(order, gaps):
        last = n == len(pieces) - 1
        image += pieces[n]
        image += (b'\xe0\0\0' if last else jump(places[n + 1])) + gap
    checksum_at = places[len(pieces) - 1] + len(pieces[-1])
    total = (sum(map(sum, pieces)) + 0xe0 +
             sum(sum(jump(place)) for place in places.values()))
    image = bytearray(image)
    image[checksum_at + 1] = 255 - total % 256
    return bytes(image)


def break_image(rand, image):
    """The same but for one bit."""
    image = bytearray(image)
    image[rand.randrange(len(image))] ^= 1 << rand.randrange(8)
    return bytes(image)


class Build(unittest.TestCase):
    def check(self, text, image):
        self.assertEqual(build(text).hex(' '), image.hex(' '))

    def test_blocks(self):
        """Each kind of block, byte by byte."""
        self.check('SWPORT2CTL = 0x12345678',
                   bytes.fromhex('00 90f8 78563412 e0 83'))
        self.check('SWPORT2CTL = 1, 0x80000000',
                   bytes.fromhex('20 90f8 0200 01000000 00000080 e0 f4'))
        self.check('SWPORT2CTL = 1,',
                   bytes.fromhex('20 90f8 0100 01000000 e0 75'))
        self.check('wait SWPORT2STS = 2 mask 0xfffffffd',
                   bytes.fromhex('60 91f8 02000000 fdffffff e0 3a'))
        self.check('wait SWPORT2STS = 2',
                   bytes.fromhex('60 91f8 02000000 00000000 e0 34'))
        self.check('jump there\nbytes aa bb\nthere:',
                   bytes.fromhex('40 0500 aabb e0 da'))
        self.check('', bytes.fromhex('e0 1f'))

    def test_names(self):
        for name, addr in (
                ('SWPART7STS', 0x3e1e4), ('SWPORT23FCTL', 0x3e4e8),
                ('NT4.BARSETUP2', 0x9490), ('NT23.GASADATA', 0x2fffc),
                ('NT0.BARUTBASE5', 0x14cc), ('P4.PCIELCTLSTS', 0x8050),
                ('NT4.PCIELCTLSTS', 0x9050), ('NT12.INMSGSRC3', 0x1945c),
                ('SWP2MSGCTL3', 0x3ee68), ('SWP7MSGCTL0', 0x3ee1c),
                ('GODBELLMSK31', 0x3ed7c), ('GIDBELLMSK1', 0x3ed84),
                ('NTMTBLPROT7', 0x3e72c), ('FCAP3TIMER', 0x3e568),
                ('S7CTL', 0x3f0e0), ('S1TXLCTL1', 0x3f028),
                ('S2RXEQLCTL', 0x3f050), ('STK3CFG', 0x3e01c),
                ('IOEXPADDR5', 0x3f1ac), ('NT2.NTMCG3PA', 0x560c),
                ('NT2.NTIERRORMSK1', 0x5418), ('TMPCTL', 0x3f1d4),
                ('0x3e100', 0x3e100), ('4', 4), ('NT4.0x480', 0x9480),
                ('P23.0xffc', 0x2effc), ('0x3fffc', 0x3fffc)):
            with self.subTest(name):
                self.check(f'{name} = 1', end(write(addr, 1)))

    def test_values(self):
        for text, value in (
                ('10', 10), ('0x10', 16), ('0b11', 3), ('1 | 0x10', 17),
                ('MODE(NT)', 3), ('MODE(4)|SWPART(2)', 0x24), ('~0', 2**32-1),
                ('MODE( UP_NT ) | DEVNUM(0x1f)', 0x1f0004), ('MODE', 15),
                ('~MODE', 0xfffffff0), ('~ MODE | SWPART', 0xffffff80),
                ('0xffffffff', 2**32 - 1)):
            with self.subTest(text):
                self.check(f'SWPORT4CTL = {text}', end(write(0x3e280, value)))
                self.check(f'wait SWPORT4CTL={text} mask {text}# {text}',
                           end(wait(0x3e280, value, value)))
        self.check('SWPORT0CTL = MODE(NT), OMCC, 7',
                   end(write_many(0x3e200, 3, 2, 7)))

    def test_lines(self):
        self.check('# comment\n\n  SWCTL=1#x\n\tTMPCTL  =  PDOWN  # = 2\n',
                   end(write(0x3e000, 1) + write(0x3f1d4, 1 << 31)))

    def test_jumps(self):
        """Forward, back, over the checksum, and with numbers."""
        image = (jump(10) + write(8, 1) + jump(19) + b'\xe0\0' +
                 bytes(4) + jump(13))
        total = sum(image[:3] + image[10:14] + image[19:])
        image = image[:14] + bytes([255 - total % 256]) + image[15:]
        text = ('jump far\nback: 0x8 = 1\njump 19\nhere:\nchecksum\n'
                'bytes 0 0 00 00\njump here')
        self.check(text.replace('far', '10').replace('back:', ''), image)
        self.check('jump over\nlabel:\nbytes 12 ff\nover :\njump on\non:',
                   end_read(jump(5) + b'\x12\xff' + jump(8), b'\x12\xff'))

    def test_checksum(self):
        """Of the bytes that are read: jumps count, what they skip does not."""
        self.check('jump on\nbytes 01 02 03\non:',
                   jump(6) + b'\1\2\3\xe0\xd9')
        # With them it would be 0xd3
        for text in ('jump on\nbytes 01 02 03\non:\nchecksum 0xd3',
                     'checksum 0x00'):
            with self.assertRaisesRegex(tool.TextError, 'the checksum is'):
                build(text)

    def test_ichecksum(self):
        """SMBUSCTL.ICHECKSUM, as it is at the end, turns the check off."""
        ignore = write(0x3f18c, 1 << 17)
        self.check('SMBUSCTL = ICHECKSUM\nchecksum 0',
                   ignore + b'\xe0\0')
        self.check('EEPROMINTF = 0\nSMBUSSTS = 0, 0x20000, 5\nchecksum 1',
                   write(0x3f190, 0) + write_many(0x3f188, 0, 0x20000, 5) +
                   b'\xe0\1')
        for text in ('SMBUSCTL = ~ICHECKSUM', 'SMBUSCTL = ICHECKSUM\n'
                     'SMBUSSTS = 0, 0', 'SMBUSSTS = 0x20000', 'jump on\n'
                     'SMBUSCTL = ICHECKSUM\non:'):
            with self.subTest(text), self.assertRaisesRegex(
                    tool.TextError, 'the checksum is 0x00, but must be 0x'):
                build(f'{text}\nchecksum 0')

    def test_end(self):
        self.check('0 = 1\nchecksum\nbytes 01\npad 0x10',
                   end(write(0, 1)) + b'\1' + b'\xff' * 6)
        self.check('0 = 1\nchecksum 0x1e\npad 12 0',
                   end(write(0, 1)) + bytes(3))
        self.assertEqual(len(build('pad 65536\n'.join(('checksum\n', '')))),
                         65536)


class TextErrors(unittest.TestCase):
    def test_errors(self):
        for text, error in (
                ('nonsense', '1: "nonsense" is no statement'),
                ('wait SWCTL', '1: "wait SWCTL" is no statement'),
                ('\nSWPORT1CTRL = 1',
                 '2: there is no register SWPORT1CTRL; is it SWPORT1CTL?'),
                ('SWPORT24CTL = 1', '1: there is no register SWPORT24CTL; is '
                 'it SWPORT4CTL?'),
                ('P4.NTCTL = 1', '1: there is no register P4.NTCTL; is it '
                 'NT4.NTCTL?'),
                ('???=1', '1: there is no register ???'),
                ('0x3e102 = 1', '1: 0x3e102 is no address of a register'),
                ('0x40000 = 1', '1: 0x40000 is no address of a register'),
                ('NT24.0x0 = 1', '1: NT24.0x0 is no address of a register'),
                ('P1.0x1000 = 1', '1: P1.0x1000 is no address of a register'),
                ('SWCTL = ', '1: a value is missing in ""'),
                ('SWCTL = 1,,2', '1: a value is missing in ""'),
                ('SWCTL = 1 |', '1: a value is missing in "1 |"'),
                ('SWCTL = 2x', '1: 2x is no number'),
                ('SWCTL = EN', '1: SWCTL has no field EN'),
                ('TMPADJ = EN', '1: TMPADJ has no field EN, but OFFSET'),
                ('TMPADJ = OFFSET(1', '1: OFFSET(1: a parenthesis is not '
                 'closed'),
                ('TMPADJ = OFFSET(256)', '1: OFFSET(256): the field has 8 '
                 'bits'),
                ('TMPADJ = OFFSET(-1)', '1: OFFSET(-1): the field has 8 '
                 'bits'),
                ('SWPORT0CTL = MODE(NTT)', '1: MODE has no value NTT, but '
                 'DISABLED, DOWNSTREAM, UPSTREAM, NT, UP_NT, UNATTACHED, '
                 'UP_DMA, UP_NT_DMA, NT_DMA'),
                ('TMPADJ = OFFSET(x)', '1: OFFSET has no value x'),
                ('TMPADJ = OFFSET(1x)', '1: 1x is no number'),
                ('SWCTL = 0x100000000', '1: 0x100000000 has more than 32 '
                 'bits'),
                ('wait SWCTL = 1 mask', '1: a value is missing in ""'),
                ('wait SWCTL = mask 1', '1: a value is missing in ""'),
                ('a:\nSWCTL = 1\na:', '3: a is a label already'),
                ('jump', '1: jump needs one label'),
                ('jump a b', '1: jump needs one label'),
                ('SWCTL=1\njump a\nSWCTL=1', '2: there is no label a'),
                ('jump 9x', '1: 9x is no number'),
                ('jump 0x10000', '1: 0x10000 is beyond the largest image'),
                ('checksum\nchecksum', '2: a second checksum'),
                ('checksum 1 2', '1: checksum has one value'),
                ('checksum 0x100', '1: 0x100 is no byte'),
                ('bytes fg', '1: fg is no byte'),
                ('bytes 100', '1: 100 is no byte'),
                ('pad', '1: pad needs a size, and may have a byte'),
                ('pad 1 2 3', '1: pad needs a size, and may have a byte'),
                ('pad 0x10001', '1: an image has 65536 bytes at most'),
                ('SWCTL = 1\npad 6', '2: the image has 7 bytes already'),
                ('pad 65536\nbytes 00',
                 '2: the image becomes larger than 65536 bytes'),
                ('pad 65535',
                 '1: the image becomes larger than 65536 bytes'),
                # The device's error, with the line of the text
                ('a:\nSWCTL = 1\njump a', '2: byte 0x0000: executed a second '
                 'time: the image does not end'),
                ('\njump 9\nbytes 01\n', '2: byte 0x0000: jump to byte 0x0009,'
                 ' but the image has 0x0006 bytes'),
                ('SWCTL = 1\n\nbytes 80 00', '3: byte 0x0007: block of '
                 'unknown type 0x80'),
                ('SWCTL = 1\nchecksum 0', '2: byte 0x0007: the checksum is '
                 '0x00, but must be 0x26'),
                ('0x3fffc = 1, 2', '1: byte 0x0000: consecutive write of 2 '
                 'registers from 0x3fffc on leads beyond the last register '
                 'at 0x3fffc')):
            with self.subTest(text):
                with self.assertRaises(tool.TextError) as raised:
                    build(text)
                self.assertEqual(str(raised.exception), error)


class Dump(unittest.TestCase):
    def test_text(self):
        text, error = dump(end_read(
            write(0x3e24c, 1) + write(0x3e240, 0x400013) +
            write_many(0x3e200, 5) + jump(28) + b'\1\2' +
            wait(0x9480, 0x8000011f, 0xf), b'\1\2') + b'\0' * 3)
        self.assertIsNone(error)
        self.assertEqual([' '.join(line.split()) for line in text.split('\n')],
                         ['0x3e24c = 0x00000001 # 0x0000',
                          'SWPORT2CTL = 0x00400013 # 0x0007 '
                          '0x400000 | SWPART(1) | MODE(NT)',
                          'SWPORT0CTL = 0x5, # 0x000e',
                          'jump at_001c # 0x0017',
                          'bytes 01 02 # 0x001a',
                          'at_001c:',
                          'wait NT4.BARSETUP1 = 0x8000011f mask 0x0000000f '
                          '# 0x001c EN | SIZE(17)',
                          'checksum # 0x0027',
                          'pad 0x002c 0x00',
                          ''])

    def test_errors(self):
        start = write(0x3e000, 1)
        for image, error in (
                (start, '0007: the image ends without a checksum block'),
                (start + b'\x80', '0007: block of unknown type 0x80'),
                (start + b'\x01', '0007: block of unknown type 0x01'),
                (start + b'\xff', '0007: block of unknown type 0xff'),
                (start + start[:6], '0007: the image ends after 6 of the 7 '
                 'bytes of a write block'),
                (start + b'\x41\x0a\0', '0007: jump with selector 1: only '
                 'selector 0 is known, which always jumps'),
                (b'\x5f', '0000: jump with selector 31: only selector 0 is '
                 'known, which always jumps'),
                (b'\x20', '0000: the image ends after 1 of the 5 bytes of a '
                 'consecutive write block'),
                (write_many(0, 1, 2)[:-1], '0000: the image ends after 12 of '
                 'the 13 bytes of a consecutive write block'),
                (b'\x40\0', '0000: the image ends after 2 of the 3 bytes of '
                 'a jump block'),
                (wait(0, 0, 0)[:-4], '0000: the image ends after 7 of the 11 '
                 'bytes of a wait block'),
                (b'\xe0', '0000: the image ends after 1 of the 2 bytes of a '
                 'checksum block'),
                (end(write_many(0)), '0000: consecutive write of no '
                 'registers'),
                (end(write_many(0x3fff8, 1, 2, 3)), '0000: consecutive write '
                 'of 3 registers from 0x3fff8 on leads beyond the last '
                 'register at 0x3fffc'),
                (end(jump(5)), '0000: jump to byte 0x0005, but the image has '
                 '0x0005 bytes'),
                (end(jump(0)), '0000: executed a second time: the image does '
                 'not end'),
                (end(start + jump(0)), '0000: executed a second time: the '
                 'image does not end'),
                # A block that runs into another one
                (end(jump(4) + b'?' + write(0, 0) + jump(3)[:1] + b'\3\0')
                 .replace(b'?', b'\0'), '0004: executed a second time: the '
                 'image does not end'),
                (start + b'\xe0\0', '0007: the checksum is 0x00, but must be '
                 '0x26'),
                (jump(4) + b'\1\xe0\0', '0004: the checksum is 0x00, but must '
                 'be 0xdb'),
                # With the byte that is jumped over
                (jump(4) + b'\1\xe0\xda', '0004: the checksum is 0xda, but '
                 'must be 0xdb')):
            with self.subTest(error):
                text, found = dump(image)
                self.assertEqual(found, f'byte 0x{error}')
                self.assertEqual(text.count(f'# byte 0x{error}\n'), 1)


class RoundTrip(unittest.TestCase):
    def check(self, image):
        text, error = dump(image)
        self.assertIsNone(error)
        self.assertEqual(build(text), image)

    def test_examples(self):
        texts = sorted(EXAMPLES.glob('*.txt'))
        self.assertEqual([text.name for text in texts],
                         ['board.txt', 'default.txt', 'failover.txt'])
        for text in texts:
            with self.subTest(text.name):
                self.check(build(text.read_text(encoding='utf-8')))

    def test_every_register(self):
        """Each name stands for one address, and the address for it."""
        self.assertGreater(len(registers.named), 2000)
        names = {}
        for name, register in registers.named.items():
            self.assertEqual(registers.find(name), register)
            self.assertNotIn(register.addr, names)
            names[register.addr] = name
        image = end(b''.join(write(addr, addr * 77) for addr in names))
        self.check(image)
        text, _ = dump(image)
        self.assertEqual([line.partition(' =')[0] for line in
                          text.splitlines()[:-1]], list(names.values()))

    def test_addresses(self):
        """Those that have a name and those that have none."""
        self.check(end(b''.join(write(addr, 1)
                                for addr in range(0, 0x40000, 0x24))))

    def test_random_images(self):
        rand = random.Random(4)
        for _ in range(300):
            self.check(random_image(rand))

    def test_broken_images(self):
        """Whatever the bytes are: a text, and an error or the same image."""
        rand = random.Random(5)
        good = 0
        for _ in range(300):
            image = break_image(rand, random_image(rand))
            text, error = dump(image)
            if error is None:
                good += 1
                self.assertEqual(build(text), image)
            else:
                self.assertIn(f'# {error}\n', text)
        self.assertTrue(0 < good < 300)


class Program(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = pathlib.Path(directory.name)

    def run_tool(self, *args):
        done = subprocess.run([sys.executable, TOOL, *args],
                              cwd=self.path, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def test_both_ways(self):
        self.assertEqual(self.run_tool(
            'build', EXAMPLES / 'default.txt', 'image'), (0, '', ''))
        image = (self.path / 'image').read_bytes()
        self.assertEqual(self.run_tool('dump', 'image', 'text'), (0, '', ''))
        text = (self.path / 'text').read_text(encoding='utf-8')
        self.assertEqual(self.run_tool('dump', 'image'), (0, text, ''))
        self.assertEqual(build(text), image)

    def test_compare(self):
        """Images, read-outs of an EEPROM and texts, with each other."""
        (self.path / 'text').write_text('SWCTL = 1\nTMPADJ = 5\n')
        (self.path / 'other').write_text('SWCTL = 1\nSWPORT2CTL = MODE(NT)\n'
                                         'TMPADJ = 6\n')
        for name in 'text', 'other':
            self.run_tool('build', name, f'{name}.img')
        image = (self.path / 'text.img').read_bytes()
        (self.path / 'rom').write_bytes(image.ljust(0x10000, b'\xff'))
        names = 'text', 'text.img', 'rom'
        for one in names:
            for two in names:
                self.assertEqual(self.run_tool('compare', one, two),
                                 (0, '', ''))
            status, text, error = self.run_tool('compare', one, 'other.img')
            self.assertEqual((status, error), (1, ''))
            self.assertEqual(
                [' '.join(line.split()) for line in text.splitlines()], [
                     f'--- {one}', '+++ other.img', '@@ -1,3 +1,4 @@',
                     'SWCTL = 0x00000001',
                     '-TMPADJ = 0x00000005 # OFFSET(5)',
                     '+SWPORT2CTL = 0x00000003 # MODE(NT)',
                     '+TMPADJ = 0x00000006 # OFFSET(6)', 'checksum'])
        self.assertEqual(self.run_tool('compare', 'text', 'nothing')[0], 1)
        (self.path / 'rom').write_bytes(b'\0' * 0x10001)
        self.assertEqual(self.run_tool('compare', 'text', 'rom'), (
            1, '', 'rom: byte 0x0000: an image has 1 to 65536 bytes\n'))

    def test_wrong_use(self):
        (self.path / 'text').write_text('SWCTL = 1\nSWCLT = 1\n')
        self.assertEqual(self.run_tool('build', 'text', 'image'), (
            1, '', 'text:2: there is no register SWCLT; is it SWCTL?\n'))
        self.assertFalse((self.path / 'image').exists())
        (self.path / 'image').write_bytes(b'\1')
        self.assertEqual(self.run_tool('dump', 'image'), (
            1, '# byte 0x0000: block of unknown type 0x01\npad 0x0001 0x01\n',
            'image: byte 0x0000: block of unknown type 0x01\n'))
        for size in 0, 65537:
            (self.path / 'image').write_bytes(bytes(size))
            self.assertEqual(self.run_tool('dump', 'image'), (
                1, '', 'image: byte 0x0000: an image has 1 to 65536 bytes\n'))
        status, _, error = self.run_tool('dump', 'nothing')
        self.assertEqual(status, 1)
        self.assertIn("No such file or directory: 'nothing'", error)
        status, _, error = self.run_tool('--registers', 'text', 'dump',
                                         'image')
        self.assertEqual((status, error),
                         (1, 'text: does not define IDT_GAS_SIZE\n'))
