"""A fault that was made and looked at: what was found, and the observation kept small."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bed import Bed, LateError
from faults import Fault, effort_of

from qtrace.diagnosis.cause import Diagnosis, diagnose
from qtrace.diagnosis.observation import Nic, Observation, observation_from_json

__all__ = ["OBSERVED", "Tried", "keep", "kept", "named", "try_fault"]

OBSERVED = Path(__file__).parent / "observed"
# Of a thread's functions so many are kept: a rule names the first three.
_FUNCTIONS = 6
_TABLES = (
    *("stages", "waits", "stops", "queues", "devices", "retransmissions", "iotlb_misses", "syscalls"),
    "errnos",
)


@dataclass(frozen=True)
class Tried:
    """`full`: at full strength; else near the threshold."""

    fault: Fault
    full: bool
    diagnosis: Diagnosis

    @property
    def right(self) -> bool:
        """Whether it was named first, or, near the threshold, not at all."""
        found = named(self.diagnosis)
        return found[:1] == [self.fault.cause] if self.full else self.fault.cause not in found

    @property
    def name(self) -> str:
        """Of what is kept of it."""
        return self.fault.make.__name__ + ("" if self.full else ".near")


def named(found: Diagnosis) -> list[str]:
    """The causes, the heaviest first."""
    return [finding.cause for finding in found.findings]


def try_fault(bed: Bed, fault: Fault, full: bool, longer: Sequence[float] = ()) -> Tried:
    """Make it, look, take it away. With `longer` windows, what is done must end within the window: where the
    machine is too busy for that it is all made again with the next."""
    for number, factor in enumerate((1.0, *longer)):
        with contextlib.contextmanager(fault.make)(bed, full) as act:
            try:
                seen = bed.look(act, factor * fault.seconds, effort_of(fault, full), within=bool(longer))
            except LateError:
                if number == len(longer):
                    raise
                continue
        return Tried(fault, full, diagnose(seen))
    raise AssertionError("not reached")


def keep(name: str, seen: Observation) -> None:
    """What rules look at of an observation, as OBSERVED/NAME.json."""
    OBSERVED.mkdir(exist_ok=True)
    text = json.dumps(_small(seen).to_json(), separators=(",", ":"))
    (OBSERVED / f"{name}.json").write_text(text + "\n")


def kept() -> Mapping[str, Observation]:
    """Name -> observation, of all that are kept."""
    return {
        path.stem: observation_from_json(json.loads(path.read_text()))
        for path in sorted(OBSERVED.glob("*.json"))
    }


def _small(seen: Observation) -> Observation:
    rows = sorted(seen.rows("cpu_functions"), key=lambda row: -row["samples"])
    tables = {
        "threads": seen.rows("threads"),
        "cpu_functions": [row for row in rows if row["samples"] > 1][: 2 * _FUNCTIONS],
        "syscalls": _moving(seen.rows("syscalls")),
        "errnos": seen.rows("errnos"),
        "ledger": [row for row in seen.rows("ledger") if row["kind"] in ("lost", "missed", "suppressed")],
    }
    return replace(seen, nics=[_small_nic(nic) for nic in seen.nics], tables=tables)


def _small_nic(nic: Nic) -> Nic:
    tables = {name: list(nic.rows(name)) for name in _TABLES if any(nic.rows(name))}
    tables["syscalls"] = _moving(tables.get("syscalls", ()))
    functions = {row["function"] for row in tables.get("stages", ())}
    places = {name: place for name, place in nic.places.items() if name in functions}
    return replace(nic, tables=tables, places=places)


def _moving(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["fd"] in ("tap", "socket") or row["name"] == "socket"]
