# SPDX-License-Identifier: GPL-2.0-or-later
"""The code blocks of README.md and of the user's page, and how to type them.

A comment in front of each block says what a test does with it:

  test: run N...                 type it in these terminals, one after another
  test: start N... until REGEX   the same, it goes on running; wait for REGEX
  test: repeat N... until REGEX  type it again and again
  test: lines N...               a line in each of them
  test: monitor N                type it in the QEMU monitor of that guest
  test: plug N                   more options for the guest, which is started
                                 again without its idt-ntb
  test: killed N                 kill the server, then type it
  test: skip REASON

In a block of the language "console" the lines after "# " are typed, in one for
the monitor those after "(qemu) "; what else is there is an example of an answer.
"""

import dataclasses
import os
import pty
import re
import select
import signal
import subprocess
import textwrap
import time

DEADLINE = 600


class PageError(Exception):
    """Something on a page does not work, or cannot be tested."""


@dataclasses.dataclass
class Block:
    """A code block, and what is done with it."""
    where: str
    text: str
    mark: str

    def typed(self):
        """Return the part of it that is typed."""
        for prompt in ('# ', '(qemu) '):
            lines = [line[len(prompt):] for line in self.text.splitlines()
                     if line.startswith(prompt)]
            if lines and not (prompt == '# ' and self._is_shell()):
                return '\n'.join(lines)
        return self.text

    def _is_shell(self):
        """All of it is typed: lines with "# " are comments."""
        return not self.text.startswith('# ')

    def example(self):
        """Return the answer that the page shows."""
        return '\n'.join(line for line in self.text.splitlines()
                         if not re.match(r'# |\(qemu\) ', line))


def _dedent(lines):
    return textwrap.dedent('\n'.join(lines)).strip('\n') + '\n'


def _block(lines, start, indent):
    """The lines from one on that are indented more, and what follows."""
    end = start
    while end < len(lines) and (not lines[end].strip() or
                                len(lines[end]) - len(lines[end].lstrip()) >
                                indent):
        end += 1
    return lines[start:end], end


def read_markdown(path):
    """The indented blocks of a page in Markdown."""
    lines = path.read_text(encoding='utf-8').splitlines()
    mark, at = '', 0
    while at < len(lines):
        found = re.fullmatch(r'<!-- test: (.*) -->', lines[at])
        if found:
            mark = found[1]
        if lines[at].startswith('    ') and not lines[at - 1].strip():
            body, end = _block(lines, at, 3)
            yield Block(f'{path.name}:{at + 1}', _dedent(body), mark)
            mark, at = '', end
        else:
            at += 1


def read_rst(path):
    """The code-block directives of a page in reStructuredText."""
    lines = path.read_text(encoding='utf-8').splitlines()
    mark, at = '', 0
    while at < len(lines):
        found = re.fullmatch(r'\s*\.\. test: (.*)', lines[at])
        if found:
            mark = found[1]
        directive = re.fullmatch(r'(\s*)\.\. code-block:: \w+', lines[at])
        if directive:
            body, end = _block(lines, at + 1, len(directive[1]))
            yield Block(f'{path.name}:{at + 1}', _dedent(body), mark)
            mark, at = '', end
        else:
            at += 1


def read_page(path):
    return list((read_markdown if path.suffix == '.md' else read_rst)(path))


class Terminal:
    """A terminal with a shell in it, which may run a guest with its console
    and monitor."""

    def __init__(self, folder, environment):
        self.log = ''
        self._count = 0
        self._master, slave = pty.openpty()
        # pylint: disable=consider-using-with
        self._shell = subprocess.Popen(
            ['bash', '--norc', '--noprofile', '--noediting', '-i'],
            stdin=slave, stdout=slave, stderr=slave, cwd=folder,
            start_new_session=True,
            env={**environment, 'PS1': '$ ', 'TERM': 'dumb'})
        os.close(slave)

    def close(self):
        """End all that runs in it."""
        for process in self._session():
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self._shell.wait()
        os.close(self._master)

    def _session(self):
        """The processes that were started here."""
        for name in os.listdir('/proc'):
            try:
                if name.isdigit() and os.getsid(int(name)) == self._shell.pid:
                    yield int(name)
            except ProcessLookupError:
                pass

    def type(self, text):
        """Type it; what comes then is what wait() looks at."""
        start = len(self.log)
        for line in text.splitlines():
            os.write(self._master, f'{line}\n'.encode())
        return start

    def wait(self, regex, start, deadline=DEADLINE):
        """Wait until this comes after the place START of the log."""
        end = time.monotonic() + deadline
        while True:
            found = re.search(regex, self.log[start:], re.M)
            if found:
                return found
            if time.monotonic() > end:
                raise PageError(f'not within {deadline} s: {regex}\n' +
                                self.log[start:][-2000:])
            if select.select([self._master], [], [], 1)[0]:
                self.log += os.read(self._master, 65536).decode(
                    errors='replace').replace('\r', '')

    def run(self, text):
        """Type it, and return what is answered; its end must be good."""
        self._count += 1
        # The terminal echoes the command, which must not look like the answer
        end = f'echo "end-$?"-{self._count}'
        start = self.type(f'{text.rstrip()}\n{end}')
        # Wait for the prompt too, so that it is not in the way of what follows
        found = self.wait(rf'end-(\d+)-{self._count}\n[^\n]*[$#] ', start)
        typed = {line.strip() for line in text.splitlines()} | {end}
        answer = '\n'.join(
            line for line in self.log[start:start + found.start()].split('\n')
            if line.strip('#$> ') and
            not any(word and line.rstrip().endswith(word) for word in typed))
        if found[1] != '0':
            raise PageError(f'exit status {found[1]} of:\n{text}\n{answer}')
        return answer

    def repeat(self, text, regex):
        """Type it until an answer has this."""
        end = time.monotonic() + DEADLINE
        while True:
            answer = self.run(text)
            if re.search(regex, answer, re.M):
                return answer
            if time.monotonic() > end:
                raise PageError(f'never {regex} from:\n{text}\n{answer}')
            time.sleep(0.2)

    def monitor(self, text):
        """Type it in the monitor of the guest here."""
        start = self.type('')
        os.write(self._master, b'\1c')
        self.wait(r'\(qemu\) ', start)
        for line in text.splitlines():
            start = self.type(line)
            self.wait(r'^\(qemu\) $', start)
        answer = self.log[start:]
        os.write(self._master, b'\1c')
        return answer
