"""libslirp's TCP towards the guest sends again (src/tcp_output.c, called by tcp_timer.c and tcp_input.c)."""

from __future__ import annotations

from enum import IntEnum

from qtrace.probes.common import OWNERS
from qtrace.probes.family import Family, Point
from qtrace.probes.shared import Key, Shared

__all__ = ["AGAIN", "CALLERS", "FAMILY", "FIELDS", "KINDS", "PROGRAM", "SENDS", "SHARED", "name_in_library"]


class Again(IntEnum):
    """Why it sends again."""

    TIMEOUT = 0
    FAST = 1
    PROBE = 2


# `window probe`: the guest's window is closed, nothing was lost.
KINDS = {Again.TIMEOUT: "timeout", Again.FAST: "fast", Again.PROBE: "window probe"}
# `sent_again`: an array with one place for each kind of each owner.
AGAIN = Key("AGAIN_INDEX", owner=OWNERS, kind=len(Again))
SHARED = Shared(enums={"AGAIN": Again}, keys=(AGAIN,))
PROGRAM = "on_tcp_output"
SENDS = "tcp_output"
# What sets a connection back before it calls that; the first is where the timers have expired.
CALLERS = {"timers": "tcp_timers", "input": "tcp_input"}
# Field of the BPF struct `slirp_tcp` -> what the index calls it.
FIELDS = {
    "timer": "tcpcb.t_timer",
    "dupacks": "tcpcb.t_dupacks",
    "force": "tcpcb.t_force",
    "una": "tcpcb.snd_una",
    "nxt": "tcpcb.snd_nxt",
    "max": "tcpcb.snd_max",
    "socket": "tcpcb.t_socket",
    "slirp": "socket.slirp",
}


def name_in_library(function: str) -> str:
    """The string by which a function says that it was called (DEBUG_CALL in libslirp's src/debug.h)."""
    return f"{function}..."


FAMILY = Family(
    name="slirp_tcp",
    summary="libslirp's TCP sends again to the guest: timeouts, fast retransmits, at the level full",
    needs=("uprobes",),
    points=(Point(SENDS, (("uprobe", PROGRAM),), arguments=1),),
    layout=tuple(FIELDS.values()),
    apart=True,
)
