"""What the reader passed over, or took in a way that should be known."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.rule import Finding, Seen, Severity, Tree

SEVERITY: Severity = "note"
WORD = Tree("qemu-options.hx", "DEFHEADING(")


def look(seen: Seen) -> Iterator[Finding]:
    for item in seen.network.remarks:
        yield Finding("", item)
