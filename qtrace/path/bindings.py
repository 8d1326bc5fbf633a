"""The functions that a path passes as arguments or stores in fields, so that calls through them are known.

A callee that calls its own parameter calls the function that this caller passed, not those of any caller:
e1000e and igb both send through `net_tx_pkt_send_custom`, each with its own callback. The same holds for a
field that was set on the path, unless it belongs to another object. So a field's binding is only preferred,
while a parameter's is decisive.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from qtrace.store.index import Edge, Index

__all__ = ["NOTHING", "Bindings", "Given", "Known", "bindings_of"]


class Given(NamedTuple):
    """A function, and the place that names it."""

    function: int
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Known:
    """The bindings at a function's entry: (parameter's number, its value), (`Struct.field`, its value)."""

    parameters: frozenset[tuple[int, Given]] = frozenset()
    fields: frozenset[tuple[str, Given]] = frozenset()

    def in_parameter(self, number: int) -> set[Given]:
        """The functions that the path passed in a parameter; empty if unknown."""
        return {given for at, given in self.parameters if at == number}

    def in_field(self, field: str) -> set[int]:
        """The functions that the path stored in a field."""
        return {given.function for at, given in self.fields if at == field}


NOTHING = Known()


@lru_cache(maxsize=4)
def bindings_of(index: Index) -> Bindings:
    """The same `Bindings` for all walks of an index, so that later walks use its cache."""
    return Bindings(index)


class Bindings:
    """Follows bindings through one index."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._given: dict[int, dict[tuple[int, int], list[tuple[int, str, str]]]] = {}
        self._kept: dict[int, list[tuple[str, Given]]] = {}

    def allows(self, edge: Edge, known: Known) -> bool:
        """Whether the path can continue by this call: a bound parameter allows no other function."""
        inside = known.in_parameter(edge.parameter) if edge.parameter >= 0 else set()
        return not inside or Given(edge.callee, *edge.evidence[0][:2]) in inside

    def decides(self, edge: Edge, known: Known) -> bool:
        """Whether the binding leaves no other target for the call."""
        inside = known.in_parameter(edge.parameter) if edge.parameter >= 0 else set()
        return len({given.function for given in inside}) == 1

    def contradicts(self, edge: Edge, known: Known) -> bool:
        """Whether the path stored other functions in the called field."""
        inside = known.in_field(edge.field)
        return bool(inside) and edge.callee not in inside

    def behind(self, edge: Edge, known: Known) -> Known:
        """The bindings at the entry of the function that `edge` calls."""
        parameters = set()
        for argument, what, value in self._handed(edge.caller).get((edge.callee, edge.line), ()):
            if what == "function":
                parameters.add((argument, Given(int(value), edge.file, edge.line)))
            else:
                parameters |= {(argument, given) for given in known.in_parameter(int(value))}
        fields = known.fields
        if kept := [item for item in self._keeps(edge.caller) if item[1].line <= edge.line]:
            names = {field for field, _ in kept}
            fields = frozenset(item for item in fields if item[0] not in names) | frozenset(kept)
        if not parameters and fields == known.fields and not known.parameters:
            return known
        return Known(frozenset(parameters), fields)

    def _handed(self, caller: int) -> dict[tuple[int, int], list[tuple[int, str, str]]]:
        """(callee, line) -> (argument, what, value)."""
        if caller not in self._given:
            rows = defaultdict(list)
            for callee, argument, what, value, line in self._index.given(caller):
                rows[callee, line].append((argument, what, value))
            self._given[caller] = rows
        return self._given[caller]

    def _keeps(self, caller: int) -> list[tuple[str, Given]]:
        if caller not in self._kept:
            rows = self._index.kept_by(caller)
            self._kept[caller] = [(field, Given(value, file, line)) for field, value, file, line in rows]
        return self._kept[caller]
