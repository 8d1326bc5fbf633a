"""What one window showed of a QEMU and its network, as plain data: all that a cause may look at.

It is read from a run (`qtrace.diagnosis.run_observation`), whether `qtrace why` has just recorded it or
somebody else did long ago. Nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from qtrace.model import Direction

__all__ = ["FULL", "Nic", "Observation", "Thread", "observation_from_json"]

FULL = 1514  # bytes of the largest Ethernet frame without segmentation offload, at the usual MTU
_VIRTIO = "virtio-net"
# The stages that can count frames, the best one first, as analyses/methods/frame_counts.py has them.
_COUNTED = ("deliver", "host", "send", "enqueue", "dequeue")


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread's share of the window: `ran` on a processor, `waited` for one (None: not known)."""

    tid: int
    name: str
    ran: float
    waited: float | None = None

    @property
    def wanted(self) -> float:
        """Share of the window in which it had work."""
        return self.ran + (self.waited or 0.0)


@dataclass(frozen=True, slots=True)
class Nic:
    """One NIC and its back end. `tables` are the rows of a run that are its own; `begin` and `end` are how it
    stood at the window's ends (`qtrace.measure.process_state`), empty where that is not known; `places` are
    functions of its paths -> FILE:LINE."""

    name: str
    nic: str
    netdev: str
    datapath: str
    tables: Mapping[str, Sequence[Mapping[str, Any]]]
    begin: Mapping[str, Any] = field(default_factory=dict)
    end: Mapping[str, Any] = field(default_factory=dict)
    taps: Sequence[Mapping[str, Any]] = ()
    places: Mapping[str, str] = field(default_factory=dict)

    @property
    def virtio(self) -> bool:
        """Whether the card is one of virtio's."""
        return self.nic.startswith(_VIRTIO)

    @property
    def title(self) -> str:
        """As a person calls it."""
        return f"{self.nic} on {self.netdev}" + (f" ({self.name})" if self.name else "")

    def rows(self, table: str, **wanted: Any) -> Iterator[Mapping[str, Any]]:
        """The rows of a table in which these columns have these values."""
        for row in self.tables.get(table, ()):
            if all(row.get(name) == value for name, value in wanted.items()):
                yield row

    def stage(self, direction: Direction, role: str) -> Mapping[str, Any] | None:
        """The row of a stage that was measured; of several functions the one that counted most."""
        rows = [row for row in self.rows("stages", direction=direction.value, stage=role) if row["attached"]]
        return max(rows, key=lambda row: (row["frames"], row["calls"]), default=None)

    def carried(self, direction: Direction) -> Mapping[str, Any] | None:
        """The row of the stage that tells best how many frames passed; None where none was measured."""
        rows = [row for role in _COUNTED if (row := self.stage(direction, role)) is not None]
        return next((row for row in rows if row["frames"]), rows[0] if rows else None)

    def frames(self, direction: Direction) -> int:
        """How many frames passed this way; 0 where none did, or none could be counted."""
        row = self.carried(direction)
        return int(row["frames"]) if row else 0

    @property
    def counted_share(self) -> float:
        """The share of the window in which functions were counted: 1 unless the budget paused them. A stage's
        numbers are scaled to the whole window, an instrument's are not."""
        rows = [row for row in self.rows("stages") if row["attached"] and row.get("windowed")]
        return min((float(row["observed"]) for row in rows), default=1.0)

    def place(self, function: str) -> str:
        """FILE:LINE of a function of its paths, empty where that is not known."""
        return self.places.get(function, "")

    def queues(self, moment: str = "end") -> Sequence[Mapping[str, Any]]:
        """How each of its queues stood; of a hub's ports the NIC's side first."""
        found: Sequence[Mapping[str, Any]] = getattr(self, moment).get("queues", ())
        return found

    def card(self, moment: str = "end") -> Mapping[str, Any]:
        """The NIC's client of its first queue."""
        nears = [queue["near"] for queue in self.queues(moment)]
        return next((near for near in nears if near["driver"] == "nic"), {})

    def features(self, moment: str = "end") -> int | None:
        """What a virtio driver has accepted; None without one, or where that is not known."""
        found = self.card(moment).get("features")
        return found or None

    def has(self, bit: int) -> bool:
        """Whether the driver has accepted a feature."""
        return bool((self.features() or 0) >> bit & 1)

    def offered(self, bit: int) -> bool | None:
        """Whether the device offers a feature; None where that is not known."""
        features = (self.card().get("virtio") or {}).get("offered")
        return None if features is None else bool(features >> bit & 1)

    def tap(self) -> Mapping[str, Any]:
        """Its tap as it stood at the window's end, empty where it has none."""
        return self.taps[0] if self.taps else {}

    def stopped(self, direction: Direction, *words: str) -> int:
        """Frames that stopped for a reason with one of these words."""
        return sum(
            int(row["frames"])
            for row in self.rows("stops", direction=direction.value)
            if any(word in row["why"] for word in words)
        )

    def moved(self, counter: str) -> int | None:
        """By how much a counter of its taps went up; None where it has none that can be read."""
        taps = list(self.rows("devices", side="tap"))
        return sum(int(row[counter]) for row in taps) if taps else None


@dataclass(frozen=True, slots=True)
class Observation:
    """A window of `seconds`. `tables` are of the whole process; `begin` and `end` are its states, empty where
    the run has none; `unknown` says of what nothing could be known, and why."""

    seconds: float
    title: str
    nics: Sequence[Nic]
    tables: Mapping[str, Sequence[Mapping[str, Any]]]
    begin: Mapping[str, Any] = field(default_factory=dict)
    end: Mapping[str, Any] = field(default_factory=dict)
    unknown: Sequence[str] = ()

    def rows(self, table: str) -> Sequence[Mapping[str, Any]]:
        """The rows of a table of the whole process."""
        return self.tables.get(table, ())

    def threads(self) -> list[Thread]:
        """Every thread that ran in the window, the busiest first."""
        if self.seconds <= 0:
            return []
        old, new = self.begin.get("threads", {}), self.end.get("threads", {})
        found = []
        for row in self.rows("threads"):
            before, after = old.get(str(row["tid"])), new.get(str(row["tid"]))
            waited = after["waited"] - before["waited"] if before and after else None
            share = None if waited is None else max(0.0, waited) / self.seconds
            found.append(Thread(row["tid"], row["thread"], row["seconds"] / self.seconds, share))
        return sorted(found, key=lambda thread: -thread.ran)

    def functions(self, tid: int) -> tuple[list[tuple[str, str, int]], int]:
        """([(function, file, samples)], all samples) of one thread, the most frequent first."""
        rows = [row for row in self.rows("cpu_functions") if row["tid"] == tid]
        found = sorted(((row["function"], row["file"], row["samples"]) for row in rows), key=lambda r: -r[2])
        return found, sum(row["samples"] for row in rows)

    def stood_in(self) -> tuple[Sequence[Mapping[str, Any]], int]:
        """The calls in which threads stood (`qtrace.trace.qemu.thread_calls`), and in how many looks: 0 where
        that is not known."""
        calls = self.end.get("calls") or {}
        return calls.get("rows") or (), calls.get("looks") or 0

    def carriers(self, nic: Nic) -> dict[int, int]:
        """Thread id -> system calls on this NIC's taps and sockets: the threads that carry its frames."""
        found: dict[int, int] = {}
        for row in nic.rows("syscalls"):
            if row["fd"] in ("tap", "socket"):
                found[row["tid"]] = found.get(row["tid"], 0) + int(row["calls"])
        return found

    def to_json(self) -> dict[str, Any]:
        """JSON-ready; `observation_from_json` is its inverse."""
        return asdict(self)


def observation_from_json(data: Mapping[str, Any]) -> Observation:
    """Rebuild an `Observation`. Raises KeyError, TypeError on data of another shape."""
    nics = [Nic(**nic) for nic in data["nics"]]
    return Observation(**{**data, "nics": nics})
