"""The pages of NICs, back ends, callbacks, stages and parts of the core."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup

from qtrace.atlas.core_parts import Part, PartFacts
from qtrace.atlas.edition import Crumb, Edition, Page
from qtrace.atlas.grid_page import is_measured, pair_cell
from qtrace.atlas.linking import Linker
from qtrace.atlas.mode_pages import modes_with
from qtrace.atlas.pair_facts import NIC_STAGES
from qtrace.atlas.permalinks import backend_page, callback_page, mode_page, nic_page, pair_page, part_page
from qtrace.atlas.release_facts import Release, ways_of_nic
from qtrace.atlas.tried_reach import COLUMNS, tried
from qtrace.model import STAGE_ORDER, Direction
from qtrace.report.speech import told
from qtrace.report.text import clean

__all__ = ["thing_pages"]

# NetClientInfo's answer to whether a back end takes a header with what is left to do for each frame.
_HEADER = "has_vnet_hdr"
_MODE = Markup('<a href="../../{}">{}</a>')


def thing_pages(edition: Edition, release: Release) -> Iterator[Page]:
    """Every page of this kind."""
    t = edition.wording
    lists: tuple[tuple[str, str, str, list[tuple[str, str]]], ...] = (
        ("backends", t.backends, t.backends_about, [(backend_page(n), n) for n in release.backends]),
        ("nics", t.nics, t.nics_about, [(nic_page(n), n) for n in release.nics]),
        ("parts", t.parts, t.parts_about, _part_names(edition, release)),
    )
    for folder, title, about, items in lists:
        values = functools.partial(_list, about, items)
        yield Page(f"{folder}/index.html", title, "list.html.j2", values, (), release)
    for entry in release.catalogue["backends"]:
        values = functools.partial(_backend, edition, release, entry)
        yield Page(
            backend_page(entry["name"]),
            entry["name"],
            "backend.html.j2",
            values,
            (("backends/index.html", t.backends),),
            release,
        )
    for entry in release.catalogue["nics"]:
        values = functools.partial(_nic, edition, release, entry)
        crumbs = (("nics/index.html", t.nics),)
        yield Page(nic_page(entry["name"]), entry["name"], "nic.html.j2", values, crumbs, release)
    yield from _callback_pages(edition, release)
    values = functools.partial(_stages, edition, release)
    yield Page("stages.html", t.stages_title, "stages.html.j2", values, (), release)
    for part, facts in zip(edition.parts, release.parts, strict=True):
        if facts.functions:
            values = functools.partial(_part, edition, release, part, facts)
            title = part.title[edition.wording.name]
            parts: tuple[Crumb, ...] = (("parts/index.html", t.parts),)
            yield Page(part_page(part.name), title, "part.html.j2", values, parts, release)


def _part_names(edition: Edition, release: Release) -> list[tuple[str, str]]:
    pairs = zip(edition.parts, release.parts, strict=True)
    return [(part_page(p.name), p.title[edition.wording.name]) for p, facts in pairs if facts.functions]


def _list(about: str, items: list[tuple[str, str]], link: Linker) -> dict[str, Any]:
    return {"about": about, "items": [link.to(page, name) for page, name in items]}


def _backend(edition: Edition, release: Release, entry: Mapping[str, Any], link: Linker) -> dict[str, Any]:
    name = entry["name"]
    pairs = [pair for pair in release.pairs.values() if pair.netdev == name]
    cells = [pair_cell(edition, release, pair, link) | {"name": pair.nic} for pair in pairs]
    shared = {clean(pair.reason).removeprefix(f"{clean(pair.nic)} on {clean(name)}: ") for pair in pairs}
    measured = [pair for pair in pairs if is_measured(edition, release, pair)]
    modes = [mode for mode in modes_with(name) if mode.name in tried()]
    return {
        "entry": entry,
        "facts": release.backends[name],
        "files": [link.file(file) for file in dict.fromkeys(_files_of(entry))],
        "cells": cells,
        "reasons": sorted(told(reason) for reason in shared - {""}),
        "offloads": _offloads(edition, entry, link),
        "tried_columns": [edition.wording.word(column) for column in COLUMNS],
        "tried": [
            (_MODE.format(mode_page(mode.name), mode.name), [tried()[mode.name][key] for key in COLUMNS])
            for mode in modes
        ],
        "tried_in": sorted({tried()[mode.name]["in"] for mode in modes}),
        "costs": [link.to(f"{pair_page(pair.nic, name)}#cost", pair.nic) for pair in measured],
        "modes": [
            Markup("{}: {}").format(_MODE.format(mode_page(mode.name), mode.name), told(mode.title))
            for mode in modes_with(name)
        ],
    }


def _files_of(entry: Mapping[str, Any]) -> Iterator[str]:
    """The files of a back end's tables and of its init function."""
    yield from (table["file"] for table in entry["tables"])
    yield entry["init"]["file"]


def _offloads(edition: Edition, entry: Mapping[str, Any], link: Linker) -> Markup:
    """Whether the back end takes frames that still want work, and what follows for the guest."""
    has = any(_HEADER in table["callbacks"] for table in entry["tables"])
    text = edition.wording.offloads_yes if has else edition.wording.offloads_no
    return link.names(text, {_HEADER: callback_page(_HEADER)})


def _nic(edition: Edition, release: Release, entry: Mapping[str, Any], link: Linker) -> dict[str, Any]:
    name = entry["name"]
    pairs = [pair for pair in release.pairs.values() if pair.nic == name]
    stages = []
    for (direction, role), ways in ways_of_nic(release, name).items():
        if role in NIC_STAGES[direction]:
            shown = [
                {
                    "function": link.function(way.function, way.file),
                    "condition": clean(way.condition),
                    "evidence": [
                        (told(clean(item.why)), link.at(item.file, item.line)) for item in way.evidence
                    ],
                }
                for way in ways
            ]
            stages.append((direction.value, role.value, shown))
    return {
        "entry": entry,
        "facts": release.nics[name],
        "files": [link.file(file) for file in entry["files"]],
        "realizes": [
            (link.function(function, file), link.place(file, line))
            for function, file, line in release.nics[name].realizes
        ],
        "cells": [pair_cell(edition, release, pair, link) for pair in pairs],
        "stages": stages,
        "costs": [
            link.to(f"{pair_page(name, pair.netdev)}#cost", pair.netdev)
            for pair in pairs
            if is_measured(edition, release, pair)
        ],
    }


def _callback_pages(edition: Edition, release: Release) -> Iterator[Page]:
    t = edition.wording
    crumbs = (("callbacks/index.html", t.callbacks),)
    values = functools.partial(_callbacks, edition, release)
    yield Page("callbacks/index.html", t.callbacks, "callbacks.html.j2", values, (), release)
    for field in release.callbacks():
        shown = functools.partial(_callback, edition, release, field)
        yield Page(callback_page(field), f"NetClientInfo.{field}", "callback.html.j2", shown, crumbs, release)


def _callbacks(edition: Edition, release: Release, link: Linker) -> dict[str, Any]:
    rows = []
    for field, implemented in release.callbacks().items():
        names = {
            kind: {name for other, name, *_ in implemented if other == kind} for kind in ("backends", "nics")
        }
        meaning = edition.wording.callback_words.get(field, "")
        row = {"link": link.field(f"NetClientInfo.{field}"), "meaning": link.names(meaning, {})}
        rows.append(row | {kind: len(found) for kind, found in names.items()})
    return {"rows": rows}


def _callback(edition: Edition, release: Release, field: str, link: Linker) -> dict[str, Any]:
    t, implemented = edition.wording, release.callbacks()[field]
    kinds = []
    for kind, title, named in (("backends", t.backends, link.backend), ("nics", t.nics, link.nic)):
        rows = [
            (named(name), table, function) for other, name, table, function in implemented if other == kind
        ]
        with_it = {name for other, name, *_ in implemented if other == kind}
        having = [entry for entry in release.catalogue[kind] if entry["tables"]]
        without = [named(entry["name"]) for entry in having if entry["name"] not in with_it]
        kinds.append((kind, title, rows, without))
    owner = f"NetClientInfo.{field}"
    callers = {
        (link.function(facts.name, facts.file), link.place(call.at_file, call.at_line)): None
        for facts in release.functions.values()
        for call in facts.callees
        if call.field == owner
    }
    known = {name: callback_page(name) for name in release.callbacks()}
    meaning = link.names(edition.wording.callback_words.get(field, ""), known)
    return {"field": field, "meaning": meaning, "kinds": kinds, "callers": list(callers)}


def _stages(edition: Edition, release: Release, link: Linker) -> dict[str, Any]:
    """Of each stage the functions by which it is passed, and of which NICs or back ends."""
    t, shown = edition.wording, []
    for direction in Direction:
        for role in STAGE_ORDER[direction]:
            of_nic = role in NIC_STAGES[direction]
            users: dict[tuple[str, str], dict[str, None]] = {}
            for pair in release.pairs.values():
                for path in pair.paths():
                    if path.direction is direction:
                        for way in path.ways_of(role):
                            name = pair.nic if of_nic else pair.netdev
                            users.setdefault((way.function, way.file), {})[name] = None
            rows = [
                (link.function(*key), len(names), [(link.nic if of_nic else link.backend)(n) for n in names])
                for key, names in sorted(users.items(), key=lambda item: (-len(item[1]), item[0]))
            ]
            shown.append(
                {
                    "id": f"{direction}-{role}",
                    "direction": direction.value,
                    "role": role.value,
                    "about": t.word(f"stage_{role}"),
                    "things": t.nics if of_nic else t.backends,
                    "rows": rows,
                }
            )
    return {"stages": shown}


def _part(edition: Edition, release: Release, part: Part, facts: PartFacts, link: Linker) -> dict[str, Any]:
    language = edition.wording.name
    known = {name: callback_page(name) for name in release.callbacks()}
    functions = []
    for name, role in part.roles:
        if name in facts.functions:
            file, line = facts.functions[name]
            functions.append((link.function(name, file), link.place(file, line), role[language]))
    fields = [
        (owner, [(link.function(name, file), link.place(at, line)) for name, file, at, line in rows])
        for owner, rows in facts.fields.items()
    ]
    return {
        "about": [link.names(text, known) for text in part.about[language]],
        "functions": functions,
        "missing": [name for name, _ in part.roles if name not in facts.functions],
        "fields": fields,
        "structs": [
            (name, [tuple(map(clean, row)) for row in rows], total)
            for name, (rows, total) in facts.structs.items()
        ],
    }
