# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux's ntb_tool, driven through its files in debugfs."""

import contextlib
import re

from guest import wait_until

ALL = '/sys/kernel/debug/ntb_tool/*'


def connect(*tools):
    """Bring the links of all guests of a switch up, which ntb_tool does not
    do by itself."""
    for tool in tools:
        tool.write('link', 'Y')
    for tool in tools:
        wait_until(lambda t=tool: 'N' not in t.read('peer*/link'),
                   f'{tool.guest.name} has a link')


class Tool:
    """ntb_tool in a guest with one port.

    Methods that take no peer use the only one, or the first.
    """

    def __init__(self, guest):
        self.guest = guest
        guest.run('load ntb_tool')
        self.folder = guest.run(f'echo {ALL}').strip()
        self.windows = int(self.run('ls -d peer0/mw_trans* | wc -l'))

    def run(self, script):
        return self.guest.run(self._script(script)).strip()

    def send(self, script):
        return self.guest.send(self._script(script))

    def finish(self, number):
        """Wait for what send() started: its exit status and output."""
        return self.guest.finish(number)

    def _script(self, script):
        return f'set -e; cd {self.folder}; {script}'

    def read(self, name):
        return self.run(f'cat {name}')

    def number(self, name):
        return int(self.read(name), 0)

    def write(self, name, value):
        self.run(f'echo {value} >{name}')

    # Windows

    def allocate(self, size):
        """Have a buffer behind each of the peer's windows; [(address, size)],
        where the sizes are SIZE as the windows allow it."""
        text = self.run(f'for n in $(seq 0 {self.windows - 1}); do '
                        f'echo {size} >peer0/mw_trans$n; '
                        'cat peer0/mw_trans$n; done')
        return list(zip(
            (int(n, 16) for n in re.findall(r'DMA Address\s+(\S+)', text)),
            (int(n, 16) for n in re.findall(r'Window Size\s+(\S+)', text))))

    def open(self, buffers):
        """Translate this side's windows to the peer's buffers: by decimal
        numbers, the only ones that kernel 7.2 takes."""
        self.run('\n'.join(
            f'echo {address}:{size} >peer0/peer_mw_trans{number}'
            for number, (address, size) in enumerate(buffers)))

    def close(self):
        """The windows, and then the buffers, of this side."""
        self.run(f'for n in $(seq 0 {self.windows - 1}); do '
                 'echo 0:0 >peer0/peer_mw_trans$n; done')

    def free(self):
        self.run(f'for n in $(seq 0 {self.windows - 1}); do '
                 'echo 0 >peer0/mw_trans$n; done')

    @staticmethod
    def fill_script(numbers, sizes):
        """A script that writes random data through these windows and prints
        what sha256sum says of it.  Blocks of an odd size make accesses of all
        sizes and alignments."""
        return '\n'.join(
            f'dd if=/dev/urandom of=/tmp/data{n} bs={sizes[n]} count=1 '
            '2>/dev/null\n'
            f'dd if=/tmp/data{n} of=peer0/peer_mw{n} bs={sizes[n] // 17 | 1} '
            '2>/dev/null\n'
            f'sha256sum </tmp/data{n}\n'
            f'rm /tmp/data{n}' for n in numbers)

    def digests(self, name, numbers, size=None):
        """Return the SHA-256 sums of these windows, or of their first SIZE
        bytes: NAME is mw for own buffers, peer_mw for windows onto a peer's.
        """
        read = f'head -c {size}' if size else 'cat'
        return self.run('\n'.join(
            f'{read} peer0/{name}{n} | sha256sum'
            for n in numbers)).splitlines()

    # Events

    @contextlib.contextmanager
    def event(self, name, value, function):
        """Expect an interrupt within: write VALUE to file NAME, so that the
        driver sleeps in FUNCTION, from which only an interrupt wakes it."""
        process = self.run(f'rm -f /tmp/event; (echo {value} >{name}; '
                           'echo $? >/tmp/event) >/dev/null 2>&1 & echo $!')
        wait_until(lambda: self.run(f'cat /proc/{process}/wchan') == function,
                   f'{self.guest.name} sleeps in {function}')
        yield
        wait_until(lambda: self.run('cat /tmp/event || true') == '0',
                   f'{self.guest.name} wakes up in {function}')
