"""The vendor of a line: options, machines, back ends and properties that only the vendor's program and QEMU
have, and the log in which the vendor's program shows a command.

Each vendor is one file of dialects/. Such a line is for the vendor's build, usually of another release than
the indexed one, so it is read leniently, and the vendor's own options are named.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

__all__ = ["Dialect", "dialects", "find_dialect"]

_MACHINES = ("-machine", "--machine", "-M", "--M")
_NETDEVS = ("-netdev", "-nic", "-net")


@dataclass(frozen=True, slots=True)
class Dialect:
    """`options`: name -> whether a value follows. `machine` matches the vendor's machine names; the ordinary
    name is the text without the match, or the entry of `machines` for the match's first group. `netdevs` are
    back ends that only this QEMU has; `flags` are settings of a machine that it takes without a value. `log`
    matches a line of a log in which this program shows a command, None where there is none.
    """

    name: str
    vendor: str
    options: dict[str, bool]
    properties: frozenset[str]
    machine: re.Pattern[str]
    machines: dict[str, str]
    netdevs: frozenset[str]
    flags: frozenset[str]
    log: re.Pattern[str] | None

    def ordinary(self, machine: str) -> str:
        """QEMU's own name for a machine with a vendor's name."""
        return self.machine.sub(lambda match: self.machines[match[1]] if self.machines else "", machine)

    def owns(self, item: str) -> bool:
        """Whether an unknown item of a network (`-id 9`, `-device …: host_tunnel`) is the vendor's own."""
        option, _, value = item.partition(" ")
        if option.lstrip("-") in self.options or item.rpartition(": ")[2] in self.properties:
            return True
        return option in _NETDEVS and _kind(value) in self.netdevs

    def plain(self, argv: Sequence[str]) -> tuple[list[str], list[str]]:
        """(the line with a value for each setting of a machine that this QEMU takes without one, what was
        such a setting)."""
        found, said = list(argv), []
        for number, word in enumerate(argv[:-1]):
            if word in _MACHINES and self.flags:
                parts = argv[number + 1].split(",")
                found[number + 1] = ",".join(f"{one}=on" if one in self.flags else one for one in parts)
                said += [f"{word} …,{one} without a value" for one in parts if one in self.flags]
        return found, said

    def written_by(self, argv: Sequence[str]) -> bool:
        """Whether a line has an option that only this vendor's QEMU accepts."""
        for word, value in zip(argv, [*argv[1:], ""], strict=True):
            if word.startswith("-") and word.lstrip("-") in self.options:
                return True
            if word in _MACHINES and any(
                self.machine.search(part.removeprefix("type=")) for part in value.split(",")
            ):
                return True
            if word.replace("--", "-", 1) in _NETDEVS and _kind(value) in self.netdevs:
                return True
        return False


def _kind(value: str) -> str:
    """The back end that a -netdev's value names."""
    parts = value.split(",")
    named = (part.removeprefix("type=") for part in parts if part.startswith("type="))
    return next(named, parts[0])


@lru_cache(maxsize=1)
def dialects() -> list[Dialect]:
    """Every known dialect, by name."""
    found = []
    for entry in sorted(files("qtrace.explain").joinpath("dialects").iterdir(), key=lambda item: item.name):
        if not entry.name.endswith(".toml"):
            continue
        data = tomllib.loads(entry.read_text(encoding="utf-8"))
        found.append(
            Dialect(
                entry.name.removesuffix(".toml"),
                data["vendor"],
                {name: kind == "value" for name, kind in data.get("options", {}).items()},
                frozenset(data.get("properties", ())),
                re.compile(data["machine"]) if "machine" in data else re.compile(r"(?!)"),
                data.get("machines", {}),
                frozenset(data.get("netdevs", ())),
                frozenset(data.get("flags", ())),
                re.compile(data["log"]) if "log" in data else None,
            )
        )
    return found


def find_dialect(argv: Sequence[str], writer: str = "") -> Dialect | None:
    """The dialect of a line, None if nothing in it belongs to a known vendor. `writer`: the one whose log
    shows it, if that is known."""
    known = dialects()
    return next(
        (dialect for dialect in known if dialect.name == writer),
        next((dialect for dialect in known if dialect.written_by(argv)), None),
    )
