"""A descriptor that comes from a set of -add-fd."""

from __future__ import annotations

import re
from collections.abc import Iterator

from qtrace.explain.rule import Finding, Seen, Severity, Tree

SEVERITY: Severity = "note"
WORD = Tree("qemu-options.hx", "add-fd")
_SET = re.compile(r"/dev/fdset/(\d+)\Z")


def look(seen: Seen) -> Iterator[Finding]:
    sets: dict[str, list[str]] = {}
    for option in seen.options("add-fd"):
        given = dict(piece.partition("=")[::2] for piece in (option.value or "").split(","))
        sets.setdefault(given.get("set", ""), []).append(given.get("fd", "?"))
    for client in seen.network.netdevs:
        for name, value in client.values.items():
            if not (match := _SET.match(str(value))):
                continue
            if match[1] in sets:
                said = f"{name}={value} is descriptor {', '.join(sets[match[1]])}, which -add-fd passes"
                yield Finding(client.name, said + _beside(client.type))
            else:
                yield Finding(
                    client.name,
                    f"{name}={value}: no -add-fd of the line makes set {match[1]}",
                    severity="wrong",
                )


def _beside(kind: str) -> str:
    return "; its frames go to the device, none passes QEMU" if kind == "vhost-vdpa" else ""
