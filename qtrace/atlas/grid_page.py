"""The grid of a release: every NIC on every back end, with what there is of each pair."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from markupsafe import Markup

from qtrace.atlas.edition import Edition, Page
from qtrace.atlas.linking import Linker
from qtrace.atlas.pair_facts import VHOST, WALK, Pair
from qtrace.atlas.pair_pages import MARKS, costs_of
from qtrace.atlas.permalinks import pair_page
from qtrace.atlas.release_facts import Release
from qtrace.report.speech import told
from qtrace.report.text import clean

__all__ = ["grid_page", "pair_cell"]


def grid_page(edition: Edition, release: Release) -> Page:
    """The first page of a release."""
    title = f"{edition.wording.grid_title}: QEMU {release.name}"
    values = functools.partial(_values, edition, release)
    return Page("index.html", title, "grid.html.j2", values, (), release)


def _values(edition: Edition, release: Release, link: Linker) -> dict[str, Any]:
    catalogue, t = release.catalogue, edition.wording
    rows = []
    for entry in catalogue["nics"]:
        facts = release.nics[entry["name"]]
        buses = sorted({bus for _, bus, _ in facts.types if bus})
        rows.append(
            {
                "name": entry["name"],
                "words": clean(" ".join((entry["name"], *entry["types"]))),
                "built": release.built(entry),
                "arch": " ".join(facts.architectures),
                "kconfig": clean(entry["kconfig"]),
                "buses": [clean(bus) for bus in buses],
                "types": [clean(kind) for kind in entry["types"]],
                "cells": [
                    pair_cell(edition, release, release.pairs[entry["name"], other["name"]], link)
                    for other in catalogue["backends"]
                ],
            }
        )
    things = [
        ("backends/index.html", t.backends),
        ("nics/index.html", t.nics),
        ("callbacks/index.html", t.callbacks),
        ("stages.html", t.stages),
        ("parts/index.html", t.parts),
        ("functions/index.html", t.functions),
    ]
    return {
        "things": things,
        "build": _build(edition, release),
        "columns": [
            {"name": entry["name"], "built": release.built(entry)} for entry in catalogue["backends"]
        ],
        "rows": rows,
        "buses": sorted({bus for row in rows for bus in row["buses"]}),
        "reasons": dict(_reasons(release, link)),
    }


def _build(edition: Edition, release: Release) -> str:
    """What is known of a build: by which program, how much it has, and of what it says nothing."""
    t, program = edition.wording, release.program
    if program is None:
        return "" if release.has_build else t.build_unknown
    kinds = {kind: release.catalogue[kind] for kind in ("nics", "backends")}
    counts = {kind: sum(map(bool, map(release.built, entries))) for kind, entries in kinds.items()}
    said = t.build_of.format(
        program=clean(str(program.file)),
        version=clean(f"{program.version} {program.package}".strip()),
        nics=f"{counts['nics']} / {len(kinds['nics'])}",
        backends=f"{counts['backends']} / {len(kinds['backends'])}",
    )
    untold = [clean(entry["name"]) for entry in kinds["nics"] if release.built(entry) is None]
    return said + (" " + t.build_untold.format(names=", ".join(untold)) if untold else "")


def pair_cell(edition: Edition, release: Release, pair: Pair, link: Linker) -> dict[str, Any]:
    """A pair in one mark, with its address and the same in words."""
    kind = pair.kind
    if kind == WALK and any(variant.kind == VHOST for variant in pair.variants):
        kind = VHOST
    measured = is_measured(edition, release, pair)
    said = [
        f"{clean(pair.nic)} {edition.wording.on} {clean(pair.netdev)}: {edition.wording.word(f'cell_{kind}')}"
    ]
    said += [edition.wording.cell_measured] if measured else []
    return {
        "name": pair.netdev,
        "kind": kind,
        "mark": MARKS[kind],
        "href": link.href(pair_page(pair.nic, pair.netdev)),
        "title": ", ".join(said),
        "measured": measured,
    }


def is_measured(edition: Edition, release: Release, pair: Pair) -> bool:
    """Whether a run that was given, or the committed report, has the pair."""
    key = (pair.nic, pair.netdev)
    return key in edition.runs.pairs(release.name) or bool(costs_of(release, *key))


def _reasons(release: Release, link: Linker) -> Iterator[tuple[str, Markup]]:
    """Why there is no walk -> the pairs, those of one back end together."""
    by_text: dict[str, dict[str, list[str]]] = {}
    for pair in release.pairs.values():
        if pair.reason:
            text = told(clean(pair.reason).removeprefix(f"{clean(pair.nic)} on {clean(pair.netdev)}: "))
            by_text.setdefault(text, {}).setdefault(pair.netdev, []).append(pair.nic)
    for text, pairs in by_text.items():
        shown = [
            Markup("{}: {}").format(
                link.backend(netdev),
                link.several(link.to(pair_page(nic, netdev), nic) for nic in nics),
            )
            for netdev, nics in pairs.items()
        ]
        yield text, Markup("<br>").join(shown)
