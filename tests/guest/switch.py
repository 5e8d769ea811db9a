# SPDX-License-Identifier: GPL-2.0-or-later
"""An ivshmem-server: what the ports of one switch are plugged into."""

import os
import subprocess

import settings
from guest import wait_until

# A flag in /proc/net/unix: this socket accepts connections
SO_ACCEPTCON = 0x10000


class Switch:
    """An ivshmem-server with its defaults."""

    def __init__(self, folder):
        self.folder = folder
        self.socket = os.path.join(folder, 'switch')
        # The name of its shared memory is unique on this machine
        self.memory = f'idt-ntb-test-{os.getpid()}-{id(self):x}'
        self._process = None

    def start(self, fresh_memory=False):
        """Start the server; also again, on the memory the last one left or
        on memory of its own."""
        if fresh_memory:
            self._remove_memory()
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        with open(os.path.join(self.folder, 'switch.log'), 'ab') as log:
            # pylint: disable=consider-using-with
            self._process = subprocess.Popen(
                [settings.IVSHMEM_SERVER, '-F', '-S', self.socket,
                 '-M', self.memory],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        # To connect in order to see would make a peer come and go
        wait_until(self._listening, 'ivshmem-server listens')

    def _listening(self):
        if self._process.poll() is not None:
            raise RuntimeError('ivshmem-server ended: see ' +
                               os.path.join(self.folder, 'switch.log'))
        with open('/proc/net/unix') as file:
            for line in file:
                words = line.split()
                if words[-1] == self.socket and \
                        int(words[3], 16) & SO_ACCEPTCON:
                    return True
        return False

    def kill(self):
        """The server dies at once and leaves its memory behind."""
        self._process.kill()
        self._process.wait()

    def stop(self):
        """End the server and remove what it would leave behind."""
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
        self._remove_memory()

    def _remove_memory(self):
        memory = os.path.join('/dev/shm', self.memory)
        if os.path.exists(memory):
            os.unlink(memory)

    def chardev(self, name='ntb', reconnect=False):
        """QEMU arguments for a connection to this switch."""
        value = f'socket,id={name},path={self.socket}'
        if reconnect:
            value += ',reconnect-ms=200'
        return ['-chardev', value]

    def port(self, options='', name='ntb', slot=None, **kwargs):
        """QEMU arguments for a device on this switch.

        OPTIONS are more properties of it, e.g. port=2.  On a busy host a peer
        may take long for an answer.
        """
        device = f'idt-ntb,id={name},chardev={name},completion-timeout=60000'
        if slot is not None:
            device += f',addr={slot:#x}'
        if options:
            device += f',{options}'
        return [*self.chardev(name, **kwargs), '-device', device]
