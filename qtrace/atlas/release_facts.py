"""Everything that the pages of one release say, read from its index and its tree, as plain data.

It can be handed from process to process; nothing of it is read again when pages are written.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from qtrace.atlas.core_parts import Part, PartFacts, read_parts
from qtrace.atlas.function_facts import FunctionFacts, Key, functions_of, uses_of
from qtrace.atlas.pair_facts import Pair, Variant, pairs_of
from qtrace.atlas.source_places import SourceFile, SourcePlaces, find_sources, read_places
from qtrace.explain.clients import Client
from qtrace.explain.manual import read_manual
from qtrace.explain.meaning import option_rows
from qtrace.explain.models import Models
from qtrace.explain.reach_claims import reach_rows
from qtrace.explain.rights import privilege
from qtrace.explain.schema import read_schema
from qtrace.lab.guest.program_parts import ProgramParts
from qtrace.model import STAGE_ORDER, Direction, Path, Role, Way
from qtrace.path.catalogue import map_tree, nics
from qtrace.progress import Progress
from qtrace.store.index import Index

__all__ = ["BackendFacts", "NicFacts", "Release", "read_release", "ways_of_nic"]


@dataclass(frozen=True, slots=True)
class NicFacts:
    """What a NIC's page has besides the catalogue's entry: `types` are (type, bus, whether -device may make
    it), `properties` the rows of `explain` for the first of them, `architectures` the targets whose headers
    its files need, empty where any does. `realizes` are the functions (name, file, line) that set a device
    up."""

    types: tuple[tuple[str, str, bool], ...]
    properties: tuple[dict[str, Any], ...]
    architectures: tuple[str, ...]
    realizes: tuple[tuple[str, str, int], ...]


@dataclass(frozen=True, slots=True)
class BackendFacts:
    """What a back end's page has besides the catalogue's entry."""

    options: tuple[dict[str, Any], ...]
    rights: tuple[str, ...]
    reach: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Release:
    """One index. `name` is its folder in the atlas: the version, with +libraries where they are indexed.
    `program` is one of this release that was asked what it has."""

    name: str
    qemu: str
    configuration: str
    root: str
    catalogue: dict[str, Any]
    pairs: dict[tuple[str, str], Pair]
    functions: dict[Key, FunctionFacts]
    nics: dict[str, NicFacts]
    backends: dict[str, BackendFacts]
    parts: tuple[PartFacts, ...]
    places: SourcePlaces = field(default_factory=lambda: SourcePlaces({}))
    sources: dict[str, SourceFile] = field(default_factory=dict)
    program: ProgramParts | None = None

    @functools.cached_property
    def files(self) -> dict[str, list[FunctionFacts]]:
        """File -> its functions with an entry, in the order of their lines."""
        found: dict[str, list[FunctionFacts]] = {}
        for facts in sorted(self.functions.values(), key=lambda item: (item.file, item.line, item.name)):
            found.setdefault(facts.file, []).append(facts)
        return found

    @property
    def architectures(self) -> list[str]:
        """The targets that some NIC belongs to alone."""
        return sorted({name for nic in self.nics.values() for name in nic.architectures})

    @property
    def has_build(self) -> bool:
        """Whether it is known what a build has: by a program of the release, or by an index of a build."""
        entries = (*self.catalogue["nics"], *self.catalogue["backends"])
        return self.program is not None or not all(entry["built"] for entry in entries)

    def built(self, entry: Mapping[str, Any]) -> bool | None:
        """Whether the build has a NIC or back end of the catalogue: as the program says, else as the index
        does. None for a NIC without a type, of which a program says nothing."""
        if self.program is None:
            return bool(entry["built"])
        if "types" not in entry:
            return entry["name"] in self.program.backends
        return not self.program.types.isdisjoint(entry["types"]) if entry["types"] else None

    def callbacks(self) -> dict[str, list[tuple[str, str, dict[str, Any], dict[str, Any]]]]:
        """Field of NetClientInfo -> (kind, name of NIC or back end, its table, the function) of each table
        that has it, the fields that most tables have first."""
        found: dict[str, list[tuple[str, str, dict[str, Any], dict[str, Any]]]] = {}
        for kind in ("backends", "nics"):
            for entry in self.catalogue[kind]:
                for table in entry["tables"]:
                    for name, function in table["callbacks"].items():
                        found.setdefault(name, []).append((kind, entry["name"], table, function))
        return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def read_release(
    index: Index, parts: Sequence[Part], progress: Progress, *, with_source: bool = False
) -> Release:
    """Everything of one index; `with_source` finds the files of its tree too. Raises SourceError where the
    tree is gone."""
    root = FilePath(index.meta["root"])
    schema, manual, models = read_schema(root), read_manual(root), Models(index)
    catalogue = map_tree(index)
    pairs = pairs_of(index, progress)
    uses = uses_of(pairs.values())
    found_parts = tuple(read_parts(index, parts))
    named = {name for part in found_parts for name in part.names}
    named |= {entry["init"]["function"] for entry in catalogue["backends"]}
    functions = functions_of(index, uses, named)
    backends = {}
    for entry in catalogue["backends"]:
        client = Client("", "netdev", entry["name"], "-netdev", None)
        backends[entry["name"]] = BackendFacts(
            tuple(option_rows(client, schema, manual, models)),
            tuple(privilege(client)),
            tuple(reach_rows(client, root)),
        )
    release = Release(
        index.meta["qemu"] + ("+libraries" if index.libraries else ""),
        index.meta["qemu"],
        index.meta["configuration"],
        index.meta["root"],
        catalogue,
        pairs,
        functions,
        {nic.name: _nic(index, models, nic.name, nic.types, nic.files) for nic in nics(index)},
        backends,
        found_parts,
    )
    places = set(_places(release))
    release.places.urls.update(read_places(index, places).urls)
    if with_source:
        release.sources.update(find_sources(index, {file for file, _ in places}))
    return release


def _nic(index: Index, models: Models, name: str, types: Iterable[str], files: Iterable[str]) -> NicFacts:
    known = [models.by_type[kind] for kind in types if kind in models.by_type]
    rows: list[dict[str, Any]] = []
    usual = next((model for model in known if model.pluggable and not model.abstract), None)
    if usual:
        client = Client("", "nic", usual.type, "-device", None)
        root = FilePath(index.meta["root"])
        rows = option_rows(client, read_schema(root), read_manual(root), models)
    flags = {index.flags_of(file) for file in files}
    return NicFacts(
        tuple((model.type, model.bus, model.pluggable and not model.abstract) for model in known),
        tuple(rows),
        () if "common" in flags else tuple(sorted(flag for flag in flags if not flag.startswith("build"))),
        tuple(dict.fromkeys(_realizing(index, tuple(files)))),
    )


def _realizing(index: Index, files: Sequence[str]) -> Iterator[tuple[str, str, int]]:
    for owner, what, value, _, _ in index.registrations_in(files):
        if owner.endswith("Class.realize") and what == "function":
            row = index.function_by_id(int(value))
            yield row.name, row.file, row.line


def ways_of_nic(release: Release, nic: str) -> dict[tuple[Direction, Role], list[Way]]:
    """(direction, stage) -> all ways of a NIC on all back ends, each function once."""
    found: dict[tuple[Direction, Role], dict[tuple[str, str], Way]] = {
        (direction, role): {} for direction in Direction for role in STAGE_ORDER[direction]
    }
    for (name, _), pair in release.pairs.items():
        if name == nic:
            for path in pair.paths():
                for way in path.ways:
                    found[path.direction, way.stage].setdefault((way.function, way.file), way)
    return {key: list(ways.values()) for key, ways in found.items()}


def _places(release: Release) -> Iterator[tuple[str, int]]:
    """Every place that some page names."""
    for pair in release.pairs.values():
        for variant in pair.variants:
            yield from _of_variant(variant)
    for facts in release.functions.values():
        yield facts.file, facts.line
        for call in facts.callees:
            if call.field.startswith("NetClientInfo."):
                yield call.at_file, call.at_line
        for *_, file, line in (*facts.tables, *facts.fields):
            yield str(file), int(line)
    for entry in (*release.catalogue["backends"], *release.catalogue["nics"]):
        for table in (*entry["tables"], *entry.get("other_platforms", ())):
            yield table["file"], table["line"]
        yield from ((file, 0) for file in entry.get("files", ()))
    for nic in release.nics.values():
        yield from ((file, line) for _, file, line in nic.realizes)
    rows = [row for known in release.backends.values() for row in known.options]
    rows += [row for nic in release.nics.values() for row in nic.properties]
    yield from ((row["file"], row["line"]) for row in rows)
    for part in release.parts:
        yield from part.places()


def _of_variant(variant: Variant) -> Iterator[tuple[str, int]]:
    for way in (variant.tx, variant.rx):
        if isinstance(way, str):
            continue
        for step in way.steps:
            yield step.file, step.line
            for item in step.call.evidence if step.call else ():
                yield item.file, item.line
        if isinstance(way, Path):
            yield from ((other.file, other.line) for other in way.ways)
