"""One frame in N with each of its hits and its first bytes: the run's table `samples`.

The kernel sends the hits through a ring buffer.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qtrace.errors import TraceError
from qtrace.measure.effort import Effort
from qtrace.measure.qemu_process import QemuProcess
from qtrace.model import Probe
from qtrace.probes.family import Family, Point
from qtrace.probes.frames import GROUP
from qtrace.probes.shared import Loss, Shared
from qtrace.store.run import Tables
from qtrace.store.run_schema import TABLES
from qtrace.trace.qemu.owners import Owner
from qtrace.trace.session.instrument import Tracing
from qtrace.trace.session.snapshot import Snapshot

__all__ = ["COLUMNS", "FAMILY", "SHARED", "FrameSamples", "SampledHit", "instrument", "lines", "sample_rows"]

_SAMPLE_BYTES = 256  # bytes kept of a frame
_MOST = 1000  # frames a second
_OFTEN = 0.05  # seconds between two reads of the ring buffer
_MOST_HITS = 500_000  # hits kept in memory


class Sample(ctypes.Structure):
    """One hit. With `has_data` it is not a hit but the first `length` bytes, which follow, of the frame at
    the previous hit in this slot and thread. `group` is FRAME_GROUP's; times are in ns (CLOCK_MONOTONIC)."""

    _fields_ = (
        ("when", ctypes.c_uint64),
        ("began", ctypes.c_uint64),
        ("frames", ctypes.c_uint64),
        ("bytes", ctypes.c_uint64),
        ("thread", ctypes.c_uint32),
        ("group", ctypes.c_uint32),
        ("cpu", ctypes.c_uint16),
        ("length", ctypes.c_uint16),
        ("slot", ctypes.c_uint8),
        ("has_data", ctypes.c_uint8),
        ("unused", ctypes.c_uint16),
    )


SHARED = Shared(
    constants={"SAMPLE_BYTES": _SAMPLE_BYTES},
    structs={"sample": Sample},
    losses=(Loss("SAMPLES", "hits of sampled frames beyond the ring buffer", "those frames are incomplete"),),
)
FAMILY = Family(
    name="frame_samples",
    summary="one frame in N: its time at each stage, and its first bytes",
    needs=("uprobes",),
    points=(Point("stages", (), note="no probe of its own: it uses the stages' probes"),),
    tables=("sampling",),
)
COLUMNS = (TABLES["samples"],)


def instrument(process: QemuProcess, effort: Effort) -> FrameSamples | None:
    """The instrument, if frames are to be sampled."""
    return FrameSamples(effort.sample) if effort.sample else None


@dataclass(frozen=True, slots=True)
class SampledHit:
    """A sampled frame at one stage. `began` (ns, CLOCK_MONOTONIC) is its first hit, `when` this one.

    `frames` is 0 for a kick or an interrupt, `size` in bytes; `data` are the first bytes, empty if the
    stage has no access to the frame."""

    owner: int
    way: int
    began: int
    when: int
    slot: int
    thread: int
    cpu: int
    frames: int
    size: int
    data: bytes = b""


class FrameSamples:
    """Keeps one frame in `every`, at most `most` a second."""

    family = FAMILY
    columns = COLUMNS

    def __init__(self, every: int, most: int = _MOST) -> None:
        self.every, self.most = every, most
        self._hits: list[SampledHit] = []
        self._places: dict[tuple[int, int, int], int] = {}
        self._ring: int | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._reader = threading.Thread(target=self._read, name="sampled frames", daemon=True)
        self.dropped = 0  # hits beyond `_MOST_HITS`

    def open(self, tracing: Tracing) -> None:
        """Open the ring buffer and begin to read it. Raises TraceError."""
        from bcc.libbcc import _RINGBUF_CB_TYPE, lib

        self._module = tracing.module
        self._callback = _RINGBUF_CB_TYPE(self._take)
        self._ring = lib.bpf_new_ringbuf(self._module[b"sample_events"].map_fd, self._callback, None)
        if not self._ring:
            raise TraceError("the ring buffer of the sampled frames cannot be opened")
        self._reader.start()

    def begin(self) -> None:
        """Forget the last window."""
        self._consume()
        with self._lock:
            self._hits.clear()
            self._places.clear()
            self.dropped = 0
        self._set(self.every)

    def hits(self) -> list[SampledHit]:
        """The hits of this window, in order of time."""
        self._consume()
        with self._lock:
            return sorted(self._hits, key=lambda hit: (hit.began, hit.when))

    def tables(self, snapshot: Snapshot, owners: Collection[int]) -> Tables:
        """Table `samples` of these owners."""
        names = {tid: used.name for tid, used in snapshot.threads.items()}
        hits = [hit for hit in self.hits() if hit.owner in owners]
        probes = [stage.probe for stage in snapshot.stages]
        rows = sample_rows(hits, probes, snapshot.owners, names)
        return {"samples": rows, "ledger": self.ledger() if 0 in owners else []}

    def ledger(self) -> list[dict[str, Any]]:
        """Ledger rows for frames and hits that were not kept."""
        over = int(self._module[b"sampling"][ctypes.c_int(0)].passed_over)
        rows = [
            {"kind": "sampled", "item": "frames", "count": self.every, "note": "one frame in N is kept whole"}
        ]
        if over:
            note = f"more than {self.most} a second were chosen"
            rows.append({"kind": "sampled", "item": "frames passed over", "count": over, "note": note})
        if self.dropped:
            note = f"no more than {_MOST_HITS:,} are kept"
            rows.append(
                {"kind": "lost", "item": "hits of sampled frames", "count": self.dropped, "note": note}
            )
        return rows

    def conditions(self) -> dict[str, str]:
        """The sampling rate."""
        return {"sampled frames": f"one in {self.every}, at most {self.most} a second"}

    def close(self) -> None:
        """Stop reading. Can be called twice."""
        from bcc.libbcc import lib

        self._ended.set()
        if self._reader.is_alive():
            self._reader.join()
        if self._ring:
            self._set(0)
            lib.bpf_free_ringbuf(self._ring)
            self._ring = None

    def _set(self, every: int) -> None:
        table = self._module[b"sampling"]
        table[ctypes.c_int(0)] = table.Leaf(every=every, most=self.most)

    def _read(self) -> None:
        while not self._ended.wait(_OFTEN):
            self._consume()

    def _consume(self) -> None:
        from bcc.libbcc import lib

        with self._lock:
            if self._ring:
                lib.bpf_consume_ringbuf(self._ring)

    def _take(self, _: Any, data: Any, length_of_event: int) -> int:
        """Called by libbpf for each event, with the lock held."""
        raw = ctypes.string_at(data, length_of_event)
        hit = Sample.from_buffer_copy(raw)
        began, slot, thread = int(hit.began), int(hit.slot), int(hit.thread)
        if hit.has_data:
            place = self._places.pop((began, slot, thread), None)
            if place is not None:
                head = ctypes.sizeof(Sample)
                found = raw[head : head + min(hit.length, _SAMPLE_BYTES)]
                self._hits[place] = replace(self._hits[place], data=found)
        elif len(self._hits) >= _MOST_HITS:
            self.dropped += 1
        else:
            self._places[began, slot, thread] = len(self._hits)
            owner, way = GROUP.unpack(hit.group)
            self._hits.append(
                SampledHit(owner, way, began, hit.when, slot, thread, hit.cpu, hit.frames, hit.bytes)
            )
        return 0


def lines(tables: Tables) -> Iterator[str]:
    """No lines: `qtrace export` shows the frames."""
    return iter(())


def sample_rows(
    hits: Iterable[SampledHit],
    probes: Sequence[Probe],
    owners: Iterable[Owner],
    threads: Mapping[int, str],
) -> list[dict[str, Any]]:
    """Rows of the run's table `samples`; frames are numbered in the order of their first hits.

    `header` is the number of bytes in `data` before the frame itself (struct virtio_net_hdr).
    """
    known = {owner.number: owner for owner in owners}
    numbers: dict[tuple[int, int, int], int] = {}
    rows = []
    for hit in hits:
        probe, owner = probes[hit.slot], known.get(hit.owner)
        frame = numbers.setdefault((hit.owner, hit.way, hit.began), len(numbers) + 1)
        header = max((client.header_bytes for client in owner.clients), default=0) if owner else 0
        rows.append(
            {
                "frame": frame,
                "netdev_id": owner.netdev if owner else "",
                "queue": owner.queue if owner else 0,
                "direction": probe.direction.value,
                "position": probe.position,
                "stage": probe.role,
                "function": probe.function,
                "time_ns": hit.when,
                "thread": threads.get(hit.thread, ""),
                "tid": hit.thread,
                "cpu": hit.cpu,
                "frames": hit.frames,
                "bytes": hit.size,
                "header": header if hit.data else 0,
                "data": hit.data.hex(),
            }
        )
    return rows
