#!/usr/bin/env python3
#
# Functional test of idt-ntb: two Linux guests play ntb_pingpong
#
# SPDX-License-Identifier: GPL-2.0-or-later

import os
import subprocess
import time
from unittest import skipUnless

from qemu_test import QemuSystemTest, wait_for_console_pattern

KERNEL = os.getenv('IDT_NTB_KERNEL')
INITRD = os.getenv('IDT_NTB_INITRD')

# Fails unless the guest's counter of pings passes 100
COUNT = ('file=$(echo /sys/kernel/debug/ntb_pingpong/*/count); '
         'until [ $(($(cat $file))) -gt 100 ]; do usleep 100000; done; '
         'echo "counted: $?"')


@skipUnless(KERNEL and INITRD,
            'set IDT_NTB_KERNEL to a Linux kernel, and IDT_NTB_INITRD to an '
            'initramfs that mounts debugfs, loads ntb, ntb_hw_idt and '
            'ntb_pingpong, and starts a shell on ttyS0')
class IdtNtb(QemuSystemTest):

    def start_server(self):
        """Start the ivshmem-server that is the switch."""
        socket = os.path.join(self.socket_dir().name, 'switch')
        memory = f'idt-ntb-functional-{os.getpid()}'
        server = subprocess.Popen(
            [self.build_file('contrib', 'ivshmem-server', 'ivshmem-server'),
             '-F', '-S', socket, '-M', memory], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        while not os.path.exists(socket):
            self.assertIsNone(server.poll(), 'ivshmem-server ended')
            time.sleep(0.1)
        return socket

    def start_guest(self, name, socket):
        vm = self.get_vm(name=name)
        vm.set_console()
        vm.add_args(
            '-accel', 'tcg', '-m', '256M', '-nodefaults',
            '-machine', 'memory-backend=ram',
            '-object', 'memory-backend-memfd,id=ram,size=256M,share=on',
            '-kernel', KERNEL, '-initrd', INITRD, '-append',
            'console=ttyS0 nowatchdog ntb_pingpong.delay_ms=1 '
            'guest.modules=ntb,ntb_hw_idt,ntb_pingpong',
            '-chardev', f'socket,id=ntb,path={socket}',
            '-device', 'idt-ntb,chardev=ntb')
        vm.launch()
        return vm

    def test_pingpong(self):
        self.set_machine('q35')
        self.require_accelerator('tcg')
        self.require_device('idt-ntb')
        socket = self.start_server()
        guests = [self.start_guest(name, socket) for name in ('A', 'B')]
        for guest in guests:
            wait_for_console_pattern(self, '# ', 'Kernel panic', vm=guest)
        for guest in guests:
            guest.console_socket.sendall(f'{COUNT}\r'.encode())
            wait_for_console_pattern(self, 'counted: 0', 'Kernel panic',
                                     vm=guest)


if __name__ == '__main__':
    QemuSystemTest.main()
