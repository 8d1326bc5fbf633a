"""What changed from one release to the next: what came, what went, what moved, and on which walks."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from markupsafe import Markup

from qtrace.atlas.edition import Edition, Page
from qtrace.atlas.linking import Linker
from qtrace.atlas.pair_facts import WALK
from qtrace.atlas.permalinks import backend_page, file_page, fragment, nic_page, pair_page
from qtrace.atlas.release_facts import Release
from qtrace.model import Direction, Path
from qtrace.path.difference import difference
from qtrace.path.path_halves import Half, host_half, nic_half
from qtrace.report.text import clean

__all__ = ["change_pages", "changes_page"]

# In these the functions of the other half are the same, so what differs is this half's.
_ON, _WITH = "tap", "e1000"
_LINK = Markup('<a href="{}">{}</a>')
_CODE = Markup('<a href="{}"><code>{}</code></a>')


def changes_page(before: Release, after: Release) -> str:
    """The address of what changed between two releases."""
    return f"changes/{fragment(before.name)}..{fragment(after.name)}.html"


def change_pages(edition: Edition) -> Iterator[Page]:
    """A page for each two releases that follow one another."""
    for before, after in itertools.pairwise(edition.releases):
        title = f"{edition.wording.changes}: QEMU {before.name} → {after.name}"
        values = functools.partial(_values, before, after)
        yield Page(changes_page(before, after), title, "changes.html.j2", values)


def _values(before: Release, after: Release, link: Linker) -> dict[str, Any]:
    data = difference(before.catalogue, after.catalogue)
    kinds = []
    for kind, page_of in (("backends", backend_page), ("nics", nic_page)):
        kinds.append(
            {
                "kind": kind,
                "came": [_to(after, page_of(name), name) for name in data[kind]["added"]],
                "went": [_to(before, page_of(name), name) for name in data[kind]["removed"]],
                "changed": [
                    {
                        "name": _to(after, page_of(item["name"]), item["name"]),
                        "what": clean(item["what"]),
                        "before": _side(item["before"]),
                        "after": _side(item["after"]),
                    }
                    for item in data[kind]["changed"]
                ],
            }
        )
    return {
        "before": before.name,
        "after": after.name,
        "kinds": kinds,
        "moved": list(_moved(before, after)),
        "walks": [*_halves(before, after, True), *_halves(before, after, False)],
    }


def _to(release: Release, page: str, text: str) -> Markup:
    return _LINK.format(f"../{release.name}/{page}", clean(text))


def _side(side: Any) -> str:
    if side is None:
        return ""
    return clean(side if isinstance(side, str) else f"{side['function']} ({side['file']})")


def _moved(before: Release, after: Release) -> Iterator[dict[str, Any]]:
    """Functions with an entry in both releases whose only definition stands in another file."""
    old, new = _only(before), _only(after)
    for name in sorted(old.keys() & new.keys()):
        if old[name] != new[name]:
            place = f"{file_page(new[name])}#{fragment(name)}"
            yield {
                "function": _CODE.format(f"../{after.name}/{place}", clean(name)),
                "before": clean(old[name]),
                "after": clean(new[name]),
            }


def _only(release: Release) -> dict[str, str]:
    """Function -> its file, of the names that one function has."""
    found: dict[str, list[str]] = {}
    for file, name in release.functions:
        found.setdefault(name, []).append(file)
    return {name: files[0] for name, files in found.items() if len(files) == 1}


def _halves(before: Release, after: Release, of_nic: bool) -> Iterator[dict[str, Any]]:
    """The functions that came to, or left, the NIC's or the back end's half of its walks."""
    half: Callable[[Path], Half] = nic_half if of_nic else host_half
    names = before.nics if of_nic else before.backends
    for name in names:
        key = (name, _ON) if of_nic else (_WITH, name)
        if key not in before.pairs or key not in after.pairs:
            continue
        for direction in Direction:
            old, new = (_walk(release, key, direction) for release in (before, after))
            if old is None or new is None:
                continue
            first, second = half(old), half(new)
            gone = [function for function in first if function not in second]
            come = [function for function in second if function not in first]
            if gone or come:
                yield {
                    "name": _to(after, pair_page(*key), name),
                    "direction": direction.value,
                    "gone": clean(", ".join(gone)),
                    "come": clean(", ".join(come)),
                }


def _walk(release: Release, key: tuple[str, str], direction: Direction) -> Path | None:
    variant = release.pairs[key].variants[0]
    way = variant.way(direction)
    return way if variant.kind == WALK and isinstance(way, Path) else None
