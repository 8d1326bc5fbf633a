"""The functions of a release that have an entry of their own, with their callers and callees.

They are those on a walk or another way of a stage, in a static table, or named by another page, and the
callers and callees of these.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from qtrace.atlas.pair_facts import Pair
from qtrace.model import Path
from qtrace.store.index import Edge, FunctionRow, Index

__all__ = ["Call", "FunctionFacts", "Key", "Use", "functions_of", "uses_of"]

Key = tuple[str, str]  # file, name


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the other function `name` in `file` (empty outside of the tree), or by it, at a place."""

    name: str
    file: str
    at_file: str
    at_line: int
    kind: str
    confidence: str
    field: str


@dataclass(frozen=True, slots=True)
class Use:
    """NICs that have the function on their walks of one direction on each of these netdevs.

    `stage` is empty between stages; `usual` is false for another way of the stage.
    """

    direction: str
    stage: str
    usual: bool
    nics: tuple[str, ...]
    netdevs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FunctionFacts:
    """A function. `tables` are (`Struct.field`, variable, file, line), `fields` (`Struct.field`, file, line)
    where it is stored otherwise."""

    name: str
    file: str
    line: int
    static: bool
    callers: tuple[Call, ...]
    callees: tuple[Call, ...]
    tables: tuple[tuple[str, str, str, int], ...]
    fields: tuple[tuple[str, str, int], ...]
    unresolved: int
    uses: tuple[Use, ...] = ()


def uses_of(pairs: Iterable[Pair]) -> dict[Key, tuple[Use, ...]]:
    """Function -> the walks that pass it: netdevs with the same NICs stand together."""
    seen: dict[Key, dict[tuple[str, str, bool], dict[str, set[str]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(set))
    )
    for pair in pairs:
        for path in pair.paths():
            for file, name, stage, usual in _passed(path):
                known = seen[file, name][path.direction.value, stage, usual]
                known[_as_typed(path)].add(pair.nic)
    return {key: tuple(_grouped(by_role)) for key, by_role in seen.items()}


def _as_typed(path: Path) -> str:
    return f"{path.netdev},vhost=on" if path.datapath != "qemu" else path.netdev


def _passed(path: Path) -> Iterable[tuple[str, str, str, bool]]:
    for step in path.steps:
        yield step.file, step.function, step.stage or "", True
    for way in path.ways:
        if not way.usual and way.file:
            yield way.file, way.function, way.stage.value, False


def _grouped(by_role: Mapping[tuple[str, str, bool], Mapping[str, set[str]]]) -> Iterable[Use]:
    for (direction, stage, usual), by_netdev in sorted(by_role.items(), key=lambda item: item[0]):
        together: dict[frozenset[str], list[str]] = defaultdict(list)
        for netdev, nics in by_netdev.items():
            together[frozenset(nics)].append(netdev)
        for names, netdevs in together.items():
            yield Use(direction, stage, usual, tuple(sorted(names)), tuple(netdevs))


def functions_of(
    index: Index, uses: Mapping[Key, tuple[Use, ...]], named: Iterable[str]
) -> dict[Key, FunctionFacts]:
    """Every function with an entry; `named` are further names that pages have."""
    rows = index.functions()
    by_name: dict[str, list[int]] = defaultdict(list)
    for number, row in rows.items():
        by_name[row.name].append(number)
    tables: dict[int, list[tuple[str, str, str, int]]] = defaultdict(list)
    for number, owner, variable, file, line in index.functions_in_tables():
        tables[number].append((owner, variable, file, line))
    stored: dict[int, list[tuple[str, str, int]]] = defaultdict(list)
    for number, owner, file, line in index.stored_functions():
        stored[number].append((owner, file, line))
    unresolved = index.unresolved_counts()
    wanted = {number for number, row in rows.items() if (row.file, row.name) in uses}
    wanted |= {*stored, *tables, *(number for name in named for number in by_name.get(name, ()))}
    near = {edge.callee for number in wanted for edge in index.callees(number)}
    near |= {edge.caller for number in wanted for edge in index.callers(number)}
    found = {}
    for number in sorted(wanted | near):
        row = rows[number]
        if row.file:
            held = tuple(tables.get(number, ()))
            in_tables = {(file, line) for *_, file, line in held}
            found[row.file, row.name] = FunctionFacts(
                row.name,
                row.file,
                row.line,
                row.static,
                _calls(rows, index.callers(number), outward=False),
                _calls(rows, index.callees(number), outward=True),
                held,
                tuple(item for item in stored.get(number, ()) if item[1:] not in in_tables),
                unresolved.get(number, 0),
                uses.get((row.file, row.name), ()),
            )
    return found


def _calls(rows: Mapping[int, FunctionRow], edges: Iterable[Edge], *, outward: bool) -> tuple[Call, ...]:
    """Each call once, in the order of its place."""
    found: dict[Call, None] = {}
    for edge in edges:
        other = rows[edge.callee if outward else edge.caller]
        call = Call(other.name, other.file, edge.file, edge.line, edge.kind, edge.confidence, edge.field)
        found.setdefault(call)
    return tuple(found)
