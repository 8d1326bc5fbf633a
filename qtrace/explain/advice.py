"""The findings about a line, and mended lines that were checked.

A mended line is read again by the same reader. It counts only if QEMU accepts it, it has the same back ends
and at least as many NICs, the finding is gone, and there is no new finding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qtrace.errors import RefusedLine
from qtrace.explain.clients import Network
from qtrace.explain.mending import mended
from qtrace.explain.rule import Finding, Rule, Seen, rules

__all__ = ["advice"]

_ORDER = ("wrong", "dear", "note")
Again = Callable[[Sequence[str]], Seen]


def advice(seen: Seen, again: Again) -> list[dict[str, Any]]:
    """Every finding, the most severe first, as {kind, severity, about, text, source, mended}.

    `again` reads other words in the same way as the line; `mended` is None if no mended line passed the
    check.
    """
    found = [(rule, item) for rule in rules() for item in rule.look(seen)]
    wrong = {(rule.name, item.about) for rule, item in found if _severity(rule, item) == "wrong"}
    rows = [
        {
            "kind": rule.name,
            "severity": _severity(rule, item),
            "about": item.about,
            "text": item.text,
            "source": (item.word or rule.word).place(seen.root),
            "mended": _proved(rule, item, seen, again, wrong),
        }
        for rule, item in found
    ]
    return sorted(rows, key=lambda row: _ORDER.index(str(row["severity"])))


def _severity(rule: Rule, item: Finding) -> str:
    return item.severity or rule.severity


def _proved(
    rule: Rule, item: Finding, seen: Seen, again: Again, wrong: set[tuple[str, str]]
) -> list[str] | None:
    if item.mend is None:
        return None
    argv = mended(seen.line, item.mend)
    try:
        other = again(argv)
    except RefusedLine:
        return None
    if _netdevs(seen.network) != _netdevs(other.network) or not _nics(seen.network) <= _nics(other.network):
        return None
    if any(still.about == item.about for still in rule.look(other)):
        return None
    worse = [
        one.name
        for one in rules()
        for found in one.look(other)
        if _severity(one, found) == "wrong" and (one.name, found.about) not in wrong
    ]
    return None if worse else argv


def _netdevs(network: Network) -> list[tuple[str, str]]:
    return [(client.type, client.name) for client in network.netdevs]


def _nics(network: Network) -> set[tuple[str, str]]:
    return {(client.type, client.name) for client in network.nics}
