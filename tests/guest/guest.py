# SPDX-License-Identifier: GPL-2.0-or-later
"""A Linux guest: one QEMU, driven through QMP and a shell agent in it."""

import itertools
import mmap
import os
import re
import socket
import time

import settings
from machine import Q35
from qemu.machine import QEMUMachine
from qemu.machine.machine import AbnormalShutdown

# Seconds.  No test depends on how long something takes, only on that it
# happens: a guest boots in three seconds, and on a busy host in minutes.
DEADLINE = 600

# MiB of RAM
RAM = 256

# How long something takes says more about the load of the host than about
# the guest.
QUIET_WATCHDOGS = ('no_timer_check nowatchdog '
                   'rcupdate.rcu_cpu_stall_suppress=1 '
                   'sysctl.kernel.hung_task_timeout_secs=0')

# End QEMU when the kernel crashes, so that a test does not wait for the guest
END_AT_ONCE = 'oops=panic'

# Skip more than half of the boot of an emulated guest: tests of ciphers, a
# search for pages that are writable and executable, preparations for tracing,
# changes to the kernel's own code, and what no test uses.
FAST_BOOT = ('cryptomgr.notests rodata=off '
             'initcall_blacklist=crypto_kdf108_init,init_kprobe_trace '
             'mitigations=off noreplace-smp nokaslr tsc=reliable '
             'init_on_alloc=0 apparmor=0 lsm= ipv6.disable=1')

# Messages that only a broken kernel or a broken device causes
KERNEL_TROUBLE = re.compile(
    r'Kernel panic|BUG:|WARNING:|Oops|Call Trace|nobody cared|'
    r'general protection|unable to handle')


class GuestError(Exception):
    """The guest did not do what it was told; the text says what is known."""


def wait_until(condition, what, deadline=DEADLINE, interval=0.05):
    """Poll until CONDITION returns something true, and return that."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise GuestError(f'not within {deadline} s: {what}')
        time.sleep(interval)


class Guest:
    """One guest.  boot() starts it, kill() or shutdown() ends it.

    name     of its log files, and its host name
    folder   where its sockets and logs are
    args     more QEMU arguments
    modules  what it loads while booting
    append   more kernel command line, e.g. ntb_pingpong.delay_ms=1
    ram      how much of it there is, in MiB
    shared   its RAM is one that peers' windows can reach directly
    kernel, initrd
             what it runs instead of what ./ntb env says
    machine  what it runs on
    """

    def __init__(self, name, folder, args=(), append='',
                 modules=('ntb', 'ntb_hw_idt', 'ntb_pingpong'),
                 ram=RAM, shared=False, kernel=None, initrd=None,
                 machine=Q35):
        self.name = name
        self.args = list(args)
        self.ram = ram
        self.shared = shared
        if shared:
            self.args += [
                '-machine', 'memory-backend=ram', '-object',
                f'memory-backend-memfd,id=ram,size={ram}M,share=on']
        self.machine = machine
        self.kernel = kernel or machine.kernel or settings.KERNEL
        self.initrd = initrd or machine.initrd or settings.INITRD
        self.append = append
        self.modules = list(modules)
        self.folder = os.path.join(folder, name)
        os.makedirs(self.folder)
        self.vm = None
        self._starts = 0
        self._agent = None
        self._pending = b''
        self._ids = itertools.count(1)

    # Starting and ending

    def boot(self, wait=True):
        """Start QEMU; wait until the guest takes commands, or don't."""
        self._launch()
        if wait:
            self.wait_ready()

    def _launch(self, *args):
        self._starts += 1
        agent = os.path.join(self.folder, f'agent-{self._starts}')
        self.vm = QEMUMachine(
            self.machine.qemu or settings.QEMU, name=f'qemu-{self._starts}',
            log_dir=self.folder, base_temp_dir=self.folder, qmp_timer=DEADLINE,
            args=[
                '-nodefaults', *self.machine.args, '-m', str(self.ram),
                '-accel', settings.ACCEL,
                *(['-cpu', 'qemu64'] if settings.ACCEL == 'kvm' else []),
                '-display', 'none', '-name', self.name, *settings.FIRMWARE,
                '-kernel', self.kernel, '-initrd', self.initrd,
                '-append', ' '.join((
                    f'console={self.machine.console} loglevel=7',
                    QUIET_WATCHDOGS,
                    END_AT_ONCE, FAST_BOOT,
                    f'guest.name={self.name}',
                    'guest.modules=' + ','.join(self.modules),
                    self.append)),
                '-serial', f'file:{self._console_path()}',
                '-chardev', f'socket,id=agent,path={agent},server=on,wait=off',
                '-serial', 'chardev:agent',
                *self.args, *args])
        self.vm.launch()
        self._connect(agent)

    def migrate(self):
        """Move to another QEMU, with the same arguments."""
        source = self.vm
        uri = 'unix:' + os.path.join(self.folder, f'move-{self._starts}')
        self._launch('-incoming', uri)
        source.cmd('migrate', uri=uri)
        wait_until(lambda: source.cmd('query-migrate')['status'] ==
                   'completed', f'{self.name} has moved')
        assert self.vm.event_wait('RESUME', DEADLINE)
        source.shutdown(timeout=DEADLINE)

    def _console_path(self):
        return os.path.join(self.folder, f'console-{self._starts}')

    def _connect(self, path):
        self._disconnect()
        self._agent = socket.socket(socket.AF_UNIX)
        self._agent.connect(path)

    def _disconnect(self):
        if self._agent:
            self._agent.close()
        self._agent = None
        self._pending = b''

    def wait_ready(self):
        """Wait until a guest that (re)starts takes commands."""
        end = time.monotonic() + DEADLINE
        # A reset can end a command in the middle of its output
        while not self._read_until(b'\n', end).strip().endswith(
                b'agent ready'):
            pass

    def reset(self):
        """The reset button."""
        self.vm.cmd('system_reset')
        self.wait_ready()

    def reboot(self):
        """Linux restarts itself, drivers' shutdown hooks included."""
        self.send('reboot -f')
        self.wait_ready()

    def kill(self):
        """QEMU dies at once, as by kill -9, and is gone when this returns."""
        self._disconnect()
        self.vm.kill()
        self.vm = None

    def shutdown(self):
        """QEMU ends in an orderly way.  Harmless if it has ended already."""
        self._disconnect()
        if self.vm is None:
            return
        try:
            if self.vm.is_running():
                self.vm.shutdown(timeout=DEADLINE)
            else:
                self.vm.wait(timeout=DEADLINE)
        except AbnormalShutdown as error:
            raise GuestError(f'{self.name}: QEMU did not end well: '
                             f'{error.__cause__}') from error
        if self.vm.exitcode():
            raise GuestError(f'{self.name}: QEMU ended with exit status '
                             f'{self.vm.exitcode()}\n{self.qemu_log()}')
        self.vm = None

    def running(self):
        return self.vm is not None and self.vm.is_running()

    # Commands

    def send(self, script):
        """Start a shell script in the guest and return its number."""
        number = next(self._ids)
        encoded = script.replace('\\', '\\\\').replace('\n', '\\n')
        self._agent.sendall(f'{number} {encoded}\n'.encode())
        return number

    def try_run(self, script, deadline=DEADLINE):
        """Run a shell script in the guest: its exit status and output."""
        try:
            return self.finish(self.send(script), deadline)
        except GuestError as error:
            raise GuestError(f'{error}\nwhile it ran: {script}') from error

    def finish(self, number, deadline=DEADLINE):
        """Wait for what send() started: its exit status and output."""
        end = time.monotonic() + deadline
        while True:
            output = self._read_until(b'\0', end)
            found, _, status = self._read_until(b'\n', end).rpartition(b' ')
            # Skip the rest of an earlier command that no caller waited for or
            # that a reset ended
            if found == b'%d' % number:
                return int(status), output.decode(errors='replace')

    def run(self, script, deadline=DEADLINE):
        """Run a shell script that must succeed, and return its output."""
        status, output = self.try_run(script, deadline)
        if status != 0:
            raise GuestError(f'{self.name}: exit status {status} of: {script}'
                             f'\n{output}')
        return output

    def _receive(self, end):
        """Get more from the agent; whatever is wrong with the guest ends up
        here, because then nothing comes."""
        while True:
            self._agent.settimeout(1)
            try:
                data = self._agent.recv(65536)
            except socket.timeout:
                data = None
            except ConnectionError:
                data = b''
            if data:
                self._pending += data
                return
            if data == b'':
                raise GuestError(f'{self.name}: QEMU is gone\n'
                                 f'{self.qemu_log()}')
            if 'Kernel panic' in self.console():
                raise GuestError(f'{self.name}: Linux is dead\n'
                                 f'{self.console()[-4000:]}')
            if time.monotonic() > end:
                raise GuestError(f'{self.name}: no answer in time; the end of '
                                 f'its console:\n{self.console()[-1000:]}')

    def _read_until(self, what, end):
        while what not in self._pending:
            self._receive(end)
        data, _, self._pending = self._pending.partition(what)
        return data

    # Memory

    def memory(self, address=None, size=None):
        """Return the content of the guest's RAM: all of it, or SIZE bytes."""
        if address is None:
            address = self.machine.ram
        if self.shared:
            ram = self._shared_memory()
            offset = address - self.machine.ram
            return ram if size is None else ram[offset:offset + size]
        name = os.path.join(self.folder, 'memory')
        self.vm.cmd('pmemsave', val=address, size=size or self.ram << 20,
                    filename=name)
        with open(name, 'rb') as file:
            data = file.read()
        os.unlink(name)
        return data

    def _shared_memory(self):
        """All of it as it changes, without QEMU's doing."""
        folder = f'/proc/{self.vm.get_pid()}/fd'
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if 'memfd:memory-backend-memfd' in os.readlink(path):
                with open(path, 'rb') as file:
                    return mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        raise GuestError(f'{self.name} has no memory that is shared')

    # Logs

    def console(self):
        """Return what the serial console printed since the last boot()."""
        try:
            with open(self._console_path(), errors='replace') as file:
                return file.read()
        except FileNotFoundError:
            return ''

    def qemu_log(self):
        """Return what QEMU wrote to its standard output and error."""
        path = os.path.join(self.folder, f'qemu-{self._starts}.log')
        try:
            with open(path, errors='replace') as file:
                return file.read()
        except FileNotFoundError:
            return ''

    def dmesg(self):
        return self.run('dmesg')
