# SPDX-License-Identifier: GPL-2.0-or-later
"""Follow README.md and the user's page: type their code blocks in order."""

import os
import pathlib
import re
import shutil
import signal
import stat
import sys
import tempfile
import unittest

import pages
import settings
from guest import FAST_BOOT, QUIET_WATCHDOGS
from pages import PageError, Terminal
from switch import Switch

TOP = pathlib.Path(__file__).resolve().parent.parent.parent

# Three terminals, as README.md says; the page needs two of them
TERMINALS = 3

# Commands of a distribution that the pages use
PRELUDE = r'''
stty cols 1000
modprobe() { load ntb; if [ "$1" = -a ]; then shift; for m; do load $m || return; done; else load "$@"; fi; }
lspci() { grep -l 0x111d /sys/bus/pci/devices/*/vendor; }
'''

# In place of "qemu-system-x86_64": without KVM, and with the guests' kernel in
# place of an image, which the page allows
QEMU_SHIM = r'''#!{python}
import os, shlex, sys
args, given = [], iter(sys.argv[1:])
plug = os.environ.get('NTB_PLUG')
for word in given:
    if word == '-accel' or (plug and word == '-chardev') or \
            (plug and word == '-device'):
        next(given)
    elif word == '-drive':
        next(given)
        args += ['-kernel', {kernel!r}, '-initrd', {initrd!r}, '-append',
                 'console=ttyS0 guest.modules= {append}']
    else:
        args.append(word)
args += shlex.split(plug or '')
os.execv({qemu!r}, [{qemu!r}, *{firmware!r}, '-vga', 'none', '-nic', 'none',
                    *args])
'''
SERVER_SHIM = r'''#!/bin/sh
echo $$ >'{pid}'
exec '{server}' "$@"
'''


# In place of "tmux": shows what would run in a pane, and starts nothing
TMUX_SHIM = r'''#!/bin/sh
for command; do
    case $command in
        "sh "*) cat "${command#sh }" ;;
    esac
done
'''


class Pages(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='ntb-'))
        self.addCleanup(shutil.rmtree, self.folder)
        self.memory = f'idt-ntb-page-{os.getpid()}'
        self.addCleanup(lambda: (pathlib.Path('/dev/shm') / self.memory).unlink(
            missing_ok=True))
        self.shims = self.folder / 'bin'
        self.shims.mkdir()
        self.server_pid = self.folder / 'server.pid'
        self.shim('qemu-system-x86_64', QEMU_SHIM.format(
            python=sys.executable, kernel=settings.KERNEL,
            initrd=settings.INITRD, qemu=settings.QEMU,
            append=f'{QUIET_WATCHDOGS} {FAST_BOOT}',
            firmware=settings.FIRMWARE))
        self.shim('ivshmem-server', SERVER_SHIM.format(
            pid=self.server_pid, server=settings.IVSHMEM_SERVER))
        self.terminals = {}
        # Numbers that the page has as an example, and what they are here
        self.values = {}
        self.started = {}
        self.guests = set()

    def shim(self, name, text):
        path = self.shims / name
        path.write_text(text, encoding='utf-8')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def terminal(self, number):
        if number not in self.terminals:
            terminal = Terminal(TOP, {
                **os.environ, 'PATH': f'{self.shims}:{os.environ["PATH"]}'})
            self.terminals[number] = terminal
            self.addCleanup(terminal.close)
        return self.terminals[number]

    def ours(self, text):
        """The same with a path, a name and addresses of this run."""
        text = text.replace('/tmp/ntb-switch', str(self.folder / 'switch'))
        text = re.sub(r'-M ntb-switch\b', f'-M {self.memory}', text)
        return re.sub(r'0x[0-9a-f]+', lambda found: hex(
            self.values.get(int(found[0], 16), int(found[0], 16))), text)

    def learn(self, example, answer):
        """The numbers of an answer stand for those of the page's example."""
        numbers = [[int(word, 16) for word in
                    re.findall(r'\b0x[0-9a-f]+', text)]
                   for text in (example, answer)]
        if len(numbers[0]) == len(numbers[1]):
            self.values.update(zip(*numbers))

    # One method for each word in the comments before the blocks

    def do_skip(self, block, words):
        self.assertTrue(words, f'{block.where}: the reason')

    def do_run(self, block, words, until=None):
        for word in words.split():
            terminal = self.terminal(int(word))
            text = self.ours(block.typed())
            if until:
                answer = terminal.repeat(text, until)
            else:
                answer = terminal.run(text)
            self.learn(block.example(), answer)

    do_repeat = do_run

    def do_start(self, block, words, until):
        for word in words.split():
            terminal = self.terminal(int(word))
            self.started[word] = self.ours(block.typed())
            terminal.wait(until, terminal.type(self.started[word]))
            if 'guest ready' in until:
                self.greet(terminal)

    def greet(self, terminal):
        terminal.run(PRELUDE.strip())

    def do_lines(self, block, words):
        for word, line in zip(words.split(),
                              block.typed().splitlines(), strict=True):
            self.terminal(int(word)).run(self.ours(line))

    def do_monitor(self, block, words):
        answer = self.terminal(int(words)).monitor(self.ours(block.typed()))
        self.assertNotRegex(answer, 'Error|unknown command')

    def do_plug(self, block, words):
        terminal = self.terminal(int(words))
        terminal.wait(r'^\$ ', terminal.type('poweroff -f'))
        options = self.ours(block.text).replace('\n', ' ')
        terminal.run(f"export NTB_PLUG='{options}'")
        # The server, if the block has one too, runs already
        text = self.started[words]
        text = text[text.index('qemu-system'):]
        terminal.wait('guest ready', terminal.type(text))
        self.greet(terminal)

    def do_killed(self, block, words):
        os.kill(int(self.server_pid.read_text()), signal.SIGKILL)
        self.do_run(block, words)

    def follow(self, path, last=None):
        """Do what a page says; return how many blocks that was.  LAST blocks
        are enough to start the guests that another page uses."""
        blocks = pages.read_page(path)[:last]
        for block in blocks:
            if not hasattr(self, 'do_' + block.mark.partition(' ')[0]):
                raise PageError(f'{block.where}: no comment "test: ..." says '
                                'what to do with this block')
        for block in blocks:
            kind, _, rest = block.mark.partition(' ')
            words, *until = rest.split(' until ')
            try:
                getattr(self, f'do_{kind}')(block, words, *until)
            except PageError as error:
                raise PageError(f'{block.where}: {error}') from error
        return sum(not block.mark.startswith('skip') for block in blocks)

    def test_switch(self):
        """The guests of ./ntb switch are started as the page starts its own,
        so that the page's commands do in them what they say."""
        self.shim('tmux', TMUX_SHIM)
        answer = self.terminal(1).run('./ntb switch --boot')
        first = (TOP / 'docs/system/devices/idt-ntb.rst').read_text(
            encoding='utf-8').partition('In the second terminal')[0]
        options = re.findall(
            r'-machine q35,memory-backend=mem|-object \S+|-device \S+|id=ntb,|'
            r'reconnect-ms=1000', first)
        self.assertEqual(len(options), 5)
        for option in options:
            option = option.replace('size=1G', 'size=256M')
            self.assertEqual(answer.count(option), 2, option)

    def test_switch_kernel(self):
        """A tree as "make" leaves it: its kernel and modules, and gdb."""
        self.shim('tmux', TMUX_SHIM)
        tree = self.folder / 'tree'
        (tree / 'arch/x86/boot').mkdir(parents=True)
        (tree / 'arch/x86/boot/bzImage').write_text('never booted')
        for name in 'ntb', 'hw/idt/ntb_hw_idt', 'test/ntb_pingpong':
            module = tree / f'drivers/ntb/{name}.ko'
            module.parent.mkdir(parents=True, exist_ok=True)
            module.write_text(f'own {name}', encoding='utf-8')
        answer = self.terminal(1).run(
            f'./ntb switch --kernel {tree} --trace {self.folder}/logs')
        for text in (f'-kernel {tree}/arch/x86/boot/bzImage', ' nokaslr ',
                     'guest.modules=ntb,ntb_hw_idt,ntb_pingpong',
                     "-trace 'idt_ntb*' -D "):
            self.assertEqual(answer.count(text), 2, text)
        for name in 'AB':
            self.assertRegex(answer, f'-gdb unix:\\S+/{name}.gdb,server=on')
            self.assertRegex(answer, f'target remote \\S+/{name}.gdb')
        initrd = re.search(r'-initrd (\S+)', answer)[1]
        self.assertIn(b'own hw/idt/ntb_hw_idt',
                      pathlib.Path(initrd).read_bytes())

    def test_readme(self):
        """And the page of the patches, which uses the guests of README.md."""
        self.assertEqual(self.follow(TOP / 'README.md'), 5)
        self.assertEqual(self.follow(TOP / 'patches/README.md'), 4)

    def test_user_page(self):
        self.assertGreater(
            self.follow(TOP / 'docs/system/devices/idt-ntb.rst'), 12)

    def test_drivers_page(self):
        """With the guests of the user's page."""
        folder = TOP / 'docs/system/devices'
        self.assertEqual(self.follow(folder / 'idt-ntb.rst', 3), 2)
        self.assertGreater(self.follow(folder / 'idt-ntb-drivers.rst'), 1)
