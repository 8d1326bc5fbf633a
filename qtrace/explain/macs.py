"""A NIC's MAC address: its own, or the next free one (`qemu_macaddr_default_if_unset`, net/net.c)."""

from __future__ import annotations

from qtrace.errors import RefusedLine
from qtrace.explain.backends import parse_mac
from qtrace.explain.opts import Opts

__all__ = ["Macs"]

_BASE = "52:54:00:12:34:"
_FIRST, _LAST = 0x56, 0xFF


class Macs:
    """The number of uses of each address in QEMU's own range."""

    def __init__(self) -> None:
        self._used = dict.fromkeys(range(_FIRST, _LAST), 0)

    def checked(self, opts: Opts, text: str | None) -> str:
        """The address of an on-board NIC: the given one, else the next free one."""
        mac = ""
        if text is not None:
            found = parse_mac(text, strict=False)
            if found is None:
                raise RefusedLine(
                    f"{opts.option}: {text!r} is no MAC address", hint="it is written 52:54:00:12:34:56"
                )
            if int(found[:2], 16) & 1:
                raise RefusedLine(f"{opts.option}: {text} is a multicast address, which no NIC can have")
            mac = found
        return self.settle(mac)

    def settle(self, mac: str) -> str:
        """`mac`, or a free address if it is empty; it then counts as in use."""
        if mac and mac != "00:00:00:00:00:00":
            last = int(mac[-2:], 16)
            if mac.startswith(_BASE) and last in self._used:
                self._used[last] += 1
            return mac
        free = next((last for last, used in self._used.items() if not used), None)
        if free is None:
            return _BASE + "ff"
        self._used[free] += 1
        return f"{_BASE}{free:02x}"
