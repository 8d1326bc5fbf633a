"""What a line's machine brings: its default NIC, whether it makes on-board NICs, its buses.

Of the PCs, from hw/i386 of the tree (`default_nic`, `default_nic_model` in the machines' functions). Of other
machines nothing is known here, and nothing is refused because of them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from qtrace.errors import RefusedLine
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
_HOSTS = re.compile(r"(xhci|ehci|uhci|ohci)")


@dataclass(frozen=True, slots=True)
class Machine:
    """`known` is whether anything is known of it; `onboard` whether `-nic` and `-net nic` make a NIC."""

    name: str
    known: bool
    onboard: bool
    default_nic: str
    buses: tuple[str, ...]

    def lacks(self, bus: str, devices: list[str]) -> bool:
        """Whether no device can sit on `bus`, unless one of `devices`, which are on the line, brings it."""
        if not self.known or not bus or bus in self.buses:
            return False
        if bus == "usb-bus":
            return not any(_HOSTS.search(name) for name in devices)
        return True


def find_machine(line: Line, root: Path, *, lenient: bool = False) -> Machine:
    """The machine that a line asks for, `pc` where it says nothing.

    Raises RefusedLine for an unknown one, of which a lenient reader knows nothing.
    """
    name, said = "", None
    settings: dict[str, str] = {}
    for option in line.options:
        if option.name in ("machine", "M"):
            data = _settings(option)
            said = option
            name = str(data.pop("type", name))
            settings |= data
    usb = any(option.name in ("usb", "usbdevice") for option in line.options) or truth(
        settings.get("usb", "")
    )
    if line.target not in _PCS:
        return Machine(name, False, True, "", ())
    name = name or "pc"
    if name not in _machines(root):
        if lenient or said is None:
            return Machine(name, False, True, "", ())
        raise RefusedLine(
            f"{said}: this QEMU has no machine {name!r}", hint="see: qemu-system-x86_64 -machine help"
        )
    more = ("usb-bus",) if usb else ()
    if name == "none":
        return Machine(name, True, False, "", ("System",))
    if name == "microvm":
        pcie = ("PCI",) if truth(settings.get("pcie", "")) else ()
        return Machine(name, True, False, "", ("System", "ISA", "virtio-bus", *pcie, *more))
    if name == "isapc":
        return Machine(name, True, True, _default_nic(root, "isapc", ()), ("System", "ISA", *more))
    family = "q35" if "q35" in name else "i440fx"
    version = tuple(map(int, re.findall(r"\d+", name.rpartition("-")[2]))) if "-" in name else ()
    default = _default_nic(root, family, version)
    return Machine(name, True, True, default, ("System", "ISA", "PCI", *more))


def _settings(option: Option) -> dict[str, str]:
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in parse_keyval(option, "type").items()
    }


@lru_cache(maxsize=4)
def _sources(root: Path) -> list[str]:
    return [path.read_text(errors="replace") for path in sorted((root / "hw" / "i386").glob("*.c"))]


def _machines(root: Path) -> set[str]:
    found = {"none", "microvm"}
    for text in _sources(root):
        found |= {name for names in _NAMED.findall(text) for name in names if name}
        found |= set(_ALIASED.findall(text))
        for kind, *numbers in _NUMBERED.findall(text):
            found.add(f"pc-{kind.lower()}-{'.'.join(number for number in numbers if number)}")
    return found


def _default_nic(root: Path, family: str, version: tuple[int, ...]) -> str:
    """The model of a machine's own NIC: the family's, or an old version's that is at least as new."""
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
