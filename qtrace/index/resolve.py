"""Joins the facts of all files into one graph: each call through a pointer gets its possible targets.

The join is on (struct type, field), never on a bare member name. Wrappers are resolved: a function passed as
an argument counts as stored if the callee, or one of its callees, stores that parameter (`virtio_add_queue`,
`qemu_bh_new_full`, `qemu_set_fd_handler` and any other).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from qtrace.index.facts import Call, Facts, Function, Pass, Store, Use
from qtrace.index.own_tables import OwnTables
from qtrace.index.parent_callbacks import kept_of_parents
from qtrace.index.platforms import other_platform, other_system

__all__ = ["Graph", "Registration", "resolve"]

# Fields whose function is called later, from the main loop: an edge through such a field is asynchronous.
ASYNC_FIELDS = {
    "QEMUBH.cb": "bottom half",
    "QEMUTimer.cb": "timer",
    "AioHandler.io_read": "fd handler",
    "AioHandler.io_write": "fd handler",
    "AioHandler.io_poll": "fd handler",
    "Notifier.notify": "notifier",
    "GSource.callback": "GLib source",
}
# Functions that schedule the function held in a field.
SCHEDULERS = (
    "qemu_bh_schedule",
    "qemu_bh_schedule_idle",
    "timer_mod",
    "timer_mod_ns",
    "timer_mod_anticipate",
    "replay_bh_schedule_event",
)
# Where GLib and others store a function argument: (name, argument) -> a made-up field.
_ELSEWHERE_KEPT = {("g_source_set_callback", 1): "GSource.callback"}
_DEEPEST = 6


class Registration(NamedTuple):
    """`value` (what: `function` or `variable`) is stored in `owner`. `by` names the callee that stores it.

    `origin`, (file, line, why), is set if the value was copied from another field: the place where that
    field got it. The function is then not named here.
    """

    owner: str
    what: str
    value: str
    rule: str
    caller: str
    file: str
    line: int
    by: str
    origin: tuple[str, int, str] | None = None


class EdgeFact(NamedTuple):
    """A resolved call between USRs. `parameter` is the number of the caller's parameter that is called (the
    targets are then what the caller's own callers pass), -1 for a call through anything else."""

    caller: str
    callee: str
    file: str
    line: int
    kind: str
    rule: str
    field: str
    evidence: str
    loop: bool = False
    parameter: int = -1


class Graph(NamedTuple):
    """The result of `resolve`; functions by USR. `external` functions have only a name."""

    functions: dict[str, Function]
    external: dict[str, str]
    edges: list[EdgeFact]
    unresolved: list[tuple[str, str, int, str]]
    registrations: list[Registration]
    stores: list[Store]
    passes: list[Pass]
    uses: list[Use]


def resolve(facts: Iterable[Facts]) -> Graph:
    """Join calls to targets. Deterministic: equal facts give an equal graph."""
    # Files for other systems come last.
    all_facts = sorted(facts, key=lambda unit: other_platform(unit.file))
    functions, external = _built(all_facts)
    names = external | {usr: function.name for usr, function in functions.items()}
    stores = list(dict.fromkeys(store for unit in all_facts for store in unit.stores))
    uses = list(dict.fromkeys(use for unit in all_facts for use in unit.uses))
    passes = list(dict.fromkeys(item for unit in all_facts for item in unit.passes))
    registrations = _registrations(stores, passes, names, external)
    targets: dict[str, list[Registration]] = defaultdict(list)
    for entry in registrations:
        if entry.what == "function":
            targets[entry.owner].append(entry)
    handed = _handed_as_argument(passes, names)
    structs = [struct for unit in all_facts for struct in unit.structs]
    own = OwnTables(functions, structs, passes, stores)
    edges: list[EdgeFact] = []
    unresolved: list[tuple[str, str, int, str]] = []
    for call in dict.fromkeys(call for unit in all_facts for call in unit.calls):
        if call.kind == "direct":
            direct = ("direct", "call", "", "[]")
            edges.append(EdgeFact(call.caller, call.target, call.file, call.line, *direct, call.loop))
            continue
        found = targets.get(call.target, []) if call.kind in ("field", "variable") else []
        if call.kind == "variable":  # a static array's name is unique in its file only
            found = [entry for entry in found if entry.file == call.file] or found
        if call.kind == "param":
            found = handed.get((call.caller, int(call.target)), [])
        # Another system's files are not in a Linux build, so only they see what they register.
        found = [entry for entry in found if entry.file == call.file or not other_system(entry.file)]
        if mine := own.allows(call.caller, call.target):
            found = [entry for entry in found if (entry.owner, entry.file, entry.line) in mine] or found
        if not found:
            # A function's own variable has the function in its name.
            what = f"{call.kind} {call.target.rpartition(' ')[2]}".strip()
            unresolved.append((call.caller, call.file, call.line, what))
        for entry in found:
            owner = entry.owner if call.kind == "param" else call.target
            edges.append(_edge(call, entry, owner))
    edges += _scheduled(passes, stores, names)
    return Graph(functions, external, edges, unresolved, registrations, stores, passes, uses)


def _built(all_facts: list[Facts]) -> tuple[dict[str, Function], dict[str, str]]:
    """The functions by USR, and the names of functions that are called but not defined.

    If several files define a function, one is chosen: Linux's rather than another system's, and the real
    function, which is longer, rather than a stub. The facts of the other definitions' bodies are removed.
    """
    functions: dict[str, Function] = {}
    external: dict[str, str] = {}
    lengths: dict[str, tuple[bool, int]] = {}
    for unit in all_facts:
        rank = not other_platform(unit.file)
        for function in unit.functions:
            length = rank, function.end - function.line
            if function.usr not in functions or length > lengths[function.usr]:
                functions[function.usr], lengths[function.usr] = function, length
    for unit in all_facts:
        away = {f.usr for f in unit.functions if functions[f.usr].file != f.file}
        unit.calls = [call for call in unit.calls if call.caller not in away]
        unit.passes = [item for item in unit.passes if item.caller not in away]
        unit.stores = [store for store in unit.stores if store.caller not in away]
        unit.uses = [use for use in unit.uses if use.caller not in away]
        for usr, name in unit.external.items():
            external.setdefault(usr, name)
    return functions, {usr: name for usr, name in external.items() if usr not in functions}


def _edge(call: Call, entry: Registration, owner: str) -> EdgeFact:
    # A field's function may be called through a variable: `cb = ts->cb; cb(opaque)`.
    through = entry.by.removeprefix("from ")
    kind = "async" if {owner, through} & ASYNC_FIELDS.keys() else entry.rule
    done = f"is set by {entry.by}" if entry.by else "is set"
    if " " in owner and through:
        owner, done = through, "is read"
    evidence = [
        *((entry.origin,) if entry.origin else ()),
        (entry.file, entry.line, f"{owner} {done}"),
        (call.file, call.line, f"{owner} is called"),
    ]
    return EdgeFact(
        *(call.caller, entry.value, call.file, call.line, kind, f"{entry.rule}:{owner}", owner),
        *(json.dumps(evidence), call.loop, int(call.target) if call.kind == "param" else -1),
    )


def _registrations(
    stores: list[Store], passes: list[Pass], names: dict[str, str], external: dict[str, str]
) -> list[Registration]:
    """All values stored in fields: by tables, by assignment, as an argument."""
    found: list[Registration] = []
    kept: dict[tuple[str, int], set[str]] = defaultdict(set)  # (callee, argument) -> fields
    for store in stores:
        if store.what in ("function", "variable"):
            rule = "table" if store.variable else "assignment"
            found.append(
                Registration(
                    store.owner, store.what, store.value, rule, store.caller, store.file, store.line, ""
                )
            )
        elif store.what == "param":
            kept[store.caller, int(store.value)].add(store.owner)
    for usr, name in names.items():
        for (known, argument), owner in _ELSEWHERE_KEPT.items():
            if name == known:
                kept[usr, argument].add(owner)
    handed_on = [item for item in passes if item.what == "param"]
    for _ in range(_DEEPEST):
        grown = False
        for item in handed_on:
            inner = kept.get((item.callee, item.argument))
            key = (item.caller, int(item.value))
            if inner and not inner <= kept[key]:
                kept[key] |= inner
                grown = True
        if not grown:
            break
    for item in passes:
        if item.what in ("function", "variable"):
            owners = sorted(kept.get((item.callee, item.argument), ()))
            if not owners and item.what == "function" and item.callee in external:
                owners = [f"{external[item.callee]}()"]  # stored in unindexed code, as by a hypercall
            for owner in owners:
                found.append(
                    Registration(
                        *(owner, item.what, item.value, "argument", item.caller, item.file, item.line),
                        names.get(item.callee, ""),
                    )
                )
    for parent in kept_of_parents(stores, passes):
        item, why = parent.taken, f"{parent.source} is set in the parent class"
        by = f"{names.get(item.callee, '')} from {parent.source}"
        origin = (parent.file, parent.line, why)
        found.append(
            Registration(
                *(item.value, "function", parent.function, "parent class", item.caller, item.file, item.line),
                by=by,
                origin=origin,
            )
        )
    found += _handed_over(found, stores, passes, kept, names)
    return list(dict.fromkeys(found))


def _handed_as_argument(
    passes: list[Pass], names: dict[str, str]
) -> dict[tuple[str, int], list[Registration]]:
    """(function, argument) -> the functions that callers pass: `net_tx_pkt_send_custom(…, callback, …)`."""
    given: dict[tuple[str, int], dict[Registration, None]] = defaultdict(dict)
    for item in passes:
        if item.what == "function":
            owner = f"argument {item.argument + 1} of {names.get(item.callee, '')}"
            entry = Registration(
                *(owner, "function", item.value, "argument", item.caller, item.file, item.line), ""
            )
            given[item.callee, item.argument][entry] = None
    for _ in range(_DEEPEST):
        grown = False
        for item in passes:
            if item.what == "param" and (more := given.get((item.caller, int(item.value)))):
                before = len(given[item.callee, item.argument])
                given[item.callee, item.argument] |= more
                grown = grown or len(given[item.callee, item.argument]) > before
        if not grown:
            break
    return {key: list(entries) for key, entries in given.items()}


def _handed_over(
    known: list[Registration],
    stores: list[Store],
    passes: list[Pass],
    kept: dict[tuple[str, int], set[str]],
    names: dict[str, str],
) -> list[Registration]:
    """Values copied from one field to another: `qemu_set_fd_handler(fd, s->send_fn, …)`."""
    moves: list[tuple[str, str, str, str, str, int, str]] = [
        (owner, item.value, "argument", item.caller, item.file, item.line, names.get(item.callee, ""))
        for item in passes
        if item.what == "field"
        for owner in sorted(kept.get((item.callee, item.argument), ()))
    ]
    moves += [
        (store.owner, store.value, "assignment", store.caller, store.file, store.line, "")
        for store in stores
        if store.what == "field"
    ]
    functions: dict[str, dict[str, tuple[str, int, str]]] = defaultdict(dict)
    for entry in known:
        if entry.what == "function":
            functions[entry.owner].setdefault(entry.value, (entry.file, entry.line, f"{entry.owner} is set"))
    found: dict[Registration, None] = {}
    for _ in range(_DEEPEST):
        before = len(found)
        for owner, source, rule, caller, file, line, callee in moves:
            new = sorted(functions[source].keys() - functions[owner].keys()) if owner != source else []
            for value in new:
                by = " ".join(filter(None, (callee, f"from {source}")))
                origin = functions[source][value]
                found[Registration(owner, "function", value, rule, caller, file, line, by, origin)] = None
                functions[owner][value] = origin
        if len(found) == before:
            break
    return list(found)


def _scheduled(passes: list[Pass], stores: list[Store], names: dict[str, str]) -> list[EdgeFact]:
    """`x->bh = qemu_bh_new(f)` in one place and `qemu_bh_schedule(x->bh)` in another: f runs later."""
    made: dict[str, list[Store]] = defaultdict(list)
    for store in stores:
        if store.what == "made":
            made[store.owner].append(store)
    edges = []
    for item in passes:
        scheduler = names.get(item.callee, "")
        if item.what == "field" and item.argument == 0 and scheduler in SCHEDULERS:
            for store in made.get(item.value, ()):
                evidence = [
                    (store.file, store.line, f"{item.value} is made for {names.get(store.value, '')}"),
                    (item.file, item.line, f"{item.value} is scheduled by {scheduler}"),
                ]
                kind = "timer" if scheduler.startswith("timer") else "bottom half"
                edges.append(
                    EdgeFact(
                        *(item.caller, store.value, item.file, item.line, "async", kind, item.value),
                        json.dumps(evidence),
                    )
                )
    return list(dict.fromkeys(edges))
