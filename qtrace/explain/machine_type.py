"""The machine of a line: its default NIC, whether it makes on-board NICs, its buses.

For PCs this comes from hw/i386 of the tree (`default_nic`, `default_nic_model` in the machines' functions).
For other machines at most the board's own NIC is known (`boards`), and no line is refused because of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from qtrace.errors import RefusedLine
from qtrace.explain.boards import NO_NIC, board_nic
from qtrace.explain.opts import parse_keyval
from qtrace.explain.values import truth
from qtrace.explain.words import Line, Option

__all__ = ["Machine", "find_machine"]

_PCS = ("i386", "x86_64")
_FUNCTION = re.compile(r"^(?:static )?void (\w+)\(", re.MULTILINE)
_DEFAULT = re.compile(r'default_nic(?:_model)? = "([\w-]+)"')
_NAMED = re.compile(
    r'MACHINE_TYPE_NAME\("([\w.-]+)"\)|DEFINE_\w*MACHINE\w*\([^;]*?"([\w.-]+)"|alias = "([\w.-]+)"'
)
_ALIASED = re.compile(r'DEFINE_PC_VER_MACHINE\([^;]*"([\w-]+)",[^";]*\);')
_NUMBERED = re.compile(r"DEFINE_(I440FX|Q35)_MACHINE\w*\((\d+), (\d+)(?:, (\d+))?\)")
# Devices of a PC's chipset on its first PCI bus (hw/i386/pc_piix.c, pc_q35.c), by (slot, function).
_CHIPS = {
    "i440fx": {
        (0, 0): "the host bridge",
        (1, 0): "the ISA bridge",
        (1, 1): "the IDE controller",
        (1, 3): "power management",
    },
    "q35": {
        (0, 0): "the host bridge",
        (31, 0): "the ISA bridge",
        (31, 2): "the SATA controller",
        (31, 3): "the SMBus",
    },
}
_ADDING = re.compile(r"-(?:virtfs|audio|watchdog|sd)\b|-drive .*\bif=scsi\b")
_POWER = (1, 3)
_USB = {
    "i440fx": {(1, 2): "a USB controller"},
    "q35": {(29, number): "a USB controller" for number in (0, 1, 2, 7)},
}
_XEN = re.compile(r"xen(?:fv|pv)\b")
_HOSTS = re.compile(r"(xhci|ehci|uhci|ohci)")


@dataclass(frozen=True, slots=True)
class Machine:
    """`known` tells whether the machine is known; `onboard` whether `-nic` and `-net nic` make a NIC.

    `taken` are the machine's own devices on its PCI bus, by (slot, function).
    """

    name: str
    known: bool
    onboard: bool
    default_nic: str
    buses: tuple[str, ...]
    adds: bool = False  # whether options other than -device put devices on its PCI bus
    root: str = ""  # its first PCI bus, if known
    taken: Mapping[tuple[int, int], str] = field(default_factory=dict)
    transport: str = "pci"  # the bus of its virtio devices: pci or ccw

    def lacks(self, bus: str, devices: list[str]) -> bool:
        """Whether no device can be on `bus`, unless one of `devices`, which are on the line, provides the
        bus."""
        if not self.known or not bus or bus in self.buses:
            return False
        if bus == "usb-bus":
            return not any(_HOSTS.search(name) for name in devices)
        return True


def find_machine(
    line: Line, root: Path, *, lenient: bool = False, ordinary: Callable[[str], str] = str
) -> Machine:
    """The machine that a line asks for, `pc` by default; `ordinary` replaces a vendor's machine name by
    QEMU's.

    Raises RefusedLine for an unknown machine; a lenient reader returns a `Machine` that is not `known`.
    """
    asked, said, settings = _asked(line)
    name = ordinary(asked)
    if line.target not in _PCS:
        transport = "ccw" if line.target == "s390x" else "pci"
        return _unknown(name, board_nic(root, line.target, name), transport)
    name = name or "pc"
    if name not in _machines(root):
        if lenient or said is None:
            return _unknown(name)
        raise RefusedLine(
            f"{said}: this QEMU has no machine {name!r}", hint="see: qemu-system-x86_64 -machine help"
        )
    if _XEN.match(name):
        return _unknown(name)
    usb = any(option.name in ("usb", "usbdevice") for option in line.options) or truth(
        settings.get("usb", "")
    )
    more = ("usb-bus",) if usb else ()
    bare = {
        "none": (),
        "x-remote": ("PCI",),
        "microvm": ("ISA", "virtio-bus", *(("PCI",) if truth(settings.get("pcie", "")) else ()), *more),
    }
    if name in bare:
        return Machine(name, True, False, "", ("System", *bare[name]))
    if name == "isapc":
        return Machine(name, True, True, _default_nic(root, "isapc", ()), ("System", "ISA", *more))
    return _pc(name, line, root, settings, bool(usb))


def _asked(line: Line) -> tuple[str, Option | None, dict[str, str]]:
    """(the machine's name, the last option that sets it, its settings)."""
    name, said = "", None
    settings: dict[str, str] = {}
    for option in line.options:
        if option.name in ("machine", "M"):
            data = _settings(option)
            said = option
            name = str(data.pop("type", name))
            settings |= data
    return name, said, settings


def _unknown(name: str, default_nic: str = "", transport: str = "pci") -> Machine:
    """A machine of which at most its own NIC is known, or that it has none."""
    none = default_nic == NO_NIC
    return Machine(name, False, not none, "" if none else default_nic, (), transport=transport)


def _pc(name: str, line: Line, root: Path, settings: Mapping[str, str], usb: bool) -> Machine:
    """A PC with an i440fx or a q35 chipset."""
    family = "q35" if "q35" in name else "i440fx"
    version = tuple(map(int, re.findall(r"\d+", name.rpartition("-")[2]))) if "-" in name else ()
    taken = dict(_CHIPS[family]) | (_USB[family] if usb else {})
    if truth(settings.get("acpi", "")) is False or any(option.name == "no-acpi" for option in line.options):
        taken.pop(_POWER, None)
    if _has_vga(line, root):
        free = next(slot for slot in range(1, 32) if (slot, 0) not in taken)
        taken[free, 0] = "the VGA adapter"
    bus = "pcie.0" if family == "q35" else "pci.0"
    adds = any(_ADDING.match(str(option)) for option in line.options)
    buses = ("System", "ISA", "PCI", *(("usb-bus",) if usb else ()))
    return Machine(name, True, True, _default_nic(root, family, version), buses, adds, bus, taken)


def _has_vga(line: Line, root: Path) -> bool:
    """Whether the machine has a VGA adapter of its own (`default_list` of vl.c, -vga)."""
    chosen: bool | None = None
    default = True
    for option in line.options:
        if option.name == "vga":
            chosen = option.value not in ("none", "isa")
        elif option.name == "nodefaults":
            default = False
        elif option.name == "device":
            driver = re.match(r"(?:driver=)?([\w-]+)|\{.*?\"driver\"\s*:\s*\"([\w-]+)\"", option.value or "")
            default = default and not (driver and (driver[1] or driver[2]) in _vga_adapters(root))
    return default if chosen is None else chosen


@lru_cache(maxsize=4)
def _vga_adapters(root: Path) -> set[str]:
    found: set[str] = set()
    for folder in ("softmmu", "system"):
        path = root / folder / "vl.c"
        if path.is_file():
            text = path.read_text(errors="replace")
            found |= set(re.findall(r'\.driver = "([\w-]+)",\s*\.flag = &default_vga\b', text))
    return found


def _settings(option: Option) -> dict[str, str]:
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in parse_keyval(option, "type").items()
    }


@lru_cache(maxsize=4)
def _sources(root: Path) -> list[str]:
    return [path.read_text(errors="replace") for path in sorted((root / "hw" / "i386").glob("*.c"))]


def _machines(root: Path) -> set[str]:
    found = {"none", "microvm", "x-remote"}
    for text in _sources(root):
        found |= {name for names in _NAMED.findall(text) for name in names if name}
        found |= set(_ALIASED.findall(text))
        for kind, *numbers in _NUMBERED.findall(text):
            found.add(f"pc-{kind.lower()}-{'.'.join(number for number in numbers if number)}")
    return found


def _default_nic(root: Path, family: str, version: tuple[int, ...]) -> str:
    """The model of a machine's own NIC: the family's, or that of the oldest version that is not older."""
    general, chosen = "", ""
    best: tuple[int, ...] = ()
    for text in _sources(root):
        for match in _DEFAULT.finditer(text):
            function = [item[1] for item in _FUNCTION.finditer(text, 0, match.start())][-1]
            named = re.search(rf"{family}(?:_machine)?(?:_(\d+)_(\d+))?", function)
            if not named:
                continue
            if named[1] is None:
                general = match[1]
                continue
            until = (int(named[1]), int(named[2]))
            if version and version[:2] <= until and (not best or until < best):
                chosen, best = match[1], until
    return chosen or general
