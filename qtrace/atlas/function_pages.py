"""The functions of each source file, with their callers, their callees and the walks that pass them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from markupsafe import Markup

from qtrace.atlas.edition import Edition, Page
from qtrace.atlas.function_facts import Call, FunctionFacts, Use
from qtrace.atlas.linking import Linker
from qtrace.atlas.permalinks import file_page, fragment
from qtrace.atlas.release_facts import Release
from qtrace.model import EXACT
from qtrace.report.text import clean

__all__ = ["function_pages"]

_MOST_NAMES = 12  # NICs or back ends that are named; of more the number is given
_MOST_PLACES = 4  # of the calls of one function by another


def function_pages(edition: Edition, release: Release) -> Iterator[Page]:
    """The list of files, and a page for each."""
    t = edition.wording
    values = functools.partial(_files, edition, release)
    yield Page("functions/index.html", t.functions, "list.html.j2", values, (), release)
    for file in release.files:
        shown = functools.partial(_functions, edition, release, file)
        crumbs = (("functions/index.html", t.functions),)
        yield Page(file_page(file), file, "functions.html.j2", shown, crumbs, release)


def _files(edition: Edition, release: Release, link: Linker) -> dict[str, Any]:
    return {
        "about": edition.wording.files_about,
        "items": [link.file(file) for file in sorted(release.files)],
    }


def _functions(edition: Edition, release: Release, file: str, link: Linker) -> dict[str, Any]:
    shown = [_function(edition, release, facts, link) for facts in release.files[file]]
    return {"file": clean(file), "functions": shown}


def _function(edition: Edition, release: Release, facts: FunctionFacts, link: Linker) -> dict[str, Any]:
    t = edition.wording
    tables: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for owner, variable, file, line in facts.tables:
        tables.setdefault((owner, variable), []).append((file, line))
    fields: dict[str, list[tuple[str, int]]] = {}
    for field, file, line in facts.fields:
        fields.setdefault(field, []).append((file, line))
    held = [
        Markup("{} {} <code>{}</code> {}").format(
            link.field(owner), t.in_table, clean(variable), _places(places, link)
        )
        for (owner, variable), places in tables.items()
    ]
    held += [
        Markup("{} {} {}").format(link.field(field), t.is_set, _places(places, link))
        for field, places in fields.items()
    ]
    outside = sorted({call.name for call in facts.callees if not call.file})
    return {
        "id": fragment(facts.name),
        "name": clean(facts.name),
        "place": link.place(facts.file, facts.line),
        "uses": [_use(edition, use, release, link) for use in facts.uses],
        "held": held,
        "unresolved": facts.unresolved,
        "callers": list(_calls(edition, facts.callers, facts.file, link)),
        "callees": list(_calls(edition, (call for call in facts.callees if call.file), facts.file, link)),
        "outside": ", ".join(map(clean, outside)),
    }


def _use(edition: Edition, use: Use, release: Release, link: Linker) -> Markup:
    """`tx, interrupt: e1000, e1000e on tap, user`."""
    t = edition.wording
    stage = f", {use.stage}" if use.stage else ""
    other = "" if use.usual else f", {t.another_way}"
    nics = (
        link.several(map(link.nic, use.nics))
        if len(use.nics) <= _MOST_NAMES
        else Markup("{} {}").format(len(use.nics), link.to("nics/index.html", t.nics))
    )
    netdevs = link.several(map(link.backend, use.netdevs))
    return Markup("{} {}{}{}: {} {} {}").format(t.on_walks, use.direction, stage, other, nics, t.on, netdevs)


def _calls(
    edition: Edition, calls: Iterable[Call], here: str, link: Linker
) -> Iterator[tuple[Markup, str, str]]:
    """Each other function once: (the function, how it is called, the lines of the calls)."""
    by_other: dict[tuple[str, str, str, str, str], list[Call]] = {}
    for call in calls:
        by_other.setdefault((call.name, call.file, call.kind, call.field, call.confidence), []).append(call)
    for (name, file, kind, field, confidence), found in by_other.items():
        how = "" if kind == "direct" else clean(edition.language.word(kind))
        how += f", {clean(field)}" if field else ""
        how += "" if confidence == EXACT else f", {edition.wording.word(confidence)}"
        # The file of a call is told by the function that makes it, unless it is a macro's.
        makers = (file, here)
        lines = dict.fromkeys(
            str(call.at_line) if call.at_file in makers else link.at(call.at_file, call.at_line)
            for call in found
        )
        shown = ", ".join(list(lines)[:_MOST_PLACES])
        more = f" … ({len(lines)})" if len(lines) > _MOST_PLACES else ""
        yield link.called(name, file), how, f"{shown}{more}"


def _places(places: Sequence[tuple[str, int]], link: Linker) -> Markup:
    """The first few places of several."""
    shown = link.several(link.place(*place) for place in places[:_MOST_PLACES])
    return shown + (f" … ({len(places)})" if len(places) > _MOST_PLACES else "")
