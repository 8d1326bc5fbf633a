"""An option that the reader ignored, or interpreted in an unusual way."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.rule import Finding, Seen, Severity, Tree

SEVERITY: Severity = "note"
WORD = Tree("qemu-options.hx", "DEFHEADING(")


def look(seen: Seen) -> Iterator[Finding]:
    for item in seen.network.remarks:
        yield Finding("", item)
