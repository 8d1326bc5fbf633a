"""The vendor of a line: options, machines and properties that only the vendor's program and QEMU have.

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


@dataclass(frozen=True, slots=True)
class Dialect:
    """`options`: name -> whether a value follows. `machine` matches the vendor's machine names; the ordinary
    name is the text without the match, or the entry of `machines` for the match's first group.
    """

    name: str
    vendor: str
    options: dict[str, bool]
    properties: frozenset[str]
    machine: re.Pattern[str]
    machines: dict[str, str]

    def ordinary(self, machine: str) -> str:
        """QEMU's own name for a machine with a vendor's name."""
        return self.machine.sub(lambda match: self.machines[match[1]] if self.machines else "", machine)

    def owns(self, item: str) -> bool:
        """Whether an unknown item of a network (`-id 9`, `-device …: host_tunnel`) is the vendor's own."""
        option = item.split(" ", 1)[0].lstrip("-")
        return option in self.options or item.rpartition(": ")[2] in self.properties

    def written_by(self, argv: Sequence[str]) -> bool:
        """Whether a line has an option that only this vendor's QEMU accepts."""
        for word, value in zip(argv, [*argv[1:], ""], strict=True):
            if word.startswith("-") and word.lstrip("-") in self.options:
                return True
            if word in _MACHINES and any(
                self.machine.search(part.removeprefix("type=")) for part in value.split(",")
            ):
                return True
        return False


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
            )
        )
    return found


def find_dialect(argv: Sequence[str]) -> Dialect | None:
    """The dialect of a line, None if nothing in it belongs to a known vendor."""
    return next((dialect for dialect in dialects() if dialect.written_by(argv)), None)
