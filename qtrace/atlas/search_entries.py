"""What the search of the pages finds: names, files and words, each with its address."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from qtrace.atlas.documents import Document
from qtrace.atlas.edition import Edition
from qtrace.atlas.front_pages import front_entries
from qtrace.atlas.permalinks import (
    backend_page,
    callback_page,
    file_page,
    fragment,
    nic_page,
    pair_page,
    part_page,
)
from qtrace.atlas.release_facts import Release
from qtrace.model import STAGE_ORDER, Direction
from qtrace.report.speech import speaking, told
from qtrace.report.text import clean

__all__ = ["search_script"]

_KINDS = (
    *("kind_function", "kind_file", "kind_nic", "kind_backend", "kind_pair", "kind_callback", "kind_part"),
    *("kind_stage", "kind_option", "kind_property", "kind_table", "kind_page"),
)
_LONGEST = 160  # characters of the words beside a name
Entry = tuple[str, str, str, str]  # name, kind, words, address


def search_script(edition: Edition, documents: Sequence[Document] = ()) -> str:
    """assets/search.js: a script and no data file, because a page that was opened from a file may load one.

    An entry's last number tells in which releases it is, a bit for each; -1 for a page of no release.
    """
    where: dict[Entry, int] = {}
    with speaking(edition.spoken):
        for number, release in enumerate(edition.releases):
            for entry in _entries(edition, release):
                where[entry] = where.get(entry, 0) | 1 << number
    merged: dict[tuple[str, str, str], tuple[str, int]] = {}
    for (name, kind, words, place), bits in where.items():  # the newest release's words stand for all
        key = (name, kind, place)
        merged[key] = (words, merged.get(key, ("", 0))[1] | bits)
    rows = [
        [name, _KINDS.index(kind), words, place, bits]
        for (name, kind, place), (words, bits) in merged.items()
    ]
    rows += [
        [clean(name), _KINDS.index("kind_page"), clean(words)[:_LONGEST], place, -1]
        for name, words, place in front_entries(edition, documents)
    ]
    data = {
        "releases": [release.name for release in edition.releases],
        "kinds": [edition.wording.word(kind) for kind in _KINDS],
        "entries": rows,
    }
    # Within a script element the text could not end it: it is a file of its own.
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return f"window.atlasSearch={text};\n"


def _entries(edition: Edition, release: Release) -> Iterator[Entry]:
    for name, kind, words, place in _raw(edition, release):
        yield clean(name), kind, clean(" ".join(words.split()))[:_LONGEST], place


def _raw(edition: Edition, release: Release) -> Iterator[Entry]:
    t = edition.wording
    for file, name in release.functions:
        yield name, "kind_function", file, f"{file_page(file)}#{fragment(name)}"
    for file in release.files:
        yield file, "kind_file", "", file_page(file)
    for entry in release.catalogue["nics"]:
        page = nic_page(entry["name"])
        words = " ".join((*entry["types"], entry["kconfig"], *entry["files"]))
        yield entry["name"], "kind_nic", words, page
        yield from _of_thing(entry, release.nics[entry["name"]].properties, "kind_property", page)
    for entry in release.catalogue["backends"]:
        page = backend_page(entry["name"])
        yield entry["name"], "kind_backend", f"-netdev {entry['init']['function']}", page
        yield f"{entry['name']} {t.offloads}", "kind_backend", t.offloads_words, f"{page}#offloads"
        yield f"{entry['name']} {t.rights}", "kind_backend", "", f"{page}#rights"
        yield from _of_thing(entry, release.backends[entry["name"]].options, "kind_option", page)
    types = {entry["name"]: " ".join(entry["types"]) for entry in release.catalogue["nics"]}
    for pair in release.pairs.values():
        words = f"{types[pair.nic]} {told(pair.reason)}"
        yield f"{pair.nic} {t.on} {pair.netdev}", "kind_pair", words, pair_page(pair.nic, pair.netdev)
    for field in release.callbacks():
        yield (
            f"NetClientInfo.{field}",
            "kind_callback",
            edition.wording.callback_words.get(field, ""),
            callback_page(field),
        )
    for part, facts in zip(edition.parts, release.parts, strict=True):
        if facts.functions:
            words = " ".join((*part.structs, *part.about[t.name]))
            yield part.title[t.name], "kind_part", words, part_page(part.name)
    for direction in Direction:
        for role in STAGE_ORDER[direction]:
            place = f"stages.html#{direction}-{role}"
            yield f"{direction} {role}", "kind_stage", t.word(f"stage_{role}"), place


def _of_thing(entry: dict[str, Any], rows: Iterable[dict[str, Any]], kind: str, page: str) -> Iterator[Entry]:
    """The options and tables of a NIC or back end."""
    for row in rows:
        yield (
            f"{entry['name']} {row['name']}=",
            kind,
            row["meaning"],
            f"{page}#option-{fragment(row['name'])}",
        )
    for table in entry["tables"]:
        place = f"{page}#table-{fragment(table['variable'])}"
        yield table["variable"], "kind_table", table["file"], place
