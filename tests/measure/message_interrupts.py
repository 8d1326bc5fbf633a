"""An e1000e that interrupts by MSI, programmed from outside by QEMU's qtest protocol: real QEMU, real card.

Its processor is halted by a firmware of four bytes, so that nobody else touches the card, and the clock goes
on, by which the card spaces its interrupts.

Linux's e1000e tries MSI before it uses it, and takes the pin where that fails, as it does on QEMU; no guest
that Debian has takes another way. Registers: Intel's 82574 datasheet; configuration space: PCI 3.0.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from qtrace.lab.guest.guest import find_qemu
from qtrace.lab.host.netns import open_namespace

__all__ = ["Card", "open_card"]

_ADDRESS, _DATA = 0xCF8, 0xCFC  # PCI's two ports
_FUNCTION = 1 << 31 | 3 << 11  # bus 0, slot 3
_BAR = 0xFE000000
_ICR, _ICS, _IMS = 0xC0, 0xC8, 0xD0
_LINK = 1 << 2  # LSC: the link's state has changed
_MSI = 0x05  # the capability's id
_FIRMWARE = bytes(0xFFF0) + b"\xfa\xf4\xeb\xfd".ljust(16, b"\0")  # at the reset vector: cli; hlt; jmp
_HERE, _THERE = ("127.0.0.1", 7001), ("127.0.0.1", 7002)


class Card:
    """`pid` is QEMU's."""

    def __init__(self, pid: int, line: socket.socket, back_end: socket.socket) -> None:
        self.pid, self._back_end = pid, back_end
        self._file = line.makefile("rw")

    def use_messages(self) -> None:
        """Place the registers, let the card be master of the bus, and have it interrupt by MSI."""
        self._configure(0x10, _BAR)
        self._configure(0x04, 0x6)
        at = self._configured(0x34) & 0xFF
        while self._configured(at) & 0xFF != _MSI:
            at = self._configured(at) >> 8 & 0xFF
        self._configure(at + 4, 0xFEE00000)
        self._configure(at + 8, 0)
        self._configure(at + 12, 0x41)
        self._configure(at, self._configured(at) | 1 << 16)
        self._say(f"writel {_BAR + _IMS:#x} {_LINK:#x}")

    def interrupt(self, count: int) -> None:
        """So many times, each acknowledged at once: a release may repeat a message whose cause still waits
        when the card's interval is over (e1000e_intrmgr_on_throttling_timer, 128 us of QEMU's clock)."""
        for _ in range(count):
            # Both come before QEMU's loop looks at its timers.
            self._say(f"writel {_BAR + _ICS:#x} {_LINK:#x}\nreadl {_BAR + _ICR:#x}", answers=2)
            time.sleep(0.05)
            self._say(f"readl {_BAR + _IMS:#x}")  # the loop has turned: the interval's timer has run

    def receive(self) -> None:
        """A frame for the card comes from its back end; it waits there, because no driver gives buffers."""
        self._back_end.sendto(bytes(60), _HERE)

    def _configure(self, register: int, value: int) -> None:
        self._say(f"outl {_ADDRESS:#x} {_FUNCTION | register:#x}")
        self._say(f"outl {_DATA:#x} {value:#x}")

    def _configured(self, register: int) -> int:
        self._say(f"outl {_ADDRESS:#x} {_FUNCTION | register:#x}")
        return int(self._say(f"inl {_DATA:#x}").split()[1], 0)

    def _say(self, commands: str, answers: int = 1) -> str:
        self._file.write(f"{commands}\n")
        self._file.flush()
        for _ in range(answers):
            answer = self._file.readline().strip()
            assert answer.startswith("OK"), (commands, answer)
        return answer


@contextlib.contextmanager
def open_card(folder: Path) -> Iterator[Card]:
    """QEMU with the card on a UDP socket, in a namespace of its own; gone when the block ends."""
    (folder / "firmware").write_bytes(_FIRMWARE)
    with contextlib.ExitStack() as stack:
        space = stack.enter_context(open_namespace())
        back_end = stack.enter_context(space.make(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
        back_end.bind(_THERE)
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(folder / "qtest"))
        listener.listen(1)
        listener.settimeout(120)
        argv = [str(find_qemu()), *("-machine", "pc", "-accel", "tcg", "-bios", str(folder / "firmware"))]
        argv += ["-nodefaults", "-display", "none", "-qtest", f"unix:{folder / 'qtest'}"]
        argv += ["-netdev", "socket,id=net0,udp={}:{},localaddr={}:{}".format(*_THERE, *_HERE)]
        argv += ["-device", "e1000e,netdev=net0,id=nic0,addr=3"]
        process = subprocess.Popen(space.argv(argv), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stack.callback(process.wait)
        stack.callback(process.kill)
        line, _ = listener.accept()
        stack.enter_context(line)
        line.settimeout(120)
        yield Card(process.pid, line, back_end)
