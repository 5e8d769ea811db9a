# SPDX-License-Identifier: GPL-2.0-or-later
"""Unmodified ntb_tool in two guests: windows, doorbells, messages, link."""

import random
import re
import struct

import ntbtool
import pytest
from guest import wait_until

MODULES = ('ntb', 'ntb_hw_idt', 'ntb_tool')
PAGE = 4096

# As a real board: BAR1, 24 entries of BAR2's lookup table, BAR4
WINDOWS = 26
# BARSETUP of BAR2: 64 bits, prefetchable, a table of 24 entries, 2^25; the same
# with 2^24
BARSETUP2 = 0x490
LUT24_32M = 0x8000119c
LUT24_16M = 0x8000118c

# The same with windows of one page, for the slow path
SMALL = 'bar1-size=4K,bar2-size=128K,bar4-size=4K'

# The warning that windows to a guest have no direct path, and its advice
SLOW = 'is not shared|memory-backend-memfd'


def shared_memory(test):
    """Two guests whose RAM is shared: the direct path."""
    return pytest.mark.guests(modules=MODULES, shared=True)(test)


def direct(test):
    return pytest.mark.machines('newest', 'arm64', 'arm64-b')(
        shared_memory(test))


def direct_mappings(guest):
    """How many of this guest's windows are the peer's memory itself."""
    return guest.vm.cmd('qom-get', path='/machine/peripheral/ntb',
                        property='direct-mappings')


def connected(guests):
    """ntb_tool in guests, whose links come up."""
    tools = [ntbtool.Tool(guest) for guest in guests]
    ntbtool.connect(*tools)
    return tools


@pytest.fixture
def tools(guests):
    tools = [ntbtool.Tool(guest) for guest in guests]
    for tool in tools:
        assert tool.windows == WINDOWS
    yield tools
    # Unloaded with open windows, ntb_tool removes their files twice
    for tool in tools:
        if tool.guest.running():
            tool.close()
            tool.free()


def transfer(sender, receiver, size=1 << 20):
    """Random data through all windows of SENDER, checked afterwards in
    the receiver's memory, and then read back through the windows."""
    buffers = receiver.allocate(size)
    assert len(buffers) == WINDOWS
    sender.open(buffers)
    numbers = range(WINDOWS)
    sent = sender.run(sender.fill_script(
        numbers, [size for _, size in buffers])).splitlines()
    assert len(set(sent)) == WINDOWS
    assert receiver.digests('mw', numbers) == sent
    assert sender.digests('peer_mw', numbers) == sent


def transfer_at_once(tools):
    """Both guests write through all of their windows at the same time,
    each with two processes."""
    all_buffers = [tool.allocate(1 << 20) for tool in tools]
    for tool, buffers in zip(tools, reversed(all_buffers)):
        assert len(buffers) == WINDOWS
        tool.open(buffers)
    halves = range(0, WINDOWS, 2), range(1, WINDOWS, 2)
    started = [tool.send(
        ''.join('{\n' + tool.fill_script(
            half, [size for _, size in buffers]) +
            f'\n}} >/tmp/half{number} &\n'
            for number, half in enumerate(halves)) +
        'wait; cat /tmp/half0 /tmp/half1')
        for tool, buffers in zip(tools, reversed(all_buffers))]
    ended = [tool.finish(number)
             for tool, number in zip(tools, started)]
    for receiver, (status, output) in zip(reversed(tools), ended):
        assert status == 0, output
        assert receiver.digests('mw', [*halves[0], *halves[1]]) == \
            output.splitlines()


@direct
def test_windows(guests, tools):
    ntbtool.connect(*tools)
    for sender, receiver in (tools, tools[::-1]):
        transfer(sender, receiver)
    for guest in guests:
        assert direct_mappings(guest) == WINDOWS
    for tool in tools:
        tool.close()
        assert direct_mappings(tool.guest) == 0


@direct
def test_windows_without_link(guests, tools):
    """A guest that has its link disabled reaches nothing through its
    windows: they drop its writes and read as all ones.  Writes of others
    arrive as before."""
    sender, receiver = tools
    ones = sender.run('tr "\\0" "\\377" </dev/zero | head -c 4096 | '
                      'sha256sum')
    # One of each kind of BAR
    numbers = 0, 1, WINDOWS - 1
    sizes = [4096] * WINDOWS
    ntbtool.connect(*tools)
    sender.open(receiver.allocate(4096))
    for down in tools:
        sent = sender.run(sender.fill_script(numbers, sizes)).splitlines()
        assert receiver.digests('mw', numbers, 4096) == sent
        assert sender.digests('peer_mw', numbers, 4096) == sent
        assert direct_mappings(sender.guest) == 3

        down.write('link', 'N')
        mapped = 0 if down is sender else 3
        assert direct_mappings(sender.guest) == mapped
        filled = sender.run(sender.fill_script(numbers,
                                               sizes)).splitlines()
        if down is receiver:
            sent = filled
        assert sender.digests('peer_mw', numbers, 4096) == (
            [ones] * 3 if down is sender else sent)
        assert receiver.digests('mw', numbers, 4096) == sent
        assert direct_mappings(sender.guest) == mapped

        ntbtool.connect(*tools)
        assert sender.digests('peer_mw', numbers, 4096) == sent


def window_sizes(guest):
    info = guest.run('cat /sys/kernel/debug/ntb_hw_idt/info:*')
    return [int(size) for size in re.findall(r'Size max (\d+)', info)]


@direct
def test_layout(guests, tools):
    """Linux gives BAR2 another size, and its old one: it finds what the
    register says when it enumerates the device again, and the other
    guest when it loads its driver."""
    guest = guests[0]
    device = guest.run('readlink -f '
                       '/sys/bus/pci/drivers/ntb_hw_idt/0000:*').strip()
    for setup, size in (LUT24_16M, 512 << 10), (LUT24_32M, 1 << 20):
        value = ''.join(f'\\x{byte:02x}'
                        for byte in struct.pack('<I', setup))
        guest.run(f'cd {device} && printf "{value}" | '
                  f'dd of=config bs=4 seek={BARSETUP2 // 4} '
                  'conv=notrunc 2>/dev/null && '
                  'echo 1 >remove && echo 1 >/sys/bus/pci/rescan')
        guests[1].run('rmmod ntb_tool ntb_hw_idt && load ntb_hw_idt')
        tools = [ntbtool.Tool(guest) for guest in guests]
        # Its own windows and the other guest's, of BAR1, BAR2 and BAR4
        assert [window_sizes(guest) for guest in guests] == [
            [1 << 20, size, 1 << 20] + [1 << 20] * 3,
            [1 << 20] * 3 + [1 << 20, size, 1 << 20]]
        if size != 1 << 20:
            ntbtool.connect(*tools)
            transfer(*tools, size)
            assert direct_mappings(guests[0]) == WINDOWS
            tools[0].close()
            tools[1].free()


@direct
def test_doorbells(guests, tools):
    """All 32, one by one, and an interrupt."""
    ntbtool.connect(*tools)
    for here, there in (tools, tools[::-1]):
        mask = there.number('db_valid_mask')
        assert mask == 0xffffffff
        there.write('db_mask', f's {mask:#x}')
        there.write('db', f'c {mask:#x}')
        seen = 0
        for bit in range(32):
            assert there.number('db') == seen
            here.write('peer_db', f's {1 << bit:#x}')
            seen |= 1 << bit
        assert there.number('db') == mask
        there.write('db', f'c {mask:#x}')
        assert there.number('db') == 0
        there.write('db_mask', f'c {mask:#x}')
        with there.event('db_event', '0x80000001', 'tool_db_event_write'):
            here.write('peer_db', 's 0x80000001')
        there.write('db', f'c {mask:#x}')


@direct
def test_messages(guests, tools):
    """All four, with the sender's index; a full one tells the sender."""
    ntbtool.connect(*tools)
    for here, there in (tools, tools[::-1]):
        bits = there.number('msg_inbits')
        for tool in tools:
            tool.write('msg_sts', f'c {bits | bits >> 16:#x}')
        there.write('msg_mask', f'c {bits:#x}')
        values = [random.getrandbits(32) for _ in range(4)]
        # The interrupt is that of the first
        with there.event('msg_event', f'{bits & -bits:#x}',
                         'tool_msg_event_write'):
            here.write('peer0/msg0', f'{values[0]:#x}')
        for number, value in enumerate(values[1:], 1):
            here.write(f'peer0/msg{number}', f'{value:#x}')
        assert there.number('msg_sts') == bits
        assert here.number('msg_sts') & 0xf == 0
        # The second one is refused, the first one stays
        here.write('peer0/msg1', '0x11111111')
        assert here.number('msg_sts') & 0xf == 2
        for number, value in enumerate(values):
            assert there.read(f'msg{number}') == f'0x{value:08x}<-0'
        there.write('msg_sts', f'c {bits:#x}')
        assert there.number('msg_sts') == 0


@direct
def test_link(guests, tools):
    """Up when both want it, down when one does not; each change wakes
    the other guest."""
    function = 'tool_peer_link_event_write'
    for here, there in (tools, tools[::-1]):
        here.write('link', 'Y')
        for tool in tools:
            assert tool.read('peer0/link') == 'N'
        with here.event('peer0/link_event', 'Y', function):
            there.write('link', 'Y')
        wait_until(lambda t=there: t.read('peer0/link') == 'Y',
                   'the link is up on both sides')
        with there.event('peer0/link_event', 'N', function):
            here.write('link', 'N')
        assert here.read('peer0/link') == 'N'
        there.write('link', 'N')


@shared_memory
@pytest.mark.parametrize('number', [0, 1], ids=['direct', 'table'])
def test_every_dword(guests, number):
    """Translated addresses that a mapping can't have, with accesses of a CPU:
    memory is mapped whole page on whole page; a translation may begin at any
    DWORD.

    The first DWORD of a window is put on each DWORD of a page in turn, and
    its own number is written there.
    """
    sender, receiver = connected(guests)
    address = receiver.allocate(1 << 20)[number][0]
    # One command a line, and all of them the shell's own: no process
    sender.run('\n'.join(
        f'echo {address + 4 * n}:1048576 >peer0/peer_mw_trans{number}\n'
        f"printf '\\x{n % 256:02x}\\x{n // 256:02x}\\0\\0' "
        f'>peer0/peer_mw{number}' for n in range(PAGE // 4)))
    sender.write(f'peer0/peer_mw_trans{number}', '0:0')
    got = bytes.fromhex(receiver.run(
        f'head -c {2 * PAGE} peer0/mw{number} | xxd -p | tr -d "\\n"'))
    # The bytes behind the page stay as they are
    assert got == b''.join(struct.pack('<I', n) for n in range(PAGE // 4)) + \
        bytes(PAGE)
    receiver.free()


@pytest.mark.machines('newest-b', 'arm64-b')
def test_windows_by_request(lab):
    """Guests whose RAM is their own: everything goes by request."""
    lab.expect_qemu_log(SLOW)
    tools = connected(lab.pair(SMALL, modules=MODULES))
    for sender, receiver in (tools, tools[::-1]):
        transfer(sender, receiver, 4096)
    for guest in lab.guests:
        assert direct_mappings(guest) == 0
        # The user is told, once: a warning and its advice
        assert len(guest.qemu_log().splitlines()) == 2, guest.qemu_log()


@pytest.mark.machines('arm64-b')
def test_windows_with_two_processors(lab):
    for name in 'AB':
        lab.guest(name, [*lab.switch.port(), '-smp', '2'], boot=False,
                  modules=MODULES, shared=True)
    lab.boot_all()
    assert [out.strip() for out in lab.run_all('nproc')] == ['2', '2']
    transfer_at_once(connected(lab.guests))


@pytest.mark.machines('newest')
@pytest.mark.parametrize('device,append', [
    ('intel-iommu', 'intel_iommu=on'),
    pytest.param('amd-iommu', '', marks=pytest.mark.everything)],
                         ids=['intel', 'amd'])
def test_windows_behind_iommu(lab, device, append):
    """B's devices see its memory through an IOMMU, where A's windows can
    only follow by request; A has none."""
    for name, args, options in (('A', [], ''),
                                ('B', ['-device', device], append)):
        lab.guest(name, [*args, *lab.switch.port(SMALL)], boot=False,
                  modules=MODULES, shared=True, append=options)
    lab.boot_all()
    guest_a, guest_b = lab.guests
    # It is on, and translates
    kind = guest_b.run(
        'cat /sys/bus/pci/drivers/ntb_hw_idt/0*/iommu_group/type')
    assert kind.strip() in ('DMA', 'DMA-FQ')
    tools = connected(lab.guests)
    for sender, receiver in (tools, tools[::-1]):
        transfer(sender, receiver, 4096)
    assert direct_mappings(guest_a) == 0
    assert direct_mappings(guest_b) == WINDOWS
    # The IOMMU reports accesses that it does not translate
    assert not re.search('DMAR.*fault|IO_PAGE_FAULT', guest_b.dmesg())
