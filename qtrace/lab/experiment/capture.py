"""Packets at every place that they pass: in the guest, at the netdev, at each device of the lab's namespaces.

In the guest and in the namespaces tcpdump listens, at the netdev QEMU's own filter-dump (net/dump.c).
"""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qtrace.errors import LabError
from qtrace.lab.guest.guest import Guest
from qtrace.lab.guest.guest_image import which
from qtrace.lab.host.helper import Helper, start_helper
from qtrace.lab.host.netns import Namespace
from qtrace.lab.mode.live_lab import Lab

__all__ = ["SIDES", "Capture", "Place", "listen_in_space", "open_capture", "places_of"]

# In the order in which a packet that a guest sends passes them.
SIDES = ("guest", "netdev", "host", "world")
_LONGEST = 262144  # bytes of a packet that are kept: all of them
_STILL = 0.2  # seconds in which no file may grow before its capture ends
_PATIENCE = 120.0  # seconds for what takes some thousandths, on a machine that is busy
_LIMIT = 10.0  # seconds after which it ends all the same: somebody goes on sending


@dataclass(frozen=True, slots=True)
class Place:
    """Where packets are seen: `side` is one of `SIDES`, `machine` a guest or a namespace, `device` there.

    At the netdev the device is its id.
    """

    side: str
    machine: str
    device: str

    @property
    def name(self) -> str:
        """Of its file, and of the place in what is printed."""
        return f"{self.machine}-{self.device}"


@dataclass(slots=True)
class Capture:
    """`files` has the pcap of each place once `open_capture` has ended."""

    folder: Path
    places: tuple[Place, ...]
    files: dict[Place, Path] = field(default_factory=dict)


def places_of(lab: Lab) -> tuple[Place, ...]:
    """Every place of a lab that is up, in the order of `SIDES`."""
    found = []
    for name in lab.guests:
        found += [Place("guest", name, "eth0"), Place("netdev", name, "net0")]
    for device in _devices(lab.spaces["host"]):
        found.append(Place("host", "host", device))
    found += [Place("world", space, "eth0") for space in ("lan", "internet")]
    return tuple(sorted(found, key=lambda place: SIDES.index(place.side)))


def _devices(space: Namespace) -> list[str]:
    lines = space.ip("-o", "link").splitlines()
    return [line.split(": ")[1].partition("@")[0] for line in lines]


@contextlib.contextmanager
def open_capture(lab: Lab, folder: Path, places: Sequence[Place] | None = None) -> Iterator[Capture]:
    """Listen at `places` (all, by default) until the block ends; then their files are in `folder`.

    Entered once every place listens. Raises LabError, MissingPrerequisite.
    """
    capture = Capture(folder, tuple(places_of(lab) if places is None else places))
    with contextlib.ExitStack() as stack:
        for place in capture.places:
            target = folder / f"{place.name}.pcap"
            capture.files[place] = target
            if place.side == "guest":
                stack.enter_context(_in_guest(lab.guests[place.machine], place.device, target))
            elif place.side == "netdev":
                stack.enter_context(_at_netdev(lab, place, target))
            else:
                stack.enter_context(listen_in_space(lab.spaces[place.machine], place, target))
        yield capture
        _wait_until_still([folder / f"{place.name}.pcap" for place in capture.places if _is_written(place)])


@contextlib.contextmanager
def _in_guest(guest: Guest, device: str, target: Path) -> Iterator[None]:
    """tcpdump in the guest, whose file is brought out afterwards."""
    kept = f"/tmp/{device}.pcap"
    listens = f"tcpdump -n -U --immediate-mode -s {_LONGEST} -Z root -i {device} -w {kept}"
    guest.sh(
        f"{listens} >/tmp/tcpdump.log 2>&1 </dev/null & echo $! >/tmp/tcpdump.pid; "
        "for n in $(seq 2400); do grep -q listening /tmp/tcpdump.log && exit 0; usleep 50000; done; "
        "cat /tmp/tcpdump.log; exit 1",
        timeout=180,
    )
    yield
    # An orphan that has ended stays in /proc, without a command line, until init reaps it.
    guest.sh(
        # One that waits for the next packet has written all before it.
        "read -r pid </tmp/tcpdump.pid; n=5000; "
        "until grep -q '^State:.S' /proc/$pid/status || [ $((n -= 1)) -lt 0 ]; do usleep 20000; done; "
        f"before=; n={round(_LIMIT / _STILL)}; "
        f'while size=$(stat -c %s {kept}); [ "$size" != "$before" ] && [ $n -gt 0 ]; '
        f"do before=$size; n=$((n - 1)); usleep {round(_STILL * 1e6)}; done; "
        "kill -TERM $pid; "
        "while grep -q . /proc/$pid/cmdline 2>/dev/null; do usleep 20000; done",
        timeout=180,
    )
    target.write_bytes(base64.b64decode(guest.sh(f"base64 -w 0 {kept}")))


@contextlib.contextmanager
def _at_netdev(lab: Lab, place: Place, target: Path) -> Iterator[None]:
    """QEMU's filter-dump; the monitor attaches it to a netdev that runs."""
    guest, kept = lab.guests[place.machine], lab.home / place.machine / f"{place.device}.pcap"
    name = f"dump-{place.device}"
    guest.qmp(
        "object-add",
        **{"qom-type": "filter-dump", "id": name, "netdev": place.device, "file": str(kept)},
    )
    try:
        yield
    finally:
        with contextlib.suppress(LabError):  # it has ended
            guest.qmp("object-del", id=name)
    target.write_bytes(kept.read_bytes())
    kept.unlink()


@contextlib.contextmanager
def listen_in_space(space: Namespace, place: Place, target: Path) -> Iterator[Helper]:
    """tcpdump at a device of a namespace, until the block ends. Raises LabError, MissingPrerequisite."""
    argv = [str(which("tcpdump")), "-n", "-U", "--immediate-mode", "-s", str(_LONGEST), "-Z", "root"]
    argv += ["-i", place.device, "-w", str(target)]
    with start_helper(space, "tcpdump", argv, lambda _: _begun(target), f"listen at {place.name}") as one:
        yield one
        _wait_until_read(one)


def _wait_until_read(tcpdump: Helper) -> None:
    """Return when tcpdump has written every packet that has passed: when it sleeps until the next one comes,
    and does not only wait for a processor. Raises LabError if that does not come."""
    until = time.monotonic() + _PATIENCE
    while not tcpdump.ended and time.monotonic() < until:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{tcpdump.pid}/stat").read_text().rpartition(")")[2].split()[0] == "S":
                return
        time.sleep(0.005)
    if not tcpdump.ended:
        raise LabError(f"tcpdump has not written what has passed within {_PATIENCE:.0f} s")


def _is_written(place: Place) -> bool:
    """Whether the file grows here while packets come; a guest's and QEMU's own are brought later."""
    return place.side in ("host", "world")


def _wait_until_still(files: Sequence[Path]) -> None:
    """Return when none of the files has grown for a while: the last packets are written."""
    until, before = time.monotonic() + _LIMIT, -1
    while (size := sum(file.stat().st_size for file in files)) != before and time.monotonic() < until:
        before = size
        time.sleep(_STILL)


def _begun(file: Path) -> bool:
    """tcpdump writes the file's head once it listens."""
    try:
        return file.stat().st_size >= 24
    except OSError:
        return False
