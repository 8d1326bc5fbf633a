"""A cause that limits or breaks a network; each is a file of `causes/`, found by itself.

Such a file has a docstring, whose first paragraph says what it looks for; `LOOKS_AT`, in a few words;
`THRESHOLD`, from where on it is named and why from there; and `look(seen)`, which gives the findings. What it
may look at is an `Observation`, and nothing else: thresholds are tried on observations that were recorded.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import qtrace.diagnosis.causes as folder
from qtrace.diagnosis.observation import Observation

__all__ = ["Advice", "Cause", "Diagnosis", "Effect", "Evidence", "Finding", "Sure", "causes", "diagnose"]

# What it does to the network: no frame of some kind passes, or fewer than could; a note does neither.
Effect = Literal["breaks", "limits", "note"]
# `certain`: a state that was read, and frames that were counted, say so; `likely`: counts alone do, and
# something else could show the same; `possible`: it is one of several causes of what was counted.
Sure = Literal["certain", "likely", "possible"]
_RANKS: dict[Effect, int] = {"breaks": 0, "limits": 1, "note": 2}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen: a sentence's part with its numbers. `value` lies between `low` and `high` (95 %); they
    are None where it is a state, and the same where it was counted exactly. `function` and `place`
    (FILE:LINE) are where, empty where it is no function."""

    text: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    stage: str = ""
    function: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True)
class Advice:
    """What would change it: in words, and the line or command that does, empty where there is none."""

    text: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """`about` is the NIC's title, a thread or the process. `share` is how much of the traffic, or of the
    window, it concerns, 0 to 1: findings of one effect stand in its order. `sure` and `because` say how sure
    it is, and on what that rests."""

    about: str
    effect: Effect
    share: float
    text: str
    evidence: Sequence[Evidence]
    advice: Sequence[Advice]
    sure: Sure
    because: str
    cause: str = ""

    @property
    def weight(self) -> tuple[int, float]:
        """What findings are sorted by, the heaviest first."""
        return _RANKS[self.effect], -self.share

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "evidence": [asdict(item) for item in self.evidence]}


@dataclass(frozen=True, slots=True)
class Cause:
    """`name` is the file's name with dashes; the other texts are the file's own."""

    name: str
    looks_for: str
    explained: str
    looks_at: str
    threshold: str
    look: Callable[[Observation], Iterator[Finding]]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Findings in order of weight; `looked_at` is one line for each cause, `unknown` what could not be."""

    observation: Observation
    findings: Sequence[Finding]
    looked_at: Sequence[str]
    unknown: Sequence[str]

    @property
    def weighty(self) -> Sequence[Finding]:
        """Those that limit or break something."""
        return [finding for finding in self.findings if finding.effect != "note"]


def causes() -> list[Cause]:
    """Every cause, by name."""
    found = []
    for item in pkgutil.iter_modules(folder.__path__):
        module = importlib.import_module(f"{folder.__name__}.{item.name}")
        text = " ".join((module.__doc__ or "").split())
        found.append(
            Cause(
                name=item.name.replace("_", "-"),
                looks_for=" ".join((module.__doc__ or "").split("\n\n")[0].split()),
                explained=text,
                looks_at=module.LOOKS_AT,
                threshold=module.THRESHOLD,
                look=module.look,
            )
        )
    return sorted(found, key=lambda cause: cause.name)


def diagnose(seen: Observation) -> Diagnosis:
    """Everything that is found in an observation, the heaviest first."""
    known, found = causes(), []
    for cause in known:
        for one in cause.look(seen):
            values = {name: getattr(one, name) for name in one.__slots__}
            found.append(Finding(**{**values, "cause": cause.name}))
    found.sort(key=lambda finding: finding.weight)
    return Diagnosis(seen, found, [cause.looks_at for cause in known], list(seen.unknown))
