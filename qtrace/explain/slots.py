"""Buses and PCI slots: the place of each device, and whether it is possible (hw/pci/pci.c,
`qdev_find_recursive`).

Only places that the line determines are known. After a device of an unknown kind, the slots that QEMU chooses
are unknown too; written ones (`addr=`) remain known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from qtrace.errors import RefusedLine
from qtrace.explain.opts import Opts

__all__ = ["Slots", "is_pci", "parse_address"]

_ADDRESS = re.compile(r"\s*\+?(?:0[xX])?([0-9a-fA-F]+)(?:\.(?:0[xX])?([0-9a-fA-F]+))?\Z")
_ISA, _ROOTS = "isa.0", ("pci.0", "pcie.0")
_LAST_SLOT, _LAST_FUNCTION = 31, 7
_PCI_NAMES = re.compile(r"-pci(?:-non-transitional|-transitional)?\Z")
# Devices on the PCI bus, each in a slot, by names that are usual on command lines.
_USUAL = (
    *("VGA", "virtio-vga", "virtio-vga-gl", "qxl", "qxl-vga", "cirrus-vga", "intel-hda", "ich9-intel-hda"),
    *("qemu-xhci", "nec-usb-xhci", "pcie-root-port", "ioh3420", "pci-bridge", "ahci", "AC97", "nvme"),
)
_BRIDGES = ("pcie-root-port", "ioh3420", "pci-bridge", "pxb", "pxb-pcie", "pcie-pci-bridge")
# Devices on another bus that does not concern the network.
_ELSEWHERE = (
    *("isa-", "ide-", "scsi-", "hda-", "virtconsole", "virtserialport", "usb-storage", "usb-kbd"),
    *("usb-mouse", "usb-tablet", "usb-host", "usb-redir"),
)


def parse_address(text: str) -> tuple[int, int] | None:
    """(slot, function) of an `addr=`, both hexadecimal; None for other text."""
    match = _ADDRESS.match(text)
    if not match:
        return None
    slot, function = int(match[1], 16), int(match[2] or "0", 16)
    return (slot, function) if slot <= _LAST_SLOT and function <= _LAST_FUNCTION else None


def is_pci(driver: str) -> bool:
    """Whether the driver is known to be a PCI device."""
    return driver in _USUAL or bool(_PCI_NAMES.search(driver))


class Slots:
    """The devices on the machine's first PCI bus, `root`, and on buses that the line adds.

    `taken`: (slot, function) -> the machine's own device there.
    """

    def __init__(self, root: str, taken: Mapping[tuple[int, int], str]) -> None:
        self.root = root
        self.known = bool(root)  # whether the slots that QEMU chooses are known
        self._complete = True  # whether every bus so far has a known name
        self._buses: dict[str, dict[tuple[int, int], tuple[str, bool]]] = {
            root: {place: (name, True) for place, name in taken.items()}
        }

    def other(self, opts: Opts) -> None:
        """Place a device that is not a NIC."""
        driver = opts.get("driver") or ""
        if not self.root or driver.startswith(_ELSEWHERE):
            return
        bus = opts.get("bus") or self.root
        if opts.id:
            self._buses[opts.id] = {}
        elif driver in _BRIDGES or not is_pci(driver):
            self._complete = False
        place = self._place(opts)
        if place is None and not is_pci(driver):
            self.known = False
        elif bus in self._buses:
            self.take(opts, driver, bus, place)

    def bus(self, opts: Opts, kind: str) -> str:
        """The PCI bus of a device for `kind`, empty for another bus. Raises RefusedLine if the bus that it
        names does not exist or is for other devices.
        """
        name = opts.get("bus")
        if name is None or not self.root or "/" in name:
            return self.root if name is None and kind == "PCI" else ""
        there = name in self._buses or name == _ISA
        if there and kind != ("ISA" if name == _ISA else "PCI"):
            raise RefusedLine(f"{opts.option}: this is a device for {kind}, and {name} is another bus")
        if not there and self._complete and (kind in ("PCI", "ISA") or name in _ROOTS):
            buses = ", ".join(self._buses)
            raise RefusedLine(f"{opts.option}: there is no bus {name!r} before it", hint=f"there is {buses}")
        return name if name in self._buses else ""

    def nic(self, opts: Opts, model: str, bus: str) -> str:
        """The address of a PCI NIC of -device, empty if unknown."""
        place = self._place(opts)
        return self.take(opts, model, bus, place) if bus else ""

    def take(self, opts: Opts, name: str, bus: str, place: tuple[int, int] | None) -> str:
        """Place a device at `place`, or in the first free slot; returns its address, if known."""
        members = self._buses[bus]
        where = opts.option
        if place is None:
            if not self.known or bus != self.root:
                return ""
            place = next(((n, 0) for n in range(_LAST_SLOT + 1) if (n, 0) not in members), None)
            if place is None:
                raise RefusedLine(f"{where}: all slots of {bus} are taken")
        slot, function = place
        if place in members:
            raise RefusedLine(
                f"{where}: {members[place][0]} is at addr={slot:x}.{function} of {bus} already",
                hint="omit addr=, or give another",
            )
        first = members.get((slot, 0))
        if function and first is not None and not first[1]:
            raise RefusedLine(
                f"{where}: {first[0]} in slot {slot:x} has one function only", hint="give it multifunction=on"
            )
        many = opts.get("multifunction") in ("on", "yes", "true", "y")
        if not function and not many and any(other[0] == slot for other in members):
            raise RefusedLine(
                f"{where}: slot {slot:x} has other functions already, so function 0 needs multifunction=on"
            )
        members[place] = (name, many)
        return f"{slot:02x}.{function}"

    @staticmethod
    def _place(opts: Opts) -> tuple[int, int] | None:
        value = opts.get("addr")
        if value is None or (opts.is_json and value == "-1"):
            return None
        if opts.is_json and opts.data is not None and isinstance(opts.data.get("addr"), int):
            number = int(opts.data["addr"])
            found = divmod(number, _LAST_FUNCTION + 1) if 0 <= number <= 255 else None
        else:
            found = parse_address(value)
        if found is None:
            raise RefusedLine(
                f"{opts.option}: addr={value} is no PCI address",
                hint="it is written SLOT or SLOT.FUNCTION, in hexadecimal: up to 1f.7",
            )
        return found
