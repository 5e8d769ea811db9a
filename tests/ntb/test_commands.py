# SPDX-License-Identifier: GPL-2.0-or-later
"""./ntb: what its commands answer before they do anything."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

TOP = pathlib.Path(__file__).resolve().parent.parent.parent


class Commands(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = pathlib.Path(directory.name)
        # A command that does something leaves something there
        self.cache = self.path / 'cache'

    def run_ntb(self, *args, ntb=TOP / 'ntb'):
        done = subprocess.run(
            [ntb, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, check=False, cwd=self.path,
            env={'PATH': os.environ['PATH'], 'NTB_CACHE': str(self.cache)})
        self.assertFalse(self.cache.exists(), args)
        return done.returncode, done.stdout, done.stderr

    def commands(self):
        text = self.run_ntb('help')[1].partition('Each command')[0]
        found = re.findall(r'^  ([a-z]+) ', text, re.M)
        self.assertIn('demo', found)
        return [name for name in found if name != 'help']

    def test_help(self):
        for name in self.commands():
            for option in '--help', '-h':
                with self.subTest(f'{name} {option}'):
                    status, text, error = self.run_ntb(name, option)
                    self.assertEqual((status, error), (0, ''))
                    self.assertNotIn('SPDX', text)
                    self.assertRegex(text, r'^[A-Za-z]')

    def test_typo(self):
        for name in self.commands():
            for args in ('--typo',), ('--al',), ('-x', 'y'):
                with self.subTest(f'{name} {args}'):
                    status, text, error = self.run_ntb(name, *args)
                    self.assertEqual((status, text), (2, ''))
                    self.assertIn(args[0], error)

    def test_typos(self):
        """What some commands take, and these not."""
        for args in (('clean', 'all'), ('demo', '10'), ('env', 'QEMU'),
                     ('soak',), ('check', '--soak', '--minutes'),
                     ('check', '--soak', '--minutes', '2x'),
                     ('check', '--minutes', '2'), ('check', '--seed'),
                     ('sanitize', '20'), ('sanitize', '--fuzz'),
                     ('sanitize', '--fuzz', '1m'),
                     ('sanitize', '--hostile', '601'),
                     ('guest', 'trixie'), ('guest', '--arch'),
                     ('guest', '--arch', 'mips'), ('guest', 'arm64'),
                     ('guest', '--no-selftest', '--arch', 'arm64'),
                     ('bench', 'everything'), ('check', '--test'),
                     ('check', 'race'), ('help', 'demo'), ('demmo',), ('shell',),
                     ('switch', '--guests', '9'), ('switch', '--kernel'),
                     ('demo', '--', '--help')):
            with self.subTest(args):
                self.assertEqual(self.run_ntb(*args)[:2], (2, ''))

    def test_symlink(self):
        link = self.path / 'bin' / 'ntb'
        link.parent.mkdir()
        link.symlink_to(TOP / 'ntb')
        again = self.path / 'again'
        again.symlink_to('bin/ntb')
        for ntb in link, again:
            self.assertEqual(self.run_ntb('check', '--help', ntb=ntb)[0], 0)

    def test_switch_kernel(self):
        """A tree that is not built is refused before anything is."""
        status, text, error = self.run_ntb('switch', '--kernel', self.path)
        self.assertEqual((status, text), (1, ''))
        self.assertIn(f'{self.path}/arch/x86/boot/bzImage: run make', error)
