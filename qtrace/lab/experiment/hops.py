"""One packet at every place that it passed, decoded by tcpdump, and how it differs from what the guest
sent."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qtrace.errors import LabError, StoreError
from qtrace.lab.experiment.capture import Capture, Place
from qtrace.lab.experiment.dump_file import HEADERS, cut_headers
from qtrace.lab.guest.guest_image import which

__all__ = [
    "Hop",
    "Packet",
    "count_matching",
    "find_hops",
    "packets",
    "read_hops",
    "without_header",
    "write_hops",
]

_HEX = re.compile(r"^\t0x[0-9a-f]+:\s+((?:[0-9a-f]{2,4} ?)+)")
_CHECKSUMS = {24, 25, 40, 41, 50, 51}  # of IPv4's header, of UDP and of TCP, behind 14 bytes of Ethernet


@dataclass(frozen=True, slots=True)
class Packet:
    """`number` counts from 1 in its file; `text` is tcpdump's account of it, `data` the packet from its
    link header on. `seconds` is its time on the clock of the machine that saw it."""

    number: int
    seconds: float
    text: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Hop:
    """The packet at one place. `relation` to the frame that the guest sent:

    `header` it is that frame behind `offset` bytes of virtio's header; `first` it is that frame, `same`
    byte for byte; `checksum` but for checksums; `inside` the whole frame is in it, behind `offset` bytes;
    `payload` only what the program sent is in it. `number` and `of` say which packet of its file it is.
    """

    side: str
    machine: str
    device: str
    number: int
    of: int
    length: int
    offset: int
    relation: str
    text: str
    data: str

    @property
    def place(self) -> Place:
        """Where it was seen."""
        return Place(self.side, self.machine, self.device)


def packets(file: Path) -> list[Packet]:
    """Every packet of a pcap file. Raises LabError, MissingPrerequisite."""
    found: list[Packet] = []
    head: list[str] = []
    data = b""

    def end() -> None:
        if head:
            first = head[0].split(" ", 1)
            words = " ".join(" ".join([first[1], *head[1:]]).split())
            found.append(Packet(len(found) + 1, float(first[0]), words, data))

    for line in _tcpdump(file, "-e", "-v", "-tt", "-xx").splitlines():
        if dump := _HEX.match(line):
            data += bytes.fromhex(dump[1].replace(" ", ""))
        elif line[:1].isspace():
            head.append(line.strip())
        else:
            end()
            head, data = [line], b""
    end()
    return found


def count_matching(file: Path, expression: str) -> int:
    """How many packets of a file a filter of tcpdump's lets through."""
    return len(_tcpdump(file, "-t", expression).splitlines())


def _tcpdump(file: Path, *words: str) -> str:
    argv = [str(which("tcpdump")), "-n", "-K", "-r", str(file), *words]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise LabError(f"tcpdump cannot read {file}: {said}")
    return done.stdout.decode(errors="replace")


def find_hops(capture: Capture, sender: str, marker: bytes) -> list[Hop]:
    """The first packet with `marker` in it at every place where there is one. Raises LabError."""
    start = next(place for place in capture.files if place.side == "guest" and place.machine == sender)
    first = _first(packets(capture.files[start]), marker)
    if first is None:
        raise LabError(f"the packet with {marker!r} was not seen in {sender}, which sent it")
    hops = []
    for place in sorted(capture.files, key=lambda place: _distance(place, sender)):
        file, header = without_header(place, capture.files[place], first.data)
        found = packets(file)
        packet = _first(found, marker)
        if packet is not None:
            relation, offset = ("first", 0) if place == start else _relation(first.data, packet.data, marker)
            if header:
                relation, offset = "header", header
            size = len(packet.data) + header
            where = (place.side, place.machine, place.device, packet.number, len(found), size)
            data = packets(capture.files[place])[packet.number - 1].data if header else packet.data
            hops.append(Hop(*where, offset, relation, packet.text, data.hex()))
    return hops


def without_header(place: Place, file: Path, sent: bytes) -> tuple[Path, int]:
    """A file in which frames begin where tcpdump takes them to begin, and how many bytes stood before them.

    See `dump_file`.
    """
    if place.side != "netdev":
        return file, 0
    header = next((at for packet in packets(file) if (at := packet.data.find(sent)) in HEADERS), 0)
    return cut_headers(file, header), header


def _distance(place: Place, sender: str) -> int:
    """The places in the order in which a packet of `sender` passes them."""
    order = ("guest", "netdev", "host", "world")
    mine = place.machine == sender
    return order.index(place.side) if mine or place.side in order[2:] else 5 - order.index(place.side)


def _first(found: Iterable[Packet], marker: bytes) -> Packet | None:
    return next((packet for packet in found if marker in packet.data), None)


def _relation(sent: bytes, seen: bytes, marker: bytes) -> tuple[str, int]:
    if seen == sent:
        return "same", 0
    if len(seen) == len(sent):
        differing = {at for at in range(len(sent)) if seen[at] != sent[at]}
        if differing <= _CHECKSUMS:
            return "checksum", 0
    at = seen.find(sent)
    if at > 0:
        return "inside", at
    return "payload", seen.find(marker)


def write_hops(folder: Path, head: Mapping[str, Any], hops: list[Hop]) -> list[Path]:
    """`capture.json`, and `capture.txt` for people, in `folder`."""
    machine, text = folder / "capture.json", folder / "capture.txt"
    machine.write_text(json.dumps({**head, "hops": [asdict(hop) for hop in hops]}, indent=2) + "\n")
    parts = []
    for hop in hops:
        where = f"{hop.place.name}: packet {hop.number} of {hop.of}, {hop.length} bytes, {hop.relation}"
        parts.append(f"{where}\n{hop.text}\n{hex_lines(bytes.fromhex(hop.data))}")
    text.write_text("\n".join(parts))
    return [machine, text]


def read_hops(folder: Path) -> tuple[dict[str, Any], list[Hop]]:
    """(head, hops) as `write_hops` wrote them. Raises StoreError."""
    path = folder / "capture.json"
    try:
        data = json.loads(path.read_text())
        return data, [Hop(**item) for item in data.pop("hops")]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise StoreError(f"{path} cannot be read: {exc}") from exc


def hex_lines(data: bytes) -> str:
    """Sixteen bytes a line, with what is printable beside them."""
    lines = []
    for at in range(0, len(data), 16):
        part = data[at : at + 16]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"  {at:04x}  {part.hex(' '):<47}  {shown}\n")
    return "".join(lines)
