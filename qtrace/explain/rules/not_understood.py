"""An option unknown to the indexed release, in a line that is read leniently."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.rule import Finding, Seen, Severity, Tree

NAME = "unknown"
SEVERITY: Severity = "note"
WORD = Tree("qemu-options.hx", "DEFHEADING(")


def look(seen: Seen) -> Iterator[Finding]:
    for item in seen.network.unknown:
        yield Finding("", f"{item}: unknown to the indexed release")
