"""Every figure, name and place of a post, each with its source; the post's facts.json has those that it
uses."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from qtrace.errors import PostError

__all__ = ["Fact", "FactBook"]

# What a fact can come from.
KINDS = ("transcript", "capture", "reach", "mode", "run", "index", "explain", "script", "world")


@dataclass(frozen=True, slots=True)
class Fact:
    """`value` is the text as the post shows it; `kind` one of `KINDS`, `at` the place in that source."""

    name: str
    value: str
    kind: str
    at: str


class FactBook:
    """Facts by name. Asking for one marks it as used."""

    def __init__(self) -> None:
        self._facts: dict[str, Fact] = {}
        self._used: dict[str, Fact] = {}

    def add(self, name: str, value: object, kind: str, at: str) -> None:
        """Put a fact in. The same name with another value is a mistake of ours: raises PostError."""
        fact = Fact(name, str(value), kind, at)
        if kind not in KINDS or self._facts.get(name, fact).value != fact.value:
            raise PostError(f"the fact {name} is given twice, or its kind {kind!r} is unknown")
        self._facts[name] = fact

    def has(self, name: str) -> bool:
        """Whether there is such a fact: what is built on one that is not there is left out."""
        return name in self._facts

    def use(self, name: str) -> str:
        """The fact's text. Raises PostError, with names that are near, where there is none."""
        if name not in self._facts:
            near = [other for other in self._facts if other.split(".")[0] == name.split(".")[0]]
            raise PostError(
                f"a template asks for the fact {name}, which is not known", hint=f"known: {', '.join(near)}"
            )
        self._used[name] = self._facts[name]
        return self._facts[name].value

    def record(self, name: str, value: object, kind: str, at: str) -> str:
        """Put in and use at once."""
        self.add(name, value, kind, at)
        return self.use(name)

    def number(self, name: str) -> float:
        """The fact as a number, to decide what is said. Raises PostError."""
        try:
            return float(self.use(name).replace(",", ""))
        except ValueError as exc:
            raise PostError(f"the fact {name} is no number") from exc

    @property
    def used(self) -> list[Fact]:
        """What was asked for, in that order."""
        return list(self._used.values())

    def to_json(self, head: dict[str, Any]) -> str:
        """The text of facts.json: `head`, and the facts that were used."""
        facts = [asdict(fact) for fact in sorted(self.used, key=lambda fact: fact.name)]
        return json.dumps({**head, "facts": facts}, indent=1, ensure_ascii=False) + "\n"
