"""Frames followed from their first stage to their last (frames.bpf.c): keys of its maps."""

from __future__ import annotations

from enum import IntFlag

from qtrace.probes.common import ANY_SLOT, DIRECTIONS, OWNERS
from qtrace.probes.shared import Key, Shared

__all__ = ["CARRIED", "GROUP", "LANE", "SHARED", "STOP", "Part"]


class Part(IntFlag):
    """The part of a stage in the path of an owner's frames."""

    TAKES = 1
    FIRST = 2
    LAST = 4


# Frames that the kernel carries are kept apart from QEMU's.
LANE = Key("FRAME_LANE", kernel=2, direction=len(DIRECTIONS))
GROUP = Key("FRAME_GROUP", owner=OWNERS, lane=LANE.size)
# `frames_now`: the frame that a thread carries.
CARRIED = Key("FRAME_KEY", thread=2**32, group=GROUP.size)
# `frame_stops`: frames that stopped at a stage; NO_SLOT stands for several stages.
STOP = Key("FRAME_STOP_KEY", group=GROUP.size, slot=ANY_SLOT)

SHARED = Shared(enums={"PART": Part}, keys=(LANE, GROUP, CARRIED, STOP))
