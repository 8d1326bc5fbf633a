"""What every probe shares with Python (common.bpf.c): slots, owners, directions, and what is counted now."""

from __future__ import annotations

from enum import IntFlag

from qtrace.model import Direction
from qtrace.probes.family import Family
from qtrace.probes.shared import Key, Loss, Shared

__all__ = [
    "ANY_SLOT",
    "DIRECTIONS",
    "EDGE",
    "FAMILY",
    "MOST_VECTORS",
    "NO_SLOT",
    "OWNERS",
    "SHARED",
    "SIDE",
    "SLOTS",
    "STAGE",
    "WAY",
    "WAYS",
    "Counts",
]

SLOTS = 64  # stages of a process
NO_SLOT = 0xFF
ANY_SLOT = 256  # values of a slot where NO_SLOT is one
OWNERS = 64  # with 0, which is nobody that is known
WAYS = 64  # other ways of the stages of a process; 0 is the usual one
MOST_VECTORS = 64  # of a frame, or messages of one system call: what is beyond is lost
# A direction's number is its place.
DIRECTIONS = (Direction.TX, Direction.RX)
_BUCKETS = 64  # of a histogram: 2^x ns


class Counts(IntFlag):
    """What is counted now: bits of `target.running`. Functions are not while their probes are off, or not all
    on yet."""

    CALLS = 1
    FUNCTIONS = 2


# `counts` and others: an array with one place for each stage of each owner.
STAGE = Key("STAGE_INDEX", owner=OWNERS, slot=SLOTS)
# `way_counts`: hits by another way than a stage's usual one.
WAY = Key("WAY_INDEX", owner=OWNERS, way=WAYS)
# `edges` and others: how long it took from a stage to another.
EDGE = Key("EDGE_KEY", owner=OWNERS, first=ANY_SLOT, last=ANY_SLOT, bucket=_BUCKETS)
# `virtqueue_slots` and others: which point of a family (`Point.index`) is the stage in which slot.
SIDE = Key("SIDE_INDEX", which=16, direction=len(DIRECTIONS))

SHARED = Shared(
    constants={
        "SLOTS": SLOTS,
        "NO_SLOT": NO_SLOT,
        "OWNERS": OWNERS,
        "WAYS": WAYS,
        "MOST_VECTORS": MOST_VECTORS,
        **{direction.name: number for number, direction in enumerate(DIRECTIONS)},
    },
    enums={"COUNTS": Counts},
    keys=(STAGE, WAY, EDGE, SIDE),
    losses=(
        Loss(
            "READ", "memory of QEMU that could not be read", "the hit's bytes or the hit itself are missing"
        ),
        Loss("IOVEC", f"vectors beyond the {MOST_VECTORS}th of a frame", "their bytes are missing"),
        Loss("EDGES", "passages beyond the histogram map", "edges are incomplete"),
        Loss("THREADS", "threads beyond the thread map", "edges of further threads are missing"),
    ),
)
FAMILY = Family(
    name="common",
    summary="what the programs of all families share",
    needs=(),
    points=(),
    tables=("owners", "vhost_workers", "last_way", "followed_as"),
    memories=("latest", "giving"),
)
