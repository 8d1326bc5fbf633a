"""A link is down: the NIC's, the back end's, or the tap's own on the host.

QEMU drops what is sent over a client whose link is down (net/net.c, qemu_send_packet_async_with_flags), and
the kernel refuses frames of a tap whose interface is down.
"""

from __future__ import annotations

from collections.abc import Iterator

from qtrace.diagnosis.cause import Advice, Finding
from qtrace.diagnosis.observation import Nic, Observation
from qtrace.diagnosis.quantities import counted, state
from qtrace.model import Direction
from qtrace.trace.frames.reasons import LINK_DOWN

LOOKS_AT = "links: the NIC's, the back end's, the tap's"
THRESHOLD = (
    "A state at the window's end, named whenever it is there: a link that came up again before is no "
    "cause of what is seen now."
)


def look(seen: Observation) -> Iterator[Finding]:
    for nic in seen.nics:
        for which, advice in _down(nic):
            frames = sum(nic.stopped(way, LINK_DOWN) for way in Direction)
            evidence = [state(f"{which} is down at the window's end")]
            if frames:
                evidence.append(counted(frames, "frames dropped for it"))
            yield Finding(
                nic.title,
                "breaks",
                1.0,
                f"no frame passes: {which} is down",
                evidence,
                [advice],
                "certain",
                "a state that was read",
            )
            break


def _down(nic: Nic) -> Iterator[tuple[str, Advice]]:
    for queue in nic.queues():
        for side in ("near", "far"):
            client = queue[side]
            if client["link_down"]:
                name = client["name"]
                what = "NIC" if client["driver"] == "nic" else "back end"
                command = f'{{"execute": "set_link", "arguments": {{"name": "{name}", "up": true}}}}'
                yield f"the link of the {what} {name}", Advice("at QEMU's monitor (QMP)", command)
    tap = nic.tap()
    if tap.get("up") is False:
        yield f"the tap {tap['name']}", Advice("on the host", f"ip link set dev {tap['name']} up")
