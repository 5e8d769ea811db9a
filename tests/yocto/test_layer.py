# SPDX-License-Identifier: GPL-2.0-or-later
"""The Yocto layer, as far as it can be tested without BitBake."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import pytest
from bbfile import BBFile, BBSyntaxError

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
LAYER = TOP / 'yocto/meta-idt-ntb'
QEMU = LAYER / 'recipes-devtools/qemu'
KERNEL = LAYER / 'recipes-kernel/linux'
PATCHES = TOP / 'patches'
RELEASES = sorted(PATCHES.glob('qemu-*[0-9]'))
# Exit status of scripts/qemu-source
NO_SOURCE = 77
CACHE = pathlib.Path(os.environ.get('NTB_CACHE') or
                     pathlib.Path.home() / '.cache/idt-ntb')

# The values that OpenEmbedded accepts
STATUS = re.compile(
    r'^Upstream-Status: (Pending|Submitted|Denied|Inappropriate|Backport|'
    r'Inactive-Upstream)( .+)?$', re.MULTILINE)


def run(*command, **kwargs):
    return subprocess.run(command, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False, **kwargs)


def bb_files():
    return [BBFile(path) for path in sorted(LAYER.rglob('*'))
            if path.suffix in ('.bb', '.bbappend', '.inc', '.conf')]


class TestCase(unittest.TestCase):
    def directory(self):
        path = tempfile.mkdtemp(prefix='ntb-yocto-')
        self.addCleanup(shutil.rmtree, path)
        return pathlib.Path(path)

    def succeeds(self, *command, **kwargs):
        done = run(*command, **kwargs)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout


class Patches(TestCase):
    """The patches of the repository, as the recipes use them."""

    def test_status(self):
        """Of each patch, and not in the message of the commit."""
        patches = list(PATCHES.glob('*/*.patch'))
        self.assertTrue(patches)
        for patch in patches:
            text = patch.read_text()
            self.assertEqual(len(STATUS.findall(text)), 1, patch)
            work = self.directory()
            with open(patch, encoding='utf-8') as mail:
                subprocess.run(['git', 'mailinfo', 'message', 'patch'],
                               cwd=work, stdin=mail, check=True,
                               stdout=subprocess.DEVNULL)
            self.assertNotIn('Upstream-Status',
                             (work / 'message').read_text(), patch)

    # With what may change the source trees
    @pytest.mark.xdist_group('series')
    def test_applies(self):
        """Without fuzz, which OpenEmbedded refuses."""
        applied = []
        for series in RELEASES:
            release = series.name.removeprefix('qemu-')
            done = run(TOP / 'scripts/qemu-source', release)
            if done.returncode != NO_SOURCE:
                self.assertEqual(done.returncode, 0, done.stdout)
                self.apply(pathlib.Path(done.stdout.splitlines()[-1]), series)
                applied.append(release)
        if not applied:
            self.skipTest('no source of any release')

    def apply(self, source, series):
        tree = self.directory()
        self.succeeds(TOP / 'scripts/integrate', '--pristine', tree, source)
        server = pathlib.Path('contrib/ivshmem-server/meson.build')
        (tree / server.parent).mkdir(parents=True)
        shutil.copy(source / server, tree / server)
        for patch in (*sorted((PATCHES / 'yocto').glob('*.patch')),
                      *sorted(series.glob('*.patch'))):
            self.succeeds('patch', '-p1', '-F0', '-i', patch, cwd=tree)


class Recipes(TestCase):
    def test_syntax(self):
        self.assertGreater(len(bb_files()), 7)

    def test_syntax_errors_are_seen(self):
        path = self.directory() / 'wrong.inc'
        for text in ('A = "b', 'A = b"', 'A = "b" c"', 'A "b"', 'A = "\\',
                     'A = "${@b(}"', 'python () {\n    a b\n}', 'do_a() {',
                     'python () {\n    a(', 'do_a() {\n    if x\n}'):
            path.write_text(text + '\n')
            with self.assertRaises(BBSyntaxError, msg=text):
                BBFile(path)

    def test_files(self):
        """SRC_URI and require name all files that are there, and no others."""
        named = set()
        for file in bb_files():
            here = file.path.parent
            for value in file.variables.values():
                for name in re.findall(r'file://([^$\s]+)', value):
                    paths = [directory / name
                             for directory in (here / 'files', PATCHES)
                             if (directory / name).is_file()]
                    self.assertEqual(len(paths), 1, f'{file.path}: {name}')
                    named.add(paths[0])
            for name in re.findall(r'[\w./-]+\.inc', ' '.join(file.includes)):
                self.assertTrue((here / name).is_file(), file.path)
        there = {path for path in (*LAYER.rglob('files/**/*'),
                                   *PATCHES.glob('yocto/*'),
                                   *PATCHES.glob('linux/*'))
                 if path.is_file()}
        self.assertEqual(named, there)

    def test_licence(self):
        for path in LAYER.rglob('*'):
            if path.is_file() and path.suffix not in ('.patch', '.md'):
                head = path.read_text().splitlines()[:2]
                self.assertIn('# SPDX-License-Identifier: GPL-2.0-or-later',
                              head, path)


class FakeData:
    """As much of BitBake's data as the function of qemu-idt-ntb.inc uses."""

    def __init__(self, version):
        self.values = {'PV': version, 'SRC_URI': 'qemu.tar',
                       'IDT_NTB_PATCHES': str(PATCHES)}

    def getVar(self, name):
        return self.values[name]

    def appendVar(self, name, value):
        self.values[name] += value


class FakeBB:
    class parse:
        class SkipRecipe(Exception):
            pass

        @staticmethod
        def mark_dependency(data, path):
            assert os.path.isdir(path)


class Series(TestCase):
    """The series is chosen by the version that the recipe has."""

    def src_uri(self, version):
        chooser = BBFile(QEMU / 'qemu-idt-ntb.inc').python['']
        data = FakeData(version)
        exec(chooser, {'d': data, 'bb': FakeBB, 'os': os})
        return data.values['SRC_URI'].split()

    def test_known(self):
        for directory in RELEASES:
            patches = [f'file://{directory.name}/{path.name}'
                       for path in sorted(directory.glob('*.patch'))]
            self.assertEqual(
                self.src_uri(directory.name.removeprefix('qemu-') + '.7'),
                ['qemu.tar'] + patches)

    def test_unknown(self):
        with self.assertRaisesRegex(FakeBB.parse.SkipRecipe,
                                    r'10\.2.*, none for 8\.2'):
            self.src_uri('8.2.7')


class Kernel(TestCase):
    """The kernel fragment, on Debian's kernel source."""

    def configured(self, fragment):
        """The lines of the configuration of x86_64 with a fragment."""
        source = next((path.parent for path in
                       CACHE.glob('guest/*/source/Makefile')), None)
        if not source:
            self.skipTest('no kernel source: ./ntb guest fetches it')
        build = self.directory()
        # Do not pass on the variables of a make that runs this test
        env = {name: value for name, value in os.environ.items()
               if not name.startswith('MAKE')}
        make = ('make', '-C', source, 'ARCH=x86_64', 'CC=gcc', f'O={build}')
        self.succeeds(*make, 'x86_64_defconfig', env=env)
        with open(build / '.config', 'a', encoding='ascii') as config:
            config.write(fragment.read_text())
        self.succeeds(*make, 'olddefconfig', env=env)
        return (build / '.config').read_text().splitlines()

    def test_fragment(self):
        fragment = KERNEL / 'files/idt-ntb.cfg'
        wanted = [line for line in fragment.read_text().splitlines()
                  if not line.startswith('#')]
        self.assertIn('CONFIG_NTB_IDT=m', wanted)
        config = self.configured(fragment)
        self.assertEqual([line for line in wanted if line not in config], [])

    def test_others_vanish(self):
        fragment = self.directory() / 'wrong.cfg'
        fragment.write_text('CONFIG_NTB_IDT=m\nCONFIG_NTB_UNKNOWN=m\n')
        config = self.configured(fragment)
        # Not without the bus
        self.assertNotIn('CONFIG_NTB_IDT=m', config)
        self.assertNotIn('CONFIG_NTB_UNKNOWN=m', config)


MODPROBE = '''#!/bin/sh
echo "$*" >>{root}/loaded
device={root}/sys/bus/ntb/devices/0000:00:05.0
case $1 in
    ntb_hw_idt)
        [ -n "$NO_DEVICE" ] || mkdir -p $device
        ;;
    *)
        echo "$1 20480 0" >>{root}/proc/modules
        ln -s ../drivers/$1 $device/driver
        mkdir -p {root}/sys/kernel/debug/$1/0000:00:05.0
        [ $1 != ntb_pingpong ] ||
            echo 42 >{root}/sys/kernel/debug/$1/0000:00:05.0/count
        ;;
esac
'''

RMMOD = '''#!/bin/sh
echo "-$1" >>{root}/loaded
rm -r {root}/sys/bus/ntb/devices/*/driver {root}/sys/kernel/debug/$1
sed -i "/^$1 /d" {root}/proc/modules
'''


class Client(TestCase):
    """The program that starts a client at boot, among stubs."""

    FILES = LAYER / 'recipes-idt-ntb/idt-ntb-client/files'

    def setUp(self):
        self.root = self.directory()
        for name in ('bin', 'etc/default', 'proc', 'sys/kernel/debug'):
            (self.root / name).mkdir(parents=True)
        (self.root / 'proc/modules').write_text('virtio 1 0\n')
        (self.root / 'proc/mounts').write_text('tmpfs /tmp tmpfs rw 0 0\n')
        self.cmdline('console=ttyS0')
        shutil.copy(self.FILES / 'idt-ntb.default',
                    self.root / 'etc/default/idt-ntb')
        self.program('modprobe', MODPROBE.format(root=self.root))
        self.program('rmmod', RMMOD.format(root=self.root))
        self.program('mount', f'#!/bin/sh\necho "$*" >>{self.root}/mounted\n')
        text = (self.FILES / 'idt-ntb').read_text()
        self.program('idt-ntb', re.sub(r'(?<![\w#!])/(etc|proc|sys)/',
                                       rf'{self.root}/\1/', text))

    def program(self, name, text):
        path = self.root / 'bin' / name
        path.write_text(text)
        path.chmod(0o755)

    def cmdline(self, text):
        (self.root / 'proc/cmdline').write_text(text + '\n')

    def idt_ntb(self, *args, status=0, **env):
        path = f'{self.root}/bin:{os.environ["PATH"]}'
        done = run(self.root / 'bin/idt-ntb', *args,
                   env=dict(os.environ, PATH=path, **env))
        self.assertEqual(done.returncode, status, done.stdout)
        return done.stdout

    def loaded(self):
        return (self.root / 'loaded').read_text().splitlines()

    def test_syntax(self):
        self.succeeds('sh', '-n', self.FILES / 'idt-ntb')
        self.assertTrue(os.access(self.FILES / 'idt-ntb', os.X_OK))

    def test_boot(self):
        self.assertEqual(self.idt_ntb('start'),
                         '0000:00:05.0: ntb_pingpong, count 42\n')
        self.assertEqual(self.loaded(), ['ntb_hw_idt', 'ntb_pingpong'])
        self.assertEqual((self.root / 'mounted').read_text(),
                         f'-t debugfs debugfs {self.root}/sys/kernel/debug\n')
        self.assertEqual(self.idt_ntb('status'),
                         '0000:00:05.0: ntb_pingpong, count 42\n')

    def test_debugfs_is_mounted_once(self):
        (self.root / 'proc/mounts').write_text(
            f'debugfs {self.root}/sys/kernel/debug debugfs rw 0 0\n')
        self.idt_ntb('start')
        self.assertFalse((self.root / 'mounted').exists())

    def test_defaults_file(self):
        (self.root / 'etc/default/idt-ntb').write_text(
            'CLIENT=ntb_pingpong\nCLIENT_OPTIONS="delay_ms=1 unsafe=1"\n')
        self.idt_ntb('start')
        self.assertEqual(self.loaded(),
                         ['ntb_hw_idt', 'ntb_pingpong delay_ms=1 unsafe=1'])

    def test_no_defaults_file(self):
        (self.root / 'etc/default/idt-ntb').unlink()
        self.idt_ntb('start')
        self.assertEqual(self.loaded(), ['ntb_hw_idt', 'ntb_pingpong'])

    def test_command_line_goes_first(self):
        (self.root / 'etc/default/idt-ntb').write_text(
            'CLIENT=ntb_pingpong\nCLIENT_OPTIONS=delay_ms=1\n')
        self.cmdline('quiet idt_ntb.client=ntb_tool ro')
        self.assertEqual(self.idt_ntb('start'), '0000:00:05.0: ntb_tool\n')
        self.assertEqual(self.loaded(), ['ntb_hw_idt', 'ntb_tool'])

    def test_none(self):
        self.cmdline('idt_ntb.client=none')
        self.assertEqual(self.idt_ntb('start'), '0000:00:05.0: no client\n')
        self.assertEqual(self.loaded(), ['ntb_hw_idt'])
        self.assertEqual(self.idt_ntb('status', status=3),
                         '0000:00:05.0: no client\n')

    def test_one_client_at_a_time(self):
        self.idt_ntb('start')
        self.assertEqual(self.idt_ntb('start', 'ntb_perf', 'max_mw_size=4096'),
                         '0000:00:05.0: ntb_perf\n')
        self.assertEqual(self.loaded()[2:],
                         ['ntb_hw_idt', '-ntb_pingpong',
                          'ntb_perf max_mw_size=4096'])
        self.idt_ntb('stop')
        self.assertEqual(self.loaded()[-1], '-ntb_perf')

    def test_no_device(self):
        """Such a guest boots as well, and says what is missing."""
        self.assertIn('-device idt-ntb', self.idt_ntb('start', NO_DEVICE='y'))
        self.assertEqual(self.loaded(), ['ntb_hw_idt'])
        self.assertEqual(self.idt_ntb('status', status=3), 'no device\n')

    def test_wrong_use(self):
        self.assertIn('no client', self.idt_ntb('start', 'ntb_netdev',
                                                status=1))
        self.assertFalse((self.root / 'loaded').exists())
        self.assertIn('usage', self.idt_ntb(status=2))
