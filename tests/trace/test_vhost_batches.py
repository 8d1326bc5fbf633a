"""vhost's batches are followed frame by frame: the programs of a worker, at functions of this test's own.

Functions of vhost's arguments are called from here in every order that a worker may call its own; when each
was called is known here. tests/measure/test_vhost.py does the same with a real worker.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from modules import Make

from qtrace.model import Direction
from qtrace.probes import families, program_text
from qtrace.probes.common import DIRECTIONS, SIDE, STAGE
from qtrace.probes.frames import LANE, Part
from qtrace.trace.bpf.attachments import Attachments
from qtrace.trace.bpf.prerequisites import ensure_headers
from qtrace.trace.bpf.running import ALL, NOTHING
from qtrace.trace.frames.followed import FrameCount, FrameReading, group_index

pytestmark = pytest.mark.needs("root", "bcc")

OWNER = 3
CODE = bytes.fromhex("554889e55dc3")  # a frame pointer, and back
# Function -> its program; where it is in the page is its place in this list, times 64.
PROGRAMS = {
    "tun_sendmsg": "on_tun_sendmsg",
    "tun_recvmsg": "on_tun_recvmsg",
    "vhost_add_used_and_signal_n": "on_vhost_used",
}
MOST = 128  # frames that are remembered of a batch: vhost's have 64
SINCE_6_18 = 0xFFFF_8880_0000_1000  # the kernel's address that is the fourth argument there


class Worker:
    """This thread as a worker of vhost's."""

    def __init__(self, module: Any, base: int) -> None:
        self._module, self._base = module, base
        self.began: list[tuple[int, int]] = []  # of frames under way: before and after the call, ns
        self.took: list[tuple[int, int]] = []  # of frames given back: at least and at most, ns
        self._call = ctypes.CFUNCTYPE(None, *[ctypes.c_uint64] * 5)

    def take(self, length: int = 1500) -> None:
        """Receive one frame."""
        self._timed("tun_recvmsg", length)

    def send(self) -> None:
        """Pass one frame on."""
        self._timed("tun_sendmsg", 100)

    def give(self, heads: int, *, newer: bool = False) -> None:
        """Give back all frames, in so many buffers."""
        before = time.monotonic_ns()
        self._run("vhost_add_used_and_signal_n", 0, SINCE_6_18 if newer else heads, heads if newer else 77)
        after = time.monotonic_ns()
        self.took += [(before - end, after - begin) for begin, end in self.began]
        self.began.clear()

    def _timed(self, function: str, length: int) -> None:
        before = time.monotonic_ns()
        self._run(function, length, 0, 0)
        self.began.append((before, time.monotonic_ns()))

    def _run(self, function: str, third: int, fourth: int, fifth: int) -> None:
        place = self._base + 64 * list(PROGRAMS).index(function)
        self._call(place)(0, 0, third, fourth, fifth)

    def counted(self, direction: Direction) -> FrameCount:
        """What the programs say, and that the times of matched frames are those that were seen here."""
        lane = LANE.pack(1, DIRECTIONS.index(direction))
        slots = (0, 1) if direction is Direction.TX else (2, 3)
        found = FrameReading.of(self._module, [OWNER], {(OWNER, lane): slots}, {}, time.monotonic())
        counts = found.counts[OWNER, lane]
        buckets = Counter[int]()
        for (owner, first, last, bucket), number in found.times.items():
            assert (owner, (first, last)) == (OWNER, slots)
            buckets[bucket] += number
        assert buckets.total() == counts.matched
        return counts

    def require_times(self, direction: Direction, which: Sequence[tuple[int, int]]) -> None:
        """That the histogram is one that frames with these bounds can have."""
        first = 0 if direction is Direction.TX else 2
        buckets = Counter[int]()
        for key, cpus in self._module[b"frame_times"].items():
            bucket, at = key.value % 64, key.value // 64 // 256 % 256
            if at == first:
                buckets[bucket] += int(sum(cpus))
        assert buckets.total() == len(which)
        for bucket in range(64):
            below = sum(number for at, number in buckets.items() if at <= bucket)
            surely = sum(most.bit_length() - 1 <= bucket for _, most in which)
            perhaps = sum(max(least, 1).bit_length() - 1 <= bucket for least, _ in which)
            assert surely <= below <= perhaps


@pytest.fixture
def worker(make: Make, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    if headers := ensure_headers():  # compiled once, and kept in the user's cache
        monkeypatch.setenv("BCC_KERNEL_SOURCE", str(headers))
    module, _ = make(program_text(), headers)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    file = os.memfd_create("qtrace-worker")
    with contextlib.closing(Attachments(module, os.getpid())) as attached:
        os.ftruncate(file, mmap.PAGESIZE)
        for number in range(len(PROGRAMS)):
            os.pwrite(file, CODE, 64 * number)
        rights = mmap.PROT_READ | mmap.PROT_EXEC
        base = libc.mmap(None, mmap.PAGESIZE, rights, mmap.MAP_PRIVATE, file, 0)
        for number, program in enumerate(PROGRAMS.values()):
            attached.uprobe(program, Path(f"/proc/{os.getpid()}/fd/{file}"), 64 * number)
        _aim(module)
        yield Worker(module, int(base))
        module[b"targets"][ctypes.c_int(0)] = module[b"targets"].Leaf(running=NOTHING)
    os.close(file)


def _aim(module: Any) -> None:
    """As a session would: tx is passed on in slot 0 and given back in 1, rx in 2 and 3."""
    module[b"vhost_workers"][ctypes.c_uint32(threading.get_native_id())] = ctypes.c_uint32(OWNER)
    (vhost,) = (family for family in families() if family.name == "vhost")
    hits = {point.function: point.index for point in vhost.points}
    for direction, first in ((0, 0), (1, 2)):
        passed = "tun_recvmsg" if direction else "tun_sendmsg"
        for slot, function in ((first, passed), (first + 1, "vhost_add_used_and_signal_n")):
            entries = module[b"vhost_slots"]
            entries[ctypes.c_int(SIDE.pack(hits[function], direction))] = entries.Leaf(slot + 1)
            places = module[b"places"]
            places[ctypes.c_int(slot)] = places.Leaf(direction=direction, position=slot, kernel=1)
            part = Part.TAKES | (Part.LAST if slot % 2 else Part.FIRST)
            parts = module[b"frame_parts"]
            parts[ctypes.c_int(STAGE.pack(OWNER, slot))] = parts.Leaf(part)
    targets = module[b"targets"]
    targets[ctypes.c_int(0)] = targets.Leaf(tgid=os.getpid(), running=ALL, owners=1)


def test_every_frame_of_a_batch_is_matched_with_its_own_time(worker: Worker) -> None:
    frames = 0
    for size in (1, 2, 64, 65, 1, 7, 33):
        for number in range(size):
            worker.take()
            if number % 16 == 0:
                time.sleep(0.002)  # so that the frames of a batch differ
        worker.give(size + size % 3, newer=size == 7)  # a large frame takes several buffers
        frames += size
    assert worker.counted(Direction.RX) == FrameCount(matched=frames)
    worker.require_times(Direction.RX, worker.took)


def test_frames_that_are_sent_one_by_one_are_given_back_together(worker: Worker) -> None:
    for size in (3, 1, 64):
        for _ in range(size):
            worker.send()
        worker.give(size, newer=size == 3)
    assert worker.counted(Direction.TX) == FrameCount(matched=68)
    worker.require_times(Direction.TX, worker.took)


def test_where_one_went_no_further_it_is_not_guessed_which(worker: Worker) -> None:
    worker.take()
    worker.take(length=1)  # the guest's buffers have no room for it
    worker.take()
    worker.give(2)
    assert worker.counted(Direction.RX) == FrameCount(ambiguous=2, open=1)
    for _ in range(5):  # and the batches that follow are none the worse
        worker.take()
        worker.give(1)
    assert worker.counted(Direction.RX) == FrameCount(matched=5, ambiguous=2, open=1)


def test_a_frame_that_tun_refuses_is_sent_again(worker: Worker) -> None:
    """With sndbuf=: it is passed on twice and given back once."""
    worker.send()
    worker.send()
    worker.give(1)
    assert worker.counted(Direction.TX) == FrameCount(ambiguous=1, open=1)


def test_more_than_is_remembered_is_not_guessed(worker: Worker) -> None:
    for _ in range(MOST + 1):
        worker.take()
    worker.give(MOST + 1)
    assert worker.counted(Direction.RX) == FrameCount(ambiguous=MOST + 1)
    worker.take()
    worker.give(1)
    assert worker.counted(Direction.RX) == FrameCount(matched=1, ambiguous=MOST + 1)


def test_what_is_given_back_and_had_not_begun_is_astray(worker: Worker) -> None:
    worker.give(4)  # counting began in the middle of a batch
    assert worker.counted(Direction.RX) == FrameCount()
    worker.send()
    worker.give(1)
    worker.give(2)
    assert worker.counted(Direction.TX) == FrameCount(matched=1, astray=2)


def test_frames_under_way_are_open(worker: Worker) -> None:
    for _ in range(3):
        worker.take()
    assert worker.counted(Direction.RX) == FrameCount(open=3)
    group = group_index((OWNER, LANE.pack(1, 1)))
    assert int(worker._module[b"frames_waiting"][group].number) == 0
