"""The signs that each function's compiled body must have, and those that it may have, from the source.

A sign is a property of a function that also shows in its compiled body: the name of an exported callee, the
id of a static callee, a string, a trace point. The compiler may inline static callees of the same file and
of headers.
"""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from qtrace.store.index import FunctionRow, Index

__all__ = ["Sign", "Site", "Wanted", "unescaped"]

# ("call", name), ("static", id), ("string", text), ("trace", name), ("library", name of an imported
# function), ("takes", id of a function whose address it names), ("table", "variable file")
Sign = tuple[str, str | int]
Arguments = dict[int, tuple[str, str]]
_ESCAPE = re.compile(r"\\([abfnrtv\\'\"?]|[0-7]{1,3}|x[0-9a-fA-F]+)")
_CONTROL = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_HANDED_ON = 4  # functions through which a parameter is followed


def unescaped(text: str) -> str:
    """A string literal's content as the compiler has it, bytes as Latin-1."""

    def one(match: re.Match[str]) -> str:
        part = match[1]
        if part[0] == "x":
            return chr(int(part[1:], 16) & 255)
        return chr(int(part, 8) & 255) if part.isdigit() else _CONTROL.get(part, part)

    return _ESCAPE.sub(one, text).encode("utf-8", "replace").decode("latin-1")


class Site(NamedTuple):
    """A call of the source: argument -> (kind, value), as in the index."""

    callee: int
    arguments: Arguments


class Wanted:
    """The part of the index that the recovery needs, read once; derived answers are cached.

    There is one instance for each recovery, so caches that keep it alive (B019) keep nothing else.
    """

    def __init__(self, index: Index) -> None:
        self.rows = index.functions()
        self.calls: dict[int, set[int]] = defaultdict(set)
        imported = {row.name for row in self.rows.values() if not row.line}
        self.callers: dict[int, set[int]] = defaultdict(set)
        self.signs: dict[int, set[Sign]] = defaultdict(set)
        self.often: dict[int, int] = defaultdict(int)  # number of calls by name
        for caller, callee, often in index.calls():
            self.often[callee] += often
            self.callers[callee].add(caller)
            self.calls[caller].add(callee)
            self.signs[caller].add(self.sign_of(callee))
            if (name := self.rows[callee].name) in imported:
                self.signs[caller].add(("library", name))
        # Functions that the compiler may split: the fields that the first test reads.
        self.splits: dict[int, frozenset[int]] = {}
        self.rarely: set[int] = set()  # split only if a second test ends the function
        self.fields: dict[int, frozenset[int]] = {}  # field offsets in bytes (field_distances)
        self._read_uses(index)
        self.cells = index.cells()
        self.assigned: dict[int, set[tuple[str, int]]] = defaultdict(set)
        for caller, field, function in index.assigned():
            self.assigned[caller].add((field, function))
        self.sites = self._sites(index)
        self.passes = {
            caller: {
                (site.callee, number, what, value)
                for site in sites
                for number, (what, value) in site.arguments.items()
                if what in ("function", "variable")
            }
            for caller, sites in self.sites.items()
        }
        self.taken = self._taken()
        self.given: dict[int, set[Sign]] = defaultdict(set)  # signs of a call, for an inlined callee
        self.offsets = self._offsets(index)
        for caller, entries in self.passes.items():
            for _, _, what, value in entries:
                if what == "function":
                    self.signs[caller].add(("takes", int(value)))
                    self.given[caller].add(self.sign_of(int(value)))
                elif what == "variable":
                    self.signs[caller].add(("table", f"{value} {self.rows[caller].file}"))
        for caller, stored in self.assigned.items():
            self.signs[caller].update(("takes", function) for _, function in stored)
        self.by_file: dict[str, list[int]] = defaultdict(list)
        for row in self.rows.values():
            if row.line:
                self.by_file[row.file].append(row.id)
        self.called = {callee for callees in self.calls.values() for callee in callees}
        # Static functions with a use that the index does not see: returned, or called by the loader.
        self.unseen = {
            row.id
            for row in self.rows.values()
            if row.line and row.static and row.file.endswith(".c") and row.id not in self.called | self.taken
        }

    def _read_uses(self, index: Index) -> None:
        for function, what, value in index.uses():
            if what in ("splits", "rarely"):
                self.splits[function] = frozenset(map(int, value.split()))
                if what == "rarely":
                    self.rarely.add(function)
            elif what == "fields":
                self.fields[function] = frozenset(map(int, value.split()))
            else:
                self.signs[function].add((what, unescaped(value) if what == "string" else value.lower()))

    def sign_of(self, function: int) -> Sign:
        """The sign that a call of the function leaves in its caller."""
        row = self.rows[function]
        return ("static", function) if row.static else ("call", row.name)

    @functools.cache  # noqa: B019
    def inside(self, function: int) -> frozenset[int]:
        """Every function that the compiler may inline into this one, itself included."""
        return self._near(function, frozenset())

    def _near(self, function: int, left_out: frozenset[int]) -> frozenset[int]:
        found, todo, own = {function}, [function], self.rows[function].file
        while todo:
            here = self.rows[todo.pop()]
            for callee in self.calls.get(here.id, ()):
                row = self.rows[callee]
                near = row.static or row.file in (here.file, own) or row.file.endswith(".h")
                if row.line and near and callee not in found | left_out:
                    found.add(callee)
                    todo.append(callee)
        return frozenset(found)

    def without(self, function: int, left_out: int) -> frozenset[int]:
        """As `inside`, without functions that are inlined only through `left_out`."""
        return self._near(function, frozenset((left_out,)))

    @functools.cache  # noqa: B019
    def may(self, function: int) -> frozenset[Sign]:
        """Every sign that may show in the function's body."""
        inside = self.inside(function)
        own = {sign for inner in inside for sign in self.signs.get(inner, ())}
        return frozenset(own.union(*(self.given.get(inner, ()) for inner in inside)))

    @functools.cache  # noqa: B019
    def may_reach(self, function: int) -> frozenset[int]:
        """The offset of every field that the function's body may use."""
        return frozenset(at for inner in self.inside(function) for at in self.fields.get(inner, ()))

    @functools.cache  # noqa: B019
    def only_of(self, outer: int, inner: int) -> frozenset[int]:
        """The fields that `inner` uses, and no other function that may be inlined into `outer`."""
        others = {at for one in self.inside(outer) - {inner} for at in self.fields.get(one, ())}
        return self.fields.get(inner, frozenset()) - others

    @functools.cache  # noqa: B019
    def handed_own(self, function: int) -> frozenset[int]:
        """The functions that receive this one's first parameter as their first, directly or through
        callees."""
        found, todo = set[int](), [function]
        while todo:
            for site in self.sites.get(todo.pop(), ()):
                if site.arguments.get(0) == ("param", "0") and site.callee not in found:
                    found.add(site.callee)
                    todo.append(site.callee)
        return frozenset(found)

    @functools.cache  # noqa: B019
    def may_call(self, function: int) -> frozenset[int]:
        """Every function that its body may call."""
        return frozenset(callee for inner in self.inside(function) for callee in self.calls.get(inner, ()))

    @functools.cache  # noqa: B019
    def may_take(self, function: int) -> frozenset[int]:
        """Every function whose address its body may take."""
        found: set[int] = set()
        for inner in self.inside(function):
            found.update(given for _, given in self.assigned.get(inner, ()))
            found.update(int(value) for _, _, what, value in self.passes.get(inner, ()) if what == "function")
        return frozenset(found)

    def once(self, function: int) -> bool:
        """Whether the function has exactly one call, so that the compiler inlines it there."""
        row = self.rows[function]
        return row.static and function not in self.taken and self.often[function] == 1

    @functools.cache  # noqa: B019
    def in_circle(self, function: int) -> bool:
        """Whether functions that may be inlined into it call it again."""
        return any(function in self.inside(one) for one in self.inside(function) - {function})

    def has_one_body(self, function: int) -> bool:
        """Whether a separate body must remain: the compiler cannot inline the function into all its
        callers."""
        return not self.rows[function].static or function in self.taken or self.often[function] == 1

    def label(self, function: int) -> tuple[str, str]:
        """(name, file)."""
        row: FunctionRow = self.rows[function]
        return row.name, row.file

    def _sites(self, index: Index) -> dict[int, list[Site]]:
        """Caller -> its calls; for a callee that passes on a parameter, also the call that the callee
        makes."""
        found: dict[int, dict[tuple[int, int], Arguments]] = defaultdict(dict)
        for caller, callee, argument, what, value, line in index.passes():
            given = found[caller].setdefault((callee, line), {})
            text = unescaped(value) if what == "string" else value
            if given.setdefault(argument, (what, text)) != (what, text):
                given[argument] = ("several", "")
        sites = {
            caller: [Site(callee, given) for (callee, _), given in entries.items()]
            for caller, entries in found.items()
        }
        whole: dict[int, list[Site]] = {}
        for caller, own in sites.items():
            whole[caller], new = list(own), own
            for _ in range(_HANDED_ON):
                new = [deeper for site in new for deeper in _deeper(site, sites.get(site.callee, ()))]
                whole[caller] += new
        return whole

    def _taken(self) -> set[int]:
        """Functions whose address the indexed source takes."""
        found = {int(value) for *_, what, value in self.cells if what == "function" and value.isdigit()}
        found |= {value for entries in self.assigned.values() for _, value in entries}
        for passed in self.passes.values():
            found |= {int(value) for _, _, what, value in passed if what == "function" and value.isdigit()}
        return found

    def _offsets(self, index: Index) -> dict[str, int]:
        fields = {field for entries in self.assigned.values() for field, _ in entries}
        structs = {field.rpartition(".")[0] for field in fields}
        found: dict[str, int] = {}
        for struct in structs:
            for name, offset in index.offsets(struct).items():
                found[f"{struct}.{name}"] = offset
        return found


def _deeper(site: Site, inner: Iterable[Site]) -> Iterable[Site]:
    """The calls that the callee of `site` makes with one of its parameters."""
    for one in inner:
        given: Arguments = {}
        handed = False
        for number, (what, value) in one.arguments.items():
            if what != "param":
                given[number] = what, value
            elif int(value) in site.arguments and site.arguments[int(value)][0] in ("function", "variable"):
                given[number], handed = site.arguments[int(value)], True
            elif int(value) in site.arguments:
                given[number] = site.arguments[int(value)]
        if handed:
            yield Site(one.callee, given)
