"""What `qtrace symbols` says of QEMU as Debian ships it, which has no symbols: held against other readers.

usage: shipped.py [SUITE ...]; `installed` is this machine's. Two readers know nothing of the rules: readelf's
relocations with the numbers that the source gives each table of network clients (its kind, the size of its
state, which callbacks it has), and guests that send and receive a known number of frames by every back end of
the lab. Writes the part of docs/symbols-accuracy.md that `make accuracy-shipped` makes.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from elftools.elf.elffile import ELFFile
from exact import FRAMES, Kind, Traced, open_traced, pass_frames, wrong
from pages import with_part

from qtrace.binary.symbols.resolver import Resolver
from qtrace.errors import MissingPrerequisite, QtraceError
from qtrace.index.build import ensure_index, release_tree
from qtrace.lab.guest.guest import find_qemu
from qtrace.lab.guest.qemu_program import QemuProgram
from qtrace.lab.link.sockets import FORMS
from qtrace.measure.attacher import Attacher
from qtrace.measure.instrument_registry import open_full_engine
from qtrace.model import Direction
from qtrace.store.index import ClientTable, Index

PART = "docs/symbols-accuracy.md#accuracy-shipped"
INPUTS = {
    "docs/symbols-accuracy.md#accuracy-shipped": (
        "probes",
        "qtrace/binary",
        "qtrace/index",
        "qtrace/path",
        "qtrace/measure",
        "tests/evaluation/accuracy/shipped.py",
    )
}
ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "symbols-accuracy.md"
SUITES = {"installed": "Debian 12", "trixie": "Debian 13"}
# A line of `readelf --relocs`: where, kind, what is added to the base.
_RELATIVE = re.compile(r"^([0-9a-f]{16})\s+[0-9a-f]+\s+R_X86_64_RELATIVE\s+([0-9a-f]+)", re.MULTILINE)
_NIC = "virtio-net-pci"
KINDS = (
    *(Kind(nic, netdev) for netdev in ("tap", "user") for nic in (_NIC, "e1000")),
    *(Kind(_NIC, "vde"), Kind(_NIC, "tap", hub=True), Kind(_NIC, "user", hub=True)),
    *(Kind(_NIC, netdev, form) for netdev, forms in FORMS.items() for form in forms),
)


@dataclass
class Readelf:
    """`tables` that the binary has, of them `alone`, told apart from every other by their numbers; their
    `callbacks`, of them `placed` by `symbols`, how many of these are `seen` there by readelf, and which are
    not."""

    tables: int = 0
    alone: int = 0
    callbacks: int = 0
    placed: int = 0
    seen: int = 0
    other: list[str] = field(default_factory=list)


def relocations(binary: Path) -> dict[int, int]:
    """Place -> address that is stored there, by binutils."""
    said = subprocess.run(
        ["readelf", "--wide", "--relocs", binary], capture_output=True, text=True, check=True
    )
    return {int(place, 16): int(address, 16) for place, address in _RELATIVE.findall(said.stdout)}


def sections(binary: Path) -> list[tuple[int, bytes]]:
    """(address, bytes) of the sections in which tables of pointers stand."""
    with binary.open("rb") as handle:
        elf = ELFFile(handle)
        found = [elf.get_section_by_name(name) for name in (".data", ".data.rel.ro")]
        return [(int(section["sh_addr"]), section.data()) for section in found if section]


def read(binary: Path, index: Index, placed: Mapping[tuple[str, str], int]) -> Readelf:
    """Every table of network clients in the source, looked for in the binary by its numbers alone."""
    stored, parts = relocations(binary), sections(binary)
    offsets = index.offsets("NetClientInfo")
    words = {name: at for name, at in offsets.items() if name not in ("type", "size")}
    found = Readelf()
    for table in index.client_tables():
        kinds, size = numbers(table, index)
        wanted = {words[name] for name in table.callbacks}
        at = [
            place
            for base, data in parts
            for place in range(base, base + len(data) - max(words.values()), 8)
            if int.from_bytes(data[place - base : place - base + 4], "little") in kinds
            and int.from_bytes(data[place - base + 8 : place - base + 16], "little") == size
            and {offset for offset in words.values() if place + offset in stored} == wanted
        ]
        if not at:
            continue
        found.tables += 1
        found.alone += len(at) == 1
        found.callbacks += len(table.callbacks)
        for name, (function, _) in table.callbacks.items():
            address = placed.get((function.name, function.file))
            if address is None:
                continue
            found.placed += 1
            if address in {stored[place + words[name]] for place in at}:
                found.seen += 1
            else:
                found.other.append(f"{function.name} ({function.file})")
    return found


def numbers(table: ClientTable, index: Index) -> tuple[set[int], int]:
    """(the numbers that its kind can have, the bytes of its state). Kinds after netmap's are one less where
    QEMU is built without it, as Debian's is (qapi/net.json)."""
    drivers = index.enum("NetClientDriver")
    kind = drivers[table.driver]
    shifted = kind > drivers.get("NET_CLIENT_DRIVER_NETMAP", kind)
    return {kind, kind - 1} if shifted else {kind}, index.struct(table.size_of)[1]


def live(kind: Kind, attacher: Attacher, index: Index, qemu: QemuProgram | None) -> Iterator[str]:
    """A row: the functions that have counted every frame, or what is wrong; none for what the lab lacks."""
    try:
        with open_traced(kind, attacher, index, qemu) as traced:
            cells = [counted(traced, direction) for direction in Direction]
    except MissingPrerequisite as exc:
        print(f"{kind}: {exc}", file=sys.stderr)
        return
    print(f"{kind}: {cells}", file=sys.stderr, flush=True)
    yield f"| {kind} | {' | '.join(cells)} |"


def counted(traced: Traced, direction: Direction) -> str:
    window = pass_frames(traced, direction)
    if found := wrong(window):
        return f"**{', '.join(found)}**"
    rows = [row for row in window.rows if row["direction"] == direction and not window.exempt(row)]
    return ", ".join(f"`{row['function']}`" for row in rows)


def release(suite: str) -> tuple[Path, Index, QemuProgram | None]:
    """Its program, the index of its source, and what guests run in: None for the installed one."""
    if suite == "installed":
        return find_qemu(), ensure_index(current=False)[0], None
    program = QemuProgram.of_release(suite)
    return program.file, ensure_index(source=release_tree(suite), current=False)[0], program


def main(suites: Sequence[str]) -> int:
    lines = [
        "## As Debian ships them",
        "",
        "No symbols are there to say what is true. Each table of network clients in the source is looked for "
        "in the binary by its numbers alone (its kind, the size of its state, which callbacks it has), with "
        "the relocations that binutils' readelf prints; what it says of each callback is held against what "
        f"`qtrace symbols` says. Then {FRAMES} frames are sent each way by guests that run in that QEMU; "
        "named is each function that has counted every one of them, in QEMU and at the host.",
        "",
        "| QEMU | functions placed | tables in it | told apart | their callbacks | placed | readelf says the "
        "same | another |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    after, wrongs = [], 0
    for suite in suites:
        file, index, qemu = release(suite)
        placed = {(item.name, item.file): item.address for item in Resolver(file, index).everything()}
        placed = {key: address for key, address in placed.items() if address}
        found = read(file, index, placed)
        title = f"{index.meta['qemu']} ({SUITES[suite]})"
        numbers = (len(placed), found.tables, found.alone, found.callbacks, found.placed, found.seen)
        lines.append(f"| {title} | {' | '.join(map(str, numbers))} | {len(found.other)} |")
        after += ["", f"### Guests in {title}", "", "| guest | from it | to it |", "| --- | --- | --- |"]
        with open_full_engine() as engine:
            attacher = Attacher(engine, index)
            rows = [row for kind in KINDS for row in live(kind, attacher, index, qemu)]
        after += rows
        wrongs += len(found.other) + sum("**" in row for row in rows)
    PAGE.write_text(with_part(PART, "\n".join([*lines, *after]) + "\n"))
    return 1 if wrongs else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:] or tuple(SUITES)))
    except QtraceError as exc:
        sys.exit(f"{exc} ({exc.hint})")
