# SPDX-License-Identifier: GPL-2.0-or-later
"""The device takes images, of the example texts and others, as the tool does.
"""

import pathlib
import random
import re
import subprocess
import sys
import tempfile
import unittest

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.append(str(TOP / 'tests/guest'))

# pylint: disable=wrong-import-position
import settings
import test_eeprom
from switch import Switch

DEADLINE = 600

# The lanes, which are stored and read as zero before, and SMBUSCTL
HARMLESS = [*range(0x3f000, 0x3f00c, 4), 0x3f18c]
NO_PORT = 'no port has a mode with an NT function'


class Device(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix='ntb-')
        self.addCleanup(directory.cleanup)
        self.path = pathlib.Path(directory.name)
        self.switch = Switch(directory.name)
        self.addCleanup(self.switch.stop)
        self.switch.start()

    def build(self, name):
        """The image of an example; where it is."""
        image = self.path / f'{name}.img'
        subprocess.run(
            [TOP / 'scripts/idt-ntb-eeprom.py', 'build',
             TOP / f'docs/specs/idt-ntb-eeprom/{name}.txt', image], check=True)
        return image

    def run_qemu(self, *options):
        """A QEMU with a device for each of the options that does not run.

        Returns the ports that the devices took, or what QEMU said if it did
        not start.
        """
        args = ['-nodefaults', '-M', 'q35', '-accel', 'tcg', '-S',
                '-display', 'none', '-monitor', 'stdio']
        commands = ''
        for number, option in enumerate(options):
            name = f'ntb{number}'
            args += self.switch.port(options=option, name=name)
            commands += f'qom-get /machine/peripheral/{name} port\n'
        done = subprocess.run(
            [settings.QEMU, *settings.FIRMWARE, *args],
            input=commands + 'quit\n', stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, timeout=DEADLINE, check=False)
        if done.returncode:
            return done.stderr
        self.assertEqual(done.stderr, '')
        return [int(port) for port in
                re.findall(r'^(\d+)\r?$', done.stdout, re.M)]

    def run_images(self, images):
        """Return the error of QEMU for each of these invalid images."""
        args = ['-nodefaults', '-M', 'q35', '-accel', 'tcg', '-S',
                '-display', 'none', '-monitor', 'stdio',
                *self.switch.chardev(reconnect=True),
                '-device', 'pcie-root-port,id=rp0']
        commands = ''
        for n, image in enumerate(images):
            path = self.path / f'image{n}'
            path.write_bytes(image)
            commands += (f'device_add idt-ntb,bus=rp0,chardev=ntb,'
                         f'eeprom={path}\n')
        done = subprocess.run(
            [settings.QEMU, *settings.FIRMWARE, *args],
            input=commands + 'quit\n', stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, timeout=DEADLINE, check=True)
        return re.findall(r"EEPROM image '.*?': (.*?)\r?$", done.stdout +
                          done.stderr, re.M)

    def test_agrees_with_tool(self):
        """Random images, good and bad: the same verdict for the same reason.
        """
        rand = random.Random(6)
        images = []
        for _ in range(60):
            image = test_eeprom.random_image(rand, HARMLESS)
            images += [image, test_eeprom.break_image(rand, image)]
        verdicts = self.run_images(images)
        self.assertEqual(len(verdicts), len(images))
        reasons = set()
        for image, verdict in zip(images, verdicts):
            _, error = test_eeprom.dump(image)
            # The tool does not check the meaning of values
            if error or not re.search('wait for register|mode', verdict):
                with self.subTest(image.hex(' ')):
                    self.assertEqual(verdict, error or NO_PORT)
            reasons.add(re.sub('[0-9].*', '', (error or '')[13:]))
        self.assertGreater(len(reasons), 5)

    def test_default(self):
        """The device's own default image is that of the text: any byte that
        differs, and the second device is refused."""
        image = self.build('default')
        self.assertEqual(self.run_qemu('', f'eeprom={image}'), [0, 2])
        self.assertEqual(self.run_qemu(f'eeprom={image}', 'partitions=2'),
                         [0, 2])
        with image.open('ab') as file:
            file.write(b'\0')
        self.assertIn('the running switch was configured by',
                      self.run_qemu('', f'eeprom={image}'))

    def test_board(self):
        image = self.build('board')
        self.assertEqual(self.run_qemu(f'eeprom={image}', '',
                                       f'eeprom={image}'), [0, 8, 12])
