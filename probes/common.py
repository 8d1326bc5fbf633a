"""Definitions that all probes and Python share (common.bpf.c): slots, owners, directions, and active
counts."""

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
ANY_SLOT = 256  # number of values of a slot, including NO_SLOT
OWNERS = 64  # including 0, the unknown owner
WAYS = 64  # other ways of a process's stages; 0 is the usual way
MOST_VECTORS = 64  # vectors of a frame, or messages of one system call: further ones are lost
# A direction's number is its position here.
DIRECTIONS = (Direction.TX, Direction.RX)
_BUCKETS = 64  # buckets of a histogram: 2^x ns


class Counts(IntFlag):
    """The active counts: bits of `target.running`. Functions are inactive while some of their probes are
    off."""

    CALLS = 1
    FUNCTIONS = 2


# `counts` and others: an array with one element for each stage of each owner.
STAGE = Key("STAGE_INDEX", owner=OWNERS, slot=SLOTS)
# `way_counts`: hits by a way other than a stage's usual one.
WAY = Key("WAY_INDEX", owner=OWNERS, way=WAYS)
# `edges` and others: the time from one stage to another.
EDGE = Key("EDGE_KEY", owner=OWNERS, first=ANY_SLOT, last=ANY_SLOT, bucket=_BUCKETS)
# `virtqueue_slots` and others: (point of the family (`Point.index`), direction) -> the stage's slot.
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
        Loss(
            "IOVEC",
            f"vectors beyond the {MOST_VECTORS}th of a frame",
            "the bytes of these vectors are missing",
        ),
        Loss("EDGES", "passages beyond the histogram map", "edges are incomplete"),
        Loss("THREADS", "threads beyond the thread map", "edges of further threads are missing"),
    ),
)
FAMILY = Family(
    name="common",
    summary="definitions that the programs of all families share",
    needs=(),
    points=(),
    tables=("owners", "vhost_workers", "last_way", "followed_as"),
    memories=("latest", "giving"),
)
