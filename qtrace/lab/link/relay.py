"""The far end of QEMU's socket: a process of qtrace that carries its frames to and from a tap."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from qtrace.lab.host.helper import Helper, start_helper
from qtrace.lab.host.netns import Namespace
from qtrace.lab.link.sockets import Wire, open_wire
from qtrace.lab.link.tap import Tap

__all__ = ["open_relay"]

_AGENT = Path(__file__).with_name("relay_agent.py").resolve()


@contextlib.contextmanager
def open_relay(space: Namespace, tap: Tap, netdev: str, form: str = "") -> Iterator[tuple[Wire, Helper]]:
    """QEMU's end of a wire (see `open_wire`), and the process at the other end. `tap` must have no header.

    Either end may send first: its data waits in the socket, except for UDP and multicast.
    """
    with open_wire(space, netdev, form) as wire, contextlib.ExitStack() as stack:
        command = [sys.executable, "-IS", str(_AGENT), str(tap.fd), *wire.agent]
        fds = (tap.fd, *wire.held)
        starting = start_helper(space, "the relay", command, lambda _: True, "start", pass_fds=fds)
        helper = stack.enter_context(starting)
        for end in wire.sockets:
            if end.fileno() in wire.held:
                end.close()  # only the relay holds it, so that QEMU sees when the relay ends
        yield wire, helper
