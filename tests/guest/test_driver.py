# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux's ntb_hw_idt on the device: probe, sensor, interrupts, unloading."""

import re

import pingpong
import pytest

PORT = '/sys/bus/pci/drivers/ntb_hw_idt/0000:*'
DRIVER = '/sys/bus/pci/drivers/ntb_hw_idt'
HWMON = '/sys/class/hwmon/hwmon0'

# The family: device IDs, and the ports that can have an NT function
CHIPS = {
    '89HPES24NT6AG2': (0x8091, [0, 2, 4, 6, 8, 12]),
    '89HPES32NT8AG2': (0x808f, [0, 2, 4, 6, 8, 12, 16, 20]),
    '89HPES32NT8BG2': (0x8088, [0, 2, 4, 6, 8, 12, 16, 20]),
    '89HPES12NT12G2': (0x8092, [0, 8, 16]),
    '89HPES16NT16G2': (0x8090, [0, 8, 12, 16]),
    '89HPES24NT24G2': (0x808e, [0, 2, 4, 6, 8, 12, 16, 20]),
    '89HPES32NT24AG2': (0x808c, [0, 2, 4, 6, 8, 12, 16, 20]),
    '89HPES32NT24BG2': (0x808a, [0, 2, 4, 6, 8, 12, 16, 20]),
}
FIRST_SLOT = 2


# Probing

@pytest.mark.guests
@pytest.mark.machines('newest')
def test_probe_log(guests):
    """The driver names the chip and has nothing to complain about."""
    log = guests[0].run("dmesg | grep 'ntb_hw_idt 0000:'")
    assert 'IDT 89HPES24NT6AG2 discovered' in log
    assert 'IDT NTB device is ready' in log
    assert 'AER capability disabled' not in log
    # The raw log has the level of each line: 5 is a notice
    for line in guests[0].run('dmesg -r').splitlines():
        match = re.match(r'<(\d+)>', line)
        if match and 'ntb_hw_idt' in line:
            assert int(match[1]) & 7 >= 5, line


def capabilities(position, size, get):
    found = {}
    while position:
        ident, position_next = get(position)
        found[ident] = position
        position = position_next
        assert len(found) < size
    return found


@pytest.mark.guests
@pytest.mark.machines('newest')
def test_capabilities(guests):
    """The PCI core sees the chip's link, MSI, AER and serial number."""
    guest = guests[0]
    device = guest.run(f'readlink -f {PORT}').strip()
    assert guest.run(
        f'cd {device}; cat vendor device class current_link_speed '
        'current_link_width max_link_speed max_link_width').splitlines() == [
            '0x111d', '0x8091', '0x068000', '5.0 GT/s PCIe', '4',
            '5.0 GT/s PCIe', '4']
    assert guest.run(f'ls {device}/msi_irqs | wc -l').strip() == '1'
    # Only there when the kernel handles AER for it
    guest.run(f'cat {device}/aer_dev_fatal')
    config = bytes.fromhex(guest.run(
        f'hexdump -ve \'1/1 "%02x"\' {device}/config'))
    assert len(config) == 4096
    plain = capabilities(config[0x34], 48, lambda at: (
        config[at], config[at + 1]))
    assert plain == {0x10: 0x40, 0x01: 0xc0, 0x05: 0xd0, 0x0d: 0xf0}
    extended = capabilities(0x100, 960, lambda at: (
        int.from_bytes(config[at:at + 2], 'little'),
        int.from_bytes(config[at + 2:at + 4], 'little') >> 4))
    assert (extended[0x01], extended[0x03]) == (0x100, 0x180)


def test_family(lab):
    """All chips of the family at the same time, each on a switch that has
    all ports that it can have."""
    args = []
    for slot, (chip, (_, ports)) in enumerate(CHIPS.items(), FIRST_SLOT):
        # Neither the first port nor the last one
        args += lab.add_switch(chip).port(
            f'chip={chip},partitions={len(ports)},port={ports[1]},'
            'bar2-size=128K', name=f'ntb{slot}', slot=slot)
    guest = lab.guest('A', args, modules=('ntb', 'ntb_hw_idt'))
    log = guest.dmesg()
    for slot, (chip, (device, ports)) in enumerate(CHIPS.items(), FIRST_SLOT):
        name = f'0000:00:{slot:02x}.0'
        path = f'/sys/bus/pci/devices/{name}'
        assert guest.run(
            f'cat {path}/vendor {path}/device {path}/hwmon/*/name'
        ).split() == ['0x111d', f'{device:#06x}', chip]
        assert f'ntb_hw_idt {name}: IDT {chip} discovered' in log
        assert f'ntb_hw_idt {name}: IDT NTB device is ready' in log
        info = guest.run(f'cat /sys/kernel/debug/ntb_hw_idt/info:{name}')
        assert f'Local Port {ports[1]}, Partition 1\n' in info, chip
        assert re.findall(r'\t(\d+)\. Port (\d+), Partition (\d+)\n',
                          info) == [
            (str(index), str(ports[partition]), str(partition))
            for index, partition in enumerate([0, *range(2, len(ports))])]


# The sensor, which is the switch's, in Linux's hwmon of each guest

sensor = pytest.mark.guests(modules=('ntb', 'ntb_hw_idt'))


def check_sensor(guests, **want):
    for guest in guests:
        assert guest.run(f'cat {HWMON}/name').strip() == '89HPES24NT6AG2'
        values = guest.run(f'cd {HWMON}; cat ' + ' '.join(
            f'temp1_{name}' for name in want)).split()
        assert dict(zip(want, map(int, values))) == want, guest.name


def set_temperature(guest, millidegrees):
    guest.vm.cmd('qom-set', path='/machine/peripheral/ntb',
                 property='temperature', value=millidegrees)


def write_sensor(guest, name, value):
    guest.run(f'echo {value} >{HWMON}/temp1_{name}')


@sensor
def test_temperature_history(guests):
    """Both guests see the sensor, its lowest and its highest value."""
    guest_a, guest_b = guests
    set_temperature(guest_a, 40000)
    write_sensor(guest_b, 'reset_history', 1)
    check_sensor(guests, input=40000, lowest=40000, highest=40000)
    set_temperature(guest_b, 71500)
    check_sensor(guests, input=71500, lowest=40000, highest=71500)
    set_temperature(guest_a, 12500)
    check_sensor(guests, input=12500, lowest=12500, highest=71500)
    set_temperature(guest_a, 40000)
    write_sensor(guest_a, 'reset_history', 1)
    check_sensor(guests, input=40000, lowest=40000, highest=40000)


@sensor
def test_temperature_offset(guests):
    """It is added to what is measured; any guest sets it for all."""
    set_temperature(guests[0], 40000)
    for writer, offset in zip(guests, (5500, -8000)):
        write_sensor(writer, 'offset', offset)
        check_sensor(guests, offset=offset, input=40000 + offset)
    write_sensor(guests[0], 'offset', 0)
    check_sensor(guests, offset=0, input=40000)


# The game by either kind of interrupt

def use_msi(guest, msi):
    """From the next load of the driver on.  pci=nomsi would take AER from
    the kernel, too."""
    guest.run('for file in $(grep -l 0x111d /sys/bus/pci/devices/*/vendor); '
              f'do echo {int(msi)} >"${{file%/*}}/msi_bus"; done')


def interrupts(guest):
    """The line of /proc/interrupts: how many, which kind."""
    words = guest.run('grep ntb_irq_idt /proc/interrupts').split()
    return int(words[1]), words[2]


def check_interrupts(guest, kind):
    count, found = interrupts(guest)
    assert kind in found
    assert count > 0
    # Each ping is an interrupt, unless two came at once.  Interrupts between
    # the two reads only add to the count.
    count, pings = interrupts(guest)[0], pingpong.count(guest)
    pingpong.wait_growing([guest], pings=200)
    pings = pingpong.count(guest) - pings
    assert interrupts(guest)[0] - count > 0.5 * pings


@pytest.mark.guests(modules=())
@pytest.mark.parametrize('msi', [(True, True), (False, False), (True, False)],
                         ids=['msi', 'intx', 'msi-intx'])
def test_interrupts(guests, msi):
    try:
        for guest, by_msi in zip(guests, msi):
            use_msi(guest, by_msi)
            guest.run('load ntb && load ntb_hw_idt && load ntb_pingpong')
        pingpong.wait_growing(guests, pings=200)
        for guest, by_msi in zip(guests, msi):
            check_interrupts(guest, 'PCI-MSI' if by_msi else 'IO-APIC')
    finally:
        for guest in guests:
            use_msi(guest, True)


# Modules come and go on either side; the other notices and goes on

@pytest.mark.guests
@pytest.mark.parametrize('unload,load', [
    ('rmmod ntb_pingpong', 'load ntb_pingpong'),
    ('rmmod ntb_pingpong; rmmod ntb_hw_idt',
     'load ntb_hw_idt && load ntb_pingpong')], ids=['client', 'driver'])
def test_unload(guests, unload, load):
    pingpong.wait_growing(guests)
    for here, there in (guests, guests[::-1]):
        for _ in range(2):
            here.run(unload)
            pingpong.wait_links(there, 0)
            stopped = pingpong.wait_stopped(there)
            here.run(load)
            pingpong.wait_links(there, 1)
            pingpong.wait_growing(guests)
            assert pingpong.count(there) > stopped


@pytest.mark.guests
@pytest.mark.parametrize('reset', [False, True], ids=['unbind', 'reset'])
def test_unbind(guests, reset):
    """The driver lets go of the device and takes it again; a reset of the
    function meanwhile makes no difference to that."""
    pingpong.wait_growing(guests)
    for here, there in (guests, guests[::-1]):
        name = here.run(f'basename {PORT}').strip()
        here.run(f'echo {name} >{DRIVER}/unbind')
        if reset:
            here.run(f'echo 1 >/sys/bus/pci/devices/{name}/reset')
        pingpong.wait_links(there, 0)
        here.run(f'echo {name} >{DRIVER}/bind')
        pingpong.wait_growing(guests)
