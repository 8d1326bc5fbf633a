"""An option that only a vendor's QEMU accepts, in a line that the vendor's program wrote."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.rule import Finding, Seen, Severity, Tree

SEVERITY: Severity = "note"
WORD = Tree("qemu-options.hx", "DEFHEADING(")


def look(seen: Seen) -> Iterator[Finding]:
    for item in seen.network.vendors:
        yield Finding("", f"{item}: {seen.network.dialect}'s own, passed over (--strict refuses it)")
