# SPDX-License-Identifier: GPL-2.0-or-later
"""Four guests that exchange verified data while they are disturbed.

./ntb check has one disturbance of each kind, ./ntb check --soak an hour of them.
A seed, which is printed, chooses what happens: --seed repeats it.
"""

import collections
import hashlib
import os
import random
import re
import signal
import time

import ntbtool
from guest import GuestError, wait_until
from qemu.qmp import ExecuteError
from test_hotplug import ROOT_PORT
from test_many import peer_index, peers_of

PAGE = 4096
# Bytes of a line of data, which all lines of a page are like
LINE = 64
# Bytes that even a guest that is killed stores as a whole
WORD = 4
# Windows that each guest uses, of BAR1 and of the table of BAR2
WINDOWS = 4
PORTS = 0, 2, 4, 6
PORT = ('partitions=4,bar1-size=4K,bar2-mode=lut12,bar2-size=64K,'
        'bar4-size=4K')
# Pages that a guest sends through each window while one is disturbed
TURNS = 3
# Doorbells of each guest
BELLS = 8
# For what a guest that is alive does
DEADLINE = 600

MODULES = 'ntb', 'ntb_hw_idt', 'ntb_tool'


class Lost(AssertionError):
    """Something that was acknowledged is not there."""


class Duplicated(AssertionError):
    """Something came that was not sent, or came again."""


class Corrupted(AssertionError):
    """Data arrived that no guest has sent."""


class Stuck(AssertionError):
    """Something takes for ever."""


FAULTS = Lost, Duplicated, Corrupted, Stuck


def split_words(text):
    """Each word of a line, with its place."""
    return [(start, text[start:start + WORD])
            for start in range(0, len(text), WORD)]


class Traffic:
    """Send from all guests to all guests at the same time, and check it.

    victim  place of a guest that is disturbed meanwhile, or None
    forgets what is in the victim's registers and memory is lost
    """

    def __init__(self, soak, turns, victim=None, forgets=False):
        self.soak = soak
        self.turns = turns
        self.victim = victim
        self.forgets = forgets
        soak.number += 1
        self.number = soak.number % 0x10000
        # By (here, there, window): the turns whose data was read back
        self.acked = {}
        self.sent = {}
        self.refused = set()
        self.bells = {}
        self.begun = []

    def target(self, here, window):
        peers = self.soak.peers(here)
        return peers[(here + window + self.number) % len(peers)]

    def line(self, here, there, window, turn):
        return self.soak.line(here, there, window, self.number, turn)

    def message(self, here, there):
        return self.number << 8 | here << 4 | there

    def bell_mask(self, here):
        return sum(bit << here * BELLS for bit in self.bells[here])

    def aim_script(self, here):
        return '\n'.join(
            f'echo {self.soak.buffers[there][here, window]}:{PAGE} '
            f'>peer{self.soak.index(here, there)}/peer_mw_trans{window}'
            for window in range(WINDOWS)
            for there in [self.target(here, window)])

    def script(self, here):
        """Data through each window, read back; messages; doorbells.  Prints
        a line for what is done."""
        lines = ['echo c 0xf >msg_sts']
        rng = self.soak.random
        self.bells[here] = [1 << bit for bit in range(BELLS)
                            if rng.random() < .5]
        for turn in range(self.turns):
            for window in range(WINDOWS):
                there = self.target(here, window)
                file = f'peer{self.soak.index(here, there)}/peer_mw{window}'
                lines += [
                    f"x='{self.line(here, there, window, turn)}'; " +
                    'x=$x$x; ' * 6 + f'printf %s "$x" >{file}',
                    'printf %s "$x" >/tmp/sent',
                    f'! cmp -s /tmp/sent {file} || '
                    f'echo window {window} {turn}']
                self.sent[here, there, window] = turn
        for there in self.soak.peers(here):
            register = self.register(here, there)
            lines += [f'echo {self.message(here, there):#x} '
                      f'>peer{self.soak.index(here, there)}/msg{register}',
                      # A message that was refused says so in its bit
                      f'echo message {there} $(cat msg_sts)']
        lines += [f'echo s {bit << here * BELLS:#x} >peer_db'
                  for bit in self.bells[here]]
        return '\n'.join(lines)

    def register(self, here, there):
        """Inbound: three guests, each another one.  The driver lets outbound
        register n go to inbound register n."""
        return (there - here) % len(PORTS) - 1

    def begin(self):
        """All send.  A guest that is reset while it gets a long script would
        go on with the rest of it."""
        self.soak.all_tools([
            f'{self.aim_script(here)}\n'
            f"cat >/tmp/traffic <<'END'\n{self.script(here)}\nEND"
            for here in self.soak.everybody])
        self.begun = [tool.send('. /tmp/traffic')
                      for tool in self.soak.tools]

    def end(self):
        """All have sent; take what they say of it."""
        for here, tool in enumerate(self.soak.tools):
            if here == self.victim and self.forgets:
                continue
            status, output = self.soak.finish(tool, self.begun[here])
            if status:
                raise Stuck(f'{tool.guest.name}: {output}')
            for word, first, second in re.findall(
                    r'^(window|message) (\d+) (\S+)$', output, re.M):
                if word == 'window':
                    window = int(first)
                    self.acked[here, self.target(here, window), window] = \
                        int(second)
                elif int(second, 0) & 1 << self.register(here, int(first)):
                    self.refused.add((here, int(first)))

    # Checks

    def is_touched(self, *places):
        return self.victim in places

    def check(self):
        """Check that all arrived, except at a guest that has forgotten it."""
        there = [place for place in self.soak.everybody
                 if not (self.forgets and place == self.victim)]
        self.check_registers(there)
        self.check_windows(there)

    def check_registers(self, places):
        texts = self.soak.all_tools([
            'cat db; for n in 0 1 2; do cat msg$n; done; cat msg_sts\n'
            'echo c 0xffffffff >db; echo c 0xf000f >msg_sts; cat db'
            if place in places else None
            for place in self.soak.everybody])
        for there in places:
            words = texts[there].split()
            self.check_bells(there, int(words[0], 0), int(words[5], 0))
            for here in self.soak.peers(there):
                register = self.register(here, there)
                self.check_message(
                    here, there, words[1 + register],
                    int(words[4], 0) >> 16 & 1 << register)

    def check_bells(self, there, seen, later):
        name = self.soak.guests[there].name
        for here in self.soak.everybody:
            want = self.bell_mask(here)
            bits = (1 << BELLS) - 1 << here * BELLS
            if seen & bits & ~want:
                raise Duplicated(f'{name}: doorbells {seen & bits:#x}, '
                                 f'{want:#x} were rung')
            if want & ~seen and not (self.forgets and here == self.victim):
                raise Lost(f'{name}: doorbells {seen & bits:#x}, {want:#x} '
                           'were rung')
            self.soak.count('doorbells', bin(seen & bits).count('1'))
        if later:
            raise Duplicated(f'{name}: doorbells {later:#x} came later')

    def check_message(self, here, there, text, full):
        name = self.soak.guests[there].name
        want = f'0x{self.message(here, there):08x}<-' \
               f'{self.soak.index(there, here)}'
        loose = self.forgets and here == self.victim
        if full and text != want:
            raise Duplicated(f'{name}: message {text}, {want} was sent')
        if not full and not loose:
            raise Lost(f'{name}: message {want} was ' +
                       ('refused' if (here, there) in self.refused else 'lost'))
        if full and (here, there) in self.refused:
            raise Duplicated(f'{name}: message {want} was refused')
        self.soak.count('messages', bool(full))

    def check_windows(self, places):
        files = {there: [(here, window) for here in self.soak.peers(there)
                         for window in range(WINDOWS)
                         if self.target(here, window) == there]
                 for there in self.soak.everybody}

        def name(there, here, window):
            return f'peer{self.soak.index(there, here)}/mw{window}'

        texts = self.soak.all_tools([
            'sha256sum ' + ' '.join(name(there, *file)
                                    for file in files[there])
            if there in places and files[there] else None
            for there in self.soak.everybody])
        for there in places:
            for (here, window), found in zip(files[there],
                                             texts[there].splitlines()):
                self.check_window(here, there, window, found.split()[0],
                                  name(there, here, window))

    def check_window(self, here, there, window, digest, file):
        way = here, there, window
        last = self.sent[way]
        if digest == self.digest(here, there, window, last):
            self.soak.count('pages')
            if not self.is_touched(here, there) and \
                    self.acked.get(way) != last:
                raise Corrupted(f'{self.name(way)} reads otherwise than it is')
            return
        # Some lines may be older, but not than what was read back
        data = self.soak.tools[there].run(f'cat {file}').ljust(PAGE, '\0')
        words = self.soak.sent_words(way) if here in self.soak.killed else None
        known = {self.line(here, there, window, turn): turn
                 for turn in range(last + 1)}
        acked = self.acked.get(way, -1)
        for start in range(0, PAGE, LINE):
            text = data[start:start + LINE]
            turn = known.get(text, -1)
            if turn < 0 and text.strip('\0') and \
                    not self.soak.is_older(here, there, window, text) and \
                    not (words and words >= set(split_words(text))):
                raise Corrupted(f'{self.name(way)} at {start:#x}: {text!r}')
            if turn < acked:
                raise Lost(f'{self.name(way)} at {start:#x}: {text!r}, but '
                           f'turn {acked} was read back')
        if not self.is_touched(here, there):
            raise Lost(f'{self.name(way)}: turn {last} is not there:\n{data}')
        self.soak.count('pages of disturbed guests')

    def digest(self, here, there, window, turn):
        return hashlib.sha256(
            self.line(here, there, window, turn).encode() *
            (PAGE // LINE)).hexdigest()

    def name(self, way):
        here, there, window = way
        return (f'{self.soak.guests[here].name} to '
                f'{self.soak.guests[there].name}, window {window}')


class Soak:
    """A and B have each other's memory mapped, C uses requests only, and D is
    used by requests only."""

    def __init__(self, lab, seed):
        self.random = random.Random(seed)
        self.nonce = f'{seed}'
        self.number = 0
        self.killed = set()
        self.counted = collections.Counter()
        self.everybody = range(len(PORTS))
        self.buffers = [{} for _ in PORTS]
        self.tools = [None for _ in PORTS]
        self.switch = lab.switch
        self.guests = lab.guests
        lab.expect_qemu_log(
            'ivshmem-server|new server|Unable to connect|is not shared|'
            'memory-backend-memfd|reconnect-ms|'
            'has not given up its windows|windows onto the memory of port')
        for name, port in zip('ABCD', PORTS):
            options = f'port={port},bus=port1,{PORT}'
            if name == 'C':
                options += ',direct=off'
            lab.guest(name, [*ROOT_PORT,
                             *lab.switch.port(options, reconnect=True)],
                      boot=False, modules=(), ram=128, shared=name != 'D',
                      append='pci=noaer')
        lab.boot_all()

    # Helpers of Traffic

    def count(self, what, times=1):
        self.counted[what] += times

    def peers(self, here):
        return peers_of(here, self.everybody)

    index = staticmethod(peer_index)

    def finish(self, tool, number):
        try:
            return tool.guest.finish(number, DEADLINE)
        except GuestError as error:
            raise Stuck(str(error)) from error

    def all_tools(self, scripts):
        """Run a script in each guest, all at the same time; the outputs.
        None leaves a guest out."""
        begun = [script is not None and tool.send(script)
                 for tool, script in zip(self.tools, scripts)]
        outputs = []
        for tool, number in zip(self.tools, begun):
            status, output = self.finish(tool, number) if number else (0, '')
            if status:
                raise Stuck(f'{tool.guest.name}: {output}')
            outputs.append(output)
        return outputs

    def line(self, here, there, window, number, turn):
        text = f'{here}>{there} {window} {number:05} {turn:02} '
        return text + hashlib.sha256(
            (self.nonce + text).encode()).hexdigest()[:LINE - len(text)]

    def sent_words(self, way):
        """All words that were sent this way: a guest that is killed in the
        middle of a line leaves words of two lines there, or zeros."""
        return {*split_words('\0' * LINE),
                *(word for number in range(self.number + 1)
                  for turn in range(TURNS)
                  for word in split_words(self.line(*way, number, turn)))}

    def is_older(self, here, there, window, text):
        """A whole line that was sent some time ago."""
        found = re.match(rf'{here}>{there} {window} (\d+) (\d+) ', text)
        return found and text == self.line(here, there, window,
                                           int(found[1]), int(found[2]))

    # Guests that come

    def connect(self, places):
        """The guests in PLACES are there again: load the driver, bring all
        links up, have buffers, and clear what came at the start."""
        for place in places:
            guest = self.guests[place]
            for module in MODULES:
                guest.run(f'load {module}')
            wait_until(lambda g=guest: g.run(
                f'echo {ntbtool.ALL}').strip() != ntbtool.ALL,
                       f'{guest.name} has found its port')
            self.tools[place] = ntbtool.Tool(guest)
            self.tools[place].write('link', 'Y')
        for tool in self.tools:
            wait_until(lambda t=tool: 'N' not in t.read('peer*/link'),
                       f'{tool.guest.name} has all links')
            self.count('links that came up', len(places))
        for place in places:
            self.buffers[place] = self.allocate(place)
        self.all_tools(['echo s 0xffffffff >db_mask; echo c 0xffffffff >db; '
                        'echo c 0xf000f >msg_sts'] * len(PORTS))

    def allocate(self, place):
        text = self.tools[place].run(
            f'for peer in 0 1 2; do for n in $(seq 0 {WINDOWS - 1}); do '
            f'echo {PAGE} >peer$peer/mw_trans$n; cat peer$peer/mw_trans$n; '
            'done; done')
        found = [int(address, 16)
                 for address in re.findall(r'DMA Address\s+(\S+)', text)]
        assert len(found) == 3 * WINDOWS, text
        return dict(zip([(peer, window) for peer in self.peers(place)
                         for window in range(WINDOWS)], found))

    # Disturbances, each of the guest in a place, in the middle of a traffic

    def sleep(self):
        time.sleep(self.random.uniform(0, .5))

    def stop_and_continue(self, place):
        self.guests[place].vm.cmd('stop')
        self.sleep()
        self.guests[place].vm.cmd('cont')

    def freeze(self, place):
        pid = self.guests[place].vm.get_pid()
        os.kill(pid, signal.SIGSTOP)
        self.sleep()
        os.kill(pid, signal.SIGCONT)

    def restart_server(self, place):
        del place
        self.switch.kill()
        self.sleep()
        self.switch.start()

    def kill(self, place):
        self.guests[place].kill()

    def reset(self, place):
        self.guests[place].vm.cmd('system_reset')

    def unplug(self, place):
        """As a person would, who first ends what uses it."""
        guest = self.guests[place]
        tool = self.tools[place]
        self.finish(tool, self.traffic.begun[place])
        # Unloaded with open windows, ntb_tool removes their files twice
        tool.run('for file in peer*/peer_mw_trans[0-3]; do echo 0:0 >$file; '
                 'done; for file in peer*/mw_trans[0-3]; do echo 0 >$file; '
                 'done')
        wait_until(lambda: self.ask_unplug(guest), 'the slot is not busy')
        if guest.vm.event_wait('DEVICE_DELETED', timeout=DEADLINE,
                               match={'data': {'device': 'ntb'}}) is None:
            raise Stuck(f'{guest.name}: the device is not unplugged')

    @staticmethod
    def ask_unplug(guest):
        try:
            guest.vm.cmd('device_del', id='ntb')
        except ExecuteError as error:
            if 'busy' in str(error):
                return False
            raise
        return True

    def come_back(self, kind, place):
        """Bring a guest back when no other one writes into its memory."""
        guest = self.guests[place]
        for other in self.peers(place):
            wait_until(lambda o=other: self.tools[o].read(
                f'peer{self.index(o, place)}/link') == 'N',
                       f'{self.guests[other].name} sees the link down')
            self.count('links that went down')
        if kind == 'kill':
            guest.boot()
        elif kind == 'reset':
            guest.wait_ready()
        else:
            options = guest.args[guest.args.index('-device', 2) + 1]
            said = guest.vm.cmd('human-monitor-command',
                                command_line=f'device_add {options}')
            assert said == ''
        self.connect([place])

    # Disturbances in which a guest loses its registers and memory
    FORGETS = 'kill', 'reset', 'unplug'
    KINDS = {'stop_and_continue': 'stop, cont', 'freeze': 'SIGSTOP, SIGCONT',
             'restart_server': 'server restarts', 'kill': 'kill -9',
             'reset': 'resets', 'unplug': 'unplugs, replugs'}

    def disturb(self, kind):
        victim = self.random.choice(self.everybody)
        if kind in self.FORGETS:
            self.killed.add(victim)
        self.traffic = Traffic(
            self, TURNS, victim if kind != 'restart_server' else None,
            kind in self.FORGETS)
        self.traffic.begin()
        self.sleep()
        getattr(self, kind)(victim)
        self.traffic.end()
        self.traffic.check()
        if kind in self.FORGETS:
            self.come_back(kind, victim)
        self.count(self.KINDS[kind])

    def calm(self):
        """All gets through, and all are woken up by an interrupt."""
        traffic = Traffic(self, 1)
        traffic.begin()
        traffic.end()
        traffic.check()
        bell = 1 << self.random.randrange(32)
        self.all_tools([
            'echo c 0xffffffff >db_mask\nrm -f /tmp/woken\n'
            f'(echo {bell:#x} >db_event; echo $? >/tmp/woken) '
            '>/dev/null 2>&1 &\n'
            'until [ "$(cat /proc/$!/wchan)" = tool_db_event_write ]; do '
            'usleep 10000; done'] * len(PORTS))
        self.random.choice(self.tools).write('peer_db', f's {bell:#x}')
        texts = self.all_tools([
            'until [ -s /tmp/woken ]; do usleep 10000; done; cat /tmp/woken\n'
            'echo s 0xffffffff >db_mask; echo c 0xffffffff >db'] * len(PORTS))
        assert [text.strip() for text in texts] == ['0'] * len(PORTS)
        self.count('interrupts', len(PORTS))

    def rounds(self, minutes):
        """One of each kind, then any until the time is over."""
        end = time.monotonic() + 60 * minutes
        kinds = self.random.sample(sorted(self.KINDS), len(self.KINDS))
        while kinds or time.monotonic() < end:
            yield kinds.pop() if kinds else \
                self.random.choice(sorted(self.KINDS))

    def run(self, minutes):
        begin = time.monotonic()
        self.connect(self.everybody)
        for number, kind in enumerate(self.rounds(minutes), 1):
            print(f'{time.monotonic() - begin:.0f} s: {number} {kind}',
                  flush=True)
            self.disturb(kind)
            self.calm()
            self.count('rounds')


def test_soak(lab, pytestconfig, record_property):
    minutes = pytestconfig.getoption('soak') and \
        pytestconfig.getoption('minutes')
    seed = pytestconfig.getoption('seed') or f'{random.getrandbits(32)}'
    record_property('seed', seed)
    print(f'seed {seed}', flush=True)
    soak = Soak(lab, seed)
    faults = dict.fromkeys(FAULTS, 0)
    try:
        soak.run(minutes)
    except GuestError as error:
        faults[Stuck] += 1
        raise Stuck(str(error)) from error
    except FAULTS as error:
        faults[type(error)] += 1
        raise
    finally:
        print('\n'.join(f'{times:10} {what}'
                        for what, times in sorted(soak.counted.items())))
        print(', '.join(f'{times} {fault.__name__.lower()}'
                        for fault, times in faults.items()), flush=True)
