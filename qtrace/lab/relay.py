"""The far end of QEMU's socket netdev: a process of ours that carries its frames to and from a tap."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from qtrace.lab.helper import Helper, start_helper
from qtrace.lab.netns import Namespace
from qtrace.lab.tap import Tap

__all__ = ["open_relay"]

_AGENT = Path(__file__).with_name("relay_agent.py").resolve()


@contextlib.contextmanager
def open_relay(space: Namespace, tap: Tap, stream: bool) -> Iterator[tuple[int, Helper]]:
    """The descriptor of QEMU's end, and the process at the other. `tap` must have no header.

    Either end may speak first: what it says waits in the socket. Unlike UDP's, these datagrams wait for
    room and are never dropped.
    """
    kind = socket.SOCK_STREAM if stream else socket.SOCK_DGRAM
    # Made inside, so that /proc lists it with the other sockets of QEMU's own namespace.
    ours, theirs = space.make(lambda: socket.socketpair(socket.AF_UNIX, kind))
    with theirs, ours, contextlib.ExitStack() as stack:
        command = [sys.executable, "-IS", str(_AGENT), str(tap.fd), str(ours.fileno())]
        fds = (tap.fd, ours.fileno())
        starting = start_helper(space, "the relay", command, lambda _: True, "start", pass_fds=fds)
        helper = stack.enter_context(starting)
        ours.close()  # the relay alone holds it, so that QEMU sees a relay that has gone
        yield theirs.fileno(), helper
