"""A form or an option that the tree calls deprecated."""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.explain.rule import Finding, Seen, Severity, Tree

SEVERITY: Severity = "note"
WORD = Tree("docs/about/deprecated.rst", "Short-form boolean options")


def look(seen: Seen) -> Iterator[Finding]:
    for client in seen.network.clients:
        for flag in client.opts.flags if client.opts and client.form else ():
            yield Finding(client.name, f"{flag!r} without a value is deprecated: write {flag}=on or =off")
    for client in seen.network.netdevs:
        for item in seen.schema.options_of(client.type):
            old = item.deprecated or item.meaning.lower().startswith("legacy")
            if old and item.name in client.values:
                yield Finding(
                    client.name,
                    f"{item.name}= is deprecated: {item.meaning}",
                    word=Tree(item.file, f"'*{item.name}'"),
                )
