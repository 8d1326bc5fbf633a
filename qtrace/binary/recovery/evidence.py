"""Whether a function of a binary can be a given function of the source: the signs in its body, its callers,
whether its address is taken, and its neighbours.

The functions of one C file stand side by side in a binary.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property

from qtrace.binary.code.scan import Scan
from qtrace.binary.file.elf import Elf
from qtrace.binary.recovery.field_distances import Reach
from qtrace.binary.recovery.wanted import Sign, Wanted, unescaped

__all__ = ["Evidence", "Placed"]

_SHORTEST = 4  # characters of a string that identifies a function
# Calls that the compiler, a cleanup attribute, or a trace point with the log back end adds to a body.
_TRACED = re.compile(r"(?:%d@%zu\.%06zu:)?(\w+) ")  # the format of a trace point with the log back end
_LIBRARY = re.compile(r"^(__)?(\w+?)(64)?(_chk)?$")
# Library functions whose calls a compiler makes, changes or leaves out.
_BUILTIN = re.compile(r"(__|mem|str|abort|puts|putchar|v?f?s?n?printf|fwrite|ffs|abs|l?log|bcmp)")
_CONSTRUCTOR = "do_qemu_init_"  # functions that type_init() and its like define: the loader calls them
_ADDED = frozenset(
    (
        *("qemu_get_thread_id", "qemu_log", "qemu_log_trylock", "qemu_log_unlock", "error_free"),
        *("error_propagate", "qobject_destroy", "object_unref", "qemu_mutex_unlock_impl", "qemu_event_set"),
        *("qemu_rec_mutex_unlock_impl", "qemu_log_mask_impl"),
    )
)
# Signs that count for a function if its body has them, but not against it if the source lacks them: compilers
# and macros make such calls, and the index does not see every use of an address.
_POSITIVE = ("library", "takes", "table")
_PUT_IN, _LIBRARY_WEIGHT = 0.25, 0.4  # weight of a sign of inlined code; of a call of a library
_MOST_HIDDEN = 3.0  # the most that missing signs of inlined code count against a function
_FEW_OWNERS = 3  # a string identifies a function if no more functions than this use it
# Share of the calls into other files that known bodies lack: without link-time optimisation a thousandth.
_MOST_LACKING = 0.05
_DSTATE = ("_TRACE_", "_DSTATE")


class Placed:
    """Functions of the source with known addresses: `of` maps id -> address, `at` maps address -> ids."""

    def __init__(self) -> None:
        self.of: dict[int, int] = {}
        self.at: dict[int, set[int]] = defaultdict(set)

    def put(self, function: int, address: int) -> None:
        self.of[function] = address
        self.at[address].add(function)


def _trace_points(elf: Elf) -> dict[int, str]:
    """Address of a trace event's enabling variable -> the event's name."""
    return {
        address: name[len(_DSTATE[0]) : -len(_DSTATE[1])].lower()
        for name, address in elf.objects.items()
        if name.startswith(_DSTATE[0]) and name.endswith(_DSTATE[1])
    }


def _handed_texts(wanted: Wanted) -> set[str]:
    """Strings that static functions receive as arguments: they may show in those functions' bodies."""
    return {
        value
        for sites in wanted.sites.values()
        for site in sites
        if wanted.rows[site.callee].static
        for what, value in site.arguments.values()
        if what == "string"
    }


class Evidence:
    """Compares the signs in each function of the binary with the signs of each function of the source."""

    def __init__(self, scan: Scan, wanted: Wanted, placed: Placed) -> None:
        self.scan, self.wanted, self.placed = scan, wanted, placed
        self.reach = Reach(scan, wanted)
        elf = scan.elf
        self.exported: dict[int, list[str]] = defaultdict(list)
        for name, address in elf.exports.items():
            self.exported[address].append(name)
        traces = _trace_points(elf)
        self.traces = set(traces.values())
        self._texts = {
            sign[1]
            for signs in wanted.signs.values()
            for sign in signs
            if sign[0] == "string" and len(str(sign[1])) >= _SHORTEST
        }
        self.tables: dict[int, tuple[str, str]] = {}  # address -> (variable, file)
        self._names = {str(sign[1]) for signs in wanted.signs.values() for sign in signs if sign[0] == "call"}
        self._table_texts: dict[str, set[str]] = defaultdict(set)
        for _, file, _, _, what, value in wanted.cells:
            if what == "string":
                self._table_texts[file].add(unescaped(value))
        self._loose_texts = _handed_texts(wanted).union(*self._table_texts.values())
        self._now: dict[int, list[frozenset[Sign]]] = {}
        self._callable: dict[tuple[int, int, int], bool] = {}
        self._events = {sign[1] for signs in wanted.signs.values() for sign in signs if sign[0] == "trace"}
        self.seen: set[str] = set()  # strings of the source to which the binary refers
        self._fixed: dict[int, set[Sign]] = {start: self._signs_of(start, traces) for start in scan.parts}
        self.taken = {target for target in elf.pointers.values() if target in scan.parts}
        for places in scan.refers.values():
            self.taken.update(place for place in places if place in scan.parts)
        self._starts = scan.starts
        self._owners: dict[Sign, set[int]] = defaultdict(set)
        for function, signs in wanted.signs.items():
            for sign in signs:
                self._owners[sign].add(function)
        # Strings whose absence is no evidence against a function: function names, and strings from headers.
        self._anywhere: set[str | int] = {row.name for row in wanted.rows.values()}
        self._anywhere |= {
            sign[1]
            for sign, owners in self._owners.items()
            if sign[0] == "string" and any(wanted.rows[one].file.endswith(".h") for one in owners)
        }
        self._having: dict[Sign, set[int]] = defaultdict(set)
        for function, row in wanted.rows.items():
            if row.line:
                for sign in wanted.may(function):
                    self._having[sign].add(function)

        self._anchors: list[int] = []
        self._files: list[str] = []

    @cached_property
    def mixed(self) -> bool:
        """Whether functions are inlined across files, as by link-time optimisation: bodies that are known by
        name lack the calls of functions in other files that their source has."""
        lacking = calls = 0
        for function, start in self.placed.of.items():
            if start in self.scan and self.wanted.rows[function].file.endswith(".c"):
                lacking += self.missing(start, function)
                calls += len(self.must(function))
        return lacking > calls * _MOST_LACKING

    def _signs_of(self, start: int, traces: dict[int, str]) -> set[Sign]:
        found: set[Sign] = set()
        for place in self.scan.refers.get(start, ()):
            if place in traces:
                found.add(("trace", traces[place]))
            elif (text := self.scan.elf.text_at(place)) is None:
                continue
            elif text in self._texts:
                found.add(("string", text))
                self.seen.add(text)
            elif (match := _TRACED.match(text)) and match[1] in self._events:
                found.add(("trace", match[1]))
                self.traces.add(match[1])
        for name in self.scan.imports.get(start, ()):
            if (match := _LIBRARY.match(name)) and (
                plain := name if name in self._names else match[2]
            ) in self._names:
                found.add(("library", plain))
        return found

    def signs(self, start: int) -> list[frozenset[Sign]]:
        """The signs in the body at `start`, each as the set of its alternative names."""
        if start not in self._now:
            self._now[start] = self._signs(start)
        return self._now[start]

    def _signs(self, start: int) -> list[frozenset[Sign]]:
        found = [frozenset((sign,)) for sign in self._fixed[start]]
        for callee in self.scan.calls.get(start, ()):
            names: set[Sign] = {("call", name) for name in self.exported.get(callee, ())}
            names |= {self.wanted.sign_of(function) for function in self.placed.at.get(callee, ())}
            if names and not any(name[1] in _ADDED for name in names):
                found.append(frozenset(names))
        for place in self.scan.refers.get(start, ()):
            if place in self.placed.at:
                takes: set[Sign] = {("takes", function) for function in self.placed.at[place]}
                found.append(frozenset(takes))
            elif place in self.tables:
                found.append(frozenset((("table", " ".join(self.tables[place])),)))
        return found

    def must(self, function: int) -> set[Sign]:
        """Signs that the function's body must show, unless the compiler removed the code as dead."""
        row = self.wanted.rows[function]
        found: set[Sign] = set()
        for callee in self.wanted.calls.get(function, ()):
            other = self.wanted.rows[callee]
            away = not other.static and other.file != row.file and not other.file.endswith(".h")
            if away and other.name in self.scan.elf.exports and other.name not in _ADDED:
                found.add(("call", other.name))
        return found | {
            sign
            for sign in self.wanted.signs.get(function, ())
            if sign[0] == "trace" and str(sign[1]) in self.traces
        }

    def unexplained(self, start: int, function: int) -> int:
        """The number of signs in the body at `start` that the function's body cannot have."""
        may = self.wanted.may(function)
        texts = self._table_texts[self.wanted.rows[function].file] | self._given_texts(function)
        return sum(
            not names & may
            for names in self.signs(start)
            if not any(
                kind in _POSITIVE or (kind == "string" and (text in texts or text in self._anywhere))
                for kind, text in names
            )
        )

    def _given_texts(self, function: int) -> set[str]:
        """Strings that the function's callers pass: if all pass the same string, the compiler may inline
        it."""
        return {
            str(sign[1])
            for caller in self.wanted.callers.get(function, ())
            for sign in self.wanted.signs.get(caller, ())
            if sign[0] == "string"
        }

    def missing(self, start: int, function: int) -> int:
        """The number of the function's signs that the body at `start` lacks."""
        shown = {name for names in self.signs(start) for name in names}
        return len(self.must(function) - shown)

    def mostly(self, start: int, function: int) -> bool:
        """Whether few signs are missing: the compiler leaves out dead code."""
        return self.missing(start, function) * 3 <= len(self.must(function))

    def may_contain(self, start: int, outer: int, function: int) -> bool:
        """Whether the body at `start` may equally be `outer` with the function inlined."""
        if function not in self.wanted.inside(outer):
            return False
        shown = {name for names in self.signs(start) for name in names}
        mine = self.wanted.signs.get(outer, set())
        lacking = {
            name
            for name in mine - shown
            if (name[0] == "string" and name[1] in self.seen)
            or (name[0] == "library" and not _BUILTIN.match(str(name[1])))
        }
        if lacking or self.missing(start, outer) or not self.reach.may_be(start, outer):
            return False
        return not self._hidden(start, outer)

    def own(self, start: int, function: int) -> tuple[int, int]:
        """(the function's own signs in the body, the number of them that no other function has)."""
        mine = self.wanted.signs.get(function, set())
        hits = [name for names in self.signs(start) for name in names & mine]
        return len(hits), sum(self._owners[name] == {function} for name in hits)

    def score(self, start: int, function: int) -> float:
        """The evidence that the function is at `start`, as a score; missing signs reduce it."""
        mine = self.wanted.signs.get(function, set())
        total = 0.0
        shown: set[Sign] = set()
        for names in self.signs(start):
            hits = names & mine
            if not hits:
                total -= _PUT_IN
                continue
            shown |= hits
            owners = min(len(self._owners[name]) for name in hits)
            weight = 3.0 if owners == 1 else 2.0 if owners < 4 else 1.0
            usual = all(
                name[0] == "library" and (owners > 1 or _BUILTIN.match(str(name[1]))) for name in hits
            )
            total += weight * (_LIBRARY_WEIGHT if usual else 1)
        lacking = {name for name in mine - shown if name[0] == "string" and name[1] in self.seen}
        total += self.reach.score(start, function)
        total -= min(_MOST_HIDDEN, self._hidden(start, function))
        return total - 2 * self.missing(start, function) - len(lacking)

    def _hidden(self, start: int, function: int) -> int:
        """The number of signs of functions that must be inlined here and that the body at `start` lacks.

        If the body calls no unknown function, every callee of the function that it does not call must have
        been inlined.
        """
        calls = self.scan.calls.get(start, set())
        if any(one not in self.placed.at and one not in self.exported for one in calls):
            return 0
        found: set[Sign] = set()
        todo, seen = [function], {function}
        while todo:
            for one in self.wanted.calls.get(todo.pop(), ()):
                row = self.wanted.rows[one]
                called = self.placed.of.get(one, -1) in calls
                if row.line and one not in seen and not called and one in self.wanted.inside(function):
                    seen.add(one)
                    todo.append(one)
                    found |= self.must(one)
        return len(found - self.must(function) - {name for names in self.signs(start) for name in names})

    def called_right(self, start: int, function: int) -> bool:
        """Whether every known caller of the body at `start` may call the function."""
        for caller in self.scan.callers.get(start, ()):
            known = self.placed.at.get(caller)
            if known and not any(self._calls_here(caller, one, function) for one in known):
                return False
            if not known and caller in self.exported and not self.wanted.rows[function].file.endswith(".h"):
                return False
        return True

    def _calls_here(self, start: int, outer: int, function: int) -> bool:
        """Whether the body of `outer` at `start` may call the function, itself or through inlined code."""
        key = start, outer, function
        if key not in self._callable:
            wanted = self.wanted
            self._callable[key] = (
                function in wanted.calls.get(outer, ())
                or function in wanted.may_take(outer)  # it passes the address to an inlined function
                or any(
                    self._shows_through(start, outer, one, function)
                    for one in wanted.inside(outer) & wanted.callers.get(function, set())
                )
            )
        return self._callable[key]

    def _shows_through(self, start: int, outer: int, inner: int, function: int) -> bool:
        """Whether the body of `outer` at `start` may contain `inner`, which calls the function: the signs of
        `inner` are in the body."""
        place = self.placed.of.get(inner)
        if place is not None and place in self.scan.calls.get(start, ()):
            return False  # `inner` is called, so it is not inlined
        shown = {name for names in self.signs(start) for name in names}
        needed = self.must(inner)
        if len(needed - shown) * 3 > len(needed):
            return False
        bodies = [one for one in self._bodies_below(inner) if one != function and self.must(one) - shown]
        calls = self.scan.calls.get(start, set())
        if bodies and not any(self.placed.of[one] in calls for one in bodies):
            return False
        return self.reach.leaves(start, outer, inner)

    def brought(self, start: int, outer: int, inner: int) -> bool:
        """Whether the body of `outer` at `start` shows a sign that only an inlined `inner` can have added."""
        telling = {
            sign
            for sign in self.wanted.may(inner)
            if sign[0] in ("call", "static", "trace") or (sign[0] == "string" and sign[1] in self.seen)
        }
        others = {
            sign
            for one in self.wanted.without(outer, inner)
            for sign in self.wanted.signs.get(one, set()) | self.wanted.given.get(one, set())
        }
        only = telling - others
        return any(names & only and not names & others for names in self.signs(start))

    def _bodies_below(self, function: int) -> set[int]:
        """The known static functions that the function calls, directly or through functions inlined into
        it."""
        found: set[int] = set()
        todo, seen = [function], {function}
        while todo:
            for one in self.wanted.calls.get(todo.pop(), ()):
                row = self.wanted.rows[one]
                if not row.static or not row.line or one in seen:
                    continue
                seen.add(one)
                if one in self.placed.of:
                    found.add(one)
                elif self.wanted.once(one):
                    todo.append(one)
        return found

    def taken_right(self, start: int, function: int) -> bool:
        """Whether the function's address is taken in the binary if and only if the source takes it."""
        if function in self.wanted.unseen:
            return start in self.taken
        taken = function in self.wanted.taken or self.wanted.rows[function].name.startswith(_CONSTRUCTOR)
        return (start in self.taken) == taken

    def settle(self) -> None:
        """Record the files of all known functions, in the order of their addresses."""
        self._now.clear()
        self._callable.clear()
        entries: dict[int, str] = {}
        for address in self.exported:
            entries[address] = "?"
        for address, functions in self.placed.at.items():
            files = {self.wanted.rows[one].file for one in functions} - {""}
            if len(files) == 1 and not (file := next(iter(files))).endswith(".h"):
                entries[address] = file
            elif files:
                entries.pop(address, None)
        self._anchors = sorted(entries)
        self._files = [entries[address] for address in self._anchors]

    def neighbours(self, start: int) -> tuple[str, str]:
        """The files of the nearest known functions before and behind `start`; `?` for a file that is not
        indexed."""
        number = bisect_left(self._anchors, start)
        before = self._files[number - 1] if number else "?"
        behind = number + (number < len(self._anchors) and self._anchors[number] == start)
        return before, self._files[behind] if behind < len(self._files) else "?"

    def stands_right(self, start: int, function: int) -> bool:
        """Whether no neighbour of `start` shows that the body is of another file than the function."""
        before, behind = self.neighbours(start)
        file = self.wanted.rows[function].file
        return file.endswith(".h") or before != behind or before == file or before == "?"

    def beside(self, start: int, function: int) -> bool:
        """Whether a neighbour of `start` is a known function of the same file."""
        return self.wanted.rows[function].file in self.neighbours(start)

    def supported(self, start: int) -> bool:
        """Whether a known function of the indexed files is a neighbour of `start` or calls it."""
        if any(file != "?" for file in self.neighbours(start)):
            return True
        if any(name[0] in ("takes", "table") for names in self.signs(start) for name in names):
            return True
        callers = self.scan.callers.get(start, ())
        return any(self.wanted.rows[one].line for caller in callers for one in self.placed.at.get(caller, ()))

    def names_alone(self, start: int, function: int) -> bool:
        """Whether the body names a table or a function that no other function of the source names."""
        mine = self.wanted.signs.get(function, set())
        return any(
            name[0] in ("takes", "table") and self._owners[name] == {function}
            for names in self.signs(start)
            for name in names & mine
        )

    def shows(self, start: int, function: int) -> bool:
        """Whether the body at `start` shows a sign of the function itself, or the function has no signs."""
        mine = self.wanted.signs.get(function, set())
        solid = {
            sign
            for sign in mine
            if sign[0] in ("call", "trace")
            or (sign[0] == "string" and sign[1] in self.seen and len(self._owners[sign]) <= _FEW_OWNERS)
        }
        solid = {sign for sign in solid if sign[0] != "call" or sign in self.must(function)}
        return not solid or bool(solid & {name for names in self.signs(start) for name in names})

    def possible(self, start: int, function: int) -> bool:
        """Whether nothing contradicts the function being at `start`; dead code may be missing."""
        return (
            self.taken_right(start, function)
            and self.stands_right(start, function)
            and self.called_right(start, function)
            and not self.unexplained(start, function)
        )

    def candidates(self, start: int) -> set[int]:
        """Functions without an address whose signs include every sign of the body at `start`."""
        sets: list[set[int] | frozenset[int]] = []
        for names in self.signs(start):
            if not any(
                kind in _POSITIVE
                or (kind == "string" and (text in self._loose_texts or text in self._anywhere))
                for kind, text in names
            ):
                sets.append(_union(self._having.get(name, set()) for name in names))
        for caller in self.scan.callers.get(start, ()):
            known = self.placed.at.get(caller)
            if known:
                sets.append(_union(self.wanted.may_call(one) | self.wanted.may_take(one) for one in known))
        before, behind = self.neighbours(start)
        if not sets:
            telling = [
                name
                for names in self.signs(start)
                for name in names
                if name[0] in ("takes", "table", "string")
            ]
            sets = [self._having[min(telling, key=lambda one: len(self._having[one]))]] if telling else []
        if not sets and before == behind and before != "?":
            sets.append(set(self.wanted.by_file[before]))
        if not sets:
            return set()
        sets.sort(key=len)
        found = set(sets[0]).intersection(*sets[1:])
        return {
            one
            for one in found
            if one not in self.placed.of
            and self.wanted.rows[one].file.endswith(".c")
            and self.taken_right(start, one)
            and self.stands_right(start, one)
            and self.called_right(start, one)
            and not self.unexplained(start, one)
        }


def _union(sets: Iterable[set[int] | frozenset[int]]) -> set[int]:
    found: set[int] = set()
    for one in sets:
        found |= one
    return found
