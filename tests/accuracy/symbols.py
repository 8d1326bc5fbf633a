"""How many of a stripped QEMU's static functions `qtrace symbols` finds, and how many of those are wrong.

usage: symbols.py MINIMAL DEBIAN: folders of `build TREE FOLDER optimised` and `build TREE FOLDER debian`. A
stripped copy is read; the symbol table and DWARF of the whole one say what is true. Writes
docs/symbols-accuracy.md.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from bisect import bisect_right
from collections import Counter, defaultdict
from pathlib import Path

from elftools.elf.elffile import ELFFile

from qtrace.binary.elf import Elf
from qtrace.binary.resolve import Resolver
from qtrace.errors import NoPath
from qtrace.model import Direction
from qtrace.source.catalogue import backend_name, nics
from qtrace.source.walk import walk
from qtrace.store.index import Index, find_index

ROOT = Path(__file__).parents[2]
_MOST_WRONG = 40  # that are named
_LABELS = {
    "all": "everything",
    "networking": "net/, hw/net/, hw/virtio/{virtio,vhost}*",
    "stage": "stages of all paths",
}
PARTS = ("part", "cold")  # of a function, not the function


def truth(binary: Path, root: Path) -> dict[tuple[str, str], dict[str, set[int]]]:
    """(function, file) -> kind (empty, `part`, `cold`, …) -> addresses, from the symbols and the DWARF."""
    with binary.open("rb") as handle:
        elf = ELFFile(handle)
        dwarf = elf.get_dwarf_info()
        files: dict[int, str] = {}
        ranges = []
        for entry in dwarf.get_aranges().entries:
            if entry.info_offset not in files:
                top = dwarf.get_CU_at(entry.info_offset).get_top_DIE()
                name = top.attributes["DW_AT_name"].value.decode()
                files[entry.info_offset] = name.rpartition(f"{root.name}/")[2].removeprefix("../")
            ranges.append((entry.begin_addr, entry.length, files[entry.info_offset]))
    ranges.sort()
    starts = [begin for begin, _, _ in ranges]
    found: dict[tuple[str, str], dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for symbol, _, address in Elf(binary).symtab():
        number = bisect_right(starts, address) - 1
        begin, length, file = ranges[number] if number >= 0 else (0, 0, "")
        name, _, variant = symbol.partition(".")
        if begin <= address < begin + length:
            found[name, file][variant.split(".")[0]].add(address)
    return found


def stages(index: Index) -> set[tuple[str, str]]:
    """(function, file) of the stages in QEMU of every path of every NIC and back end."""
    found: set[tuple[str, str]] = set()
    for nic in nics(index):
        for driver, *_ in index.backends():
            for direction in Direction:
                try:
                    path = walk(index, nic.name, backend_name(driver), direction=direction)
                except NoPath:
                    continue
                found.update((step.function, step.file) for step in path.stages if step.file)
    return found


def folder(file: str) -> str:
    return str(Path(file).parent)


def of_interest(file: str) -> bool:
    """Whether it is one of the files that the goals are for."""
    return file.startswith(("net/", "hw/net/", "hw/virtio/virtio", "hw/virtio/vhost"))


def main(builds: dict[str, Path]) -> None:
    index = find_index("")
    parts = [
        f"""# How well the functions of a stripped QEMU are found

Written by `make accuracy-symbols`: QEMU {index.meta["qemu"]} is built, a stripped copy is read by `qtrace
symbols`, and the symbol table and the debug information of the other copy say what is true. Counted are
static functions of the indexed C files with a body of their own (`.constprop` and `.isra` are bodies; `.part`
and `.cold` are none).

The rules were made while looking at net/, hw/net/ and hw/virtio/ of these very builds; the other folders were
measured with them, and what was found there changed one rule (functions that call each other)."""
    ]
    parts += [section(title, build, index) for title, build in builds.items()]
    (ROOT / "docs" / "symbols-accuracy.md").write_text("\n\n".join(parts) + "\n")


def section(title: str, build: Path, index: Index) -> str:
    """What was found in one build."""
    whole = build / "qemu-system-x86_64"
    true = truth(whole, Path(index.meta["root"]))
    with tempfile.TemporaryDirectory() as place:
        stripped = Path(place, "qemu-system-x86_64")
        subprocess.run(["strip", "-o", stripped, whole], check=True)
        began = time.monotonic()
        found = Resolver(stripped, index).everything()
        seconds = time.monotonic() - began
    static = {(row.name, row.file) for row in index.functions().values() if row.static}
    wanted = stages(index)
    scores: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    wrong: list[str] = []
    open_stages: list[str] = []
    for item in found:
        key = item.name, item.file
        kinds = true.get(key, {})
        bodies = {place for kind, places in kinds.items() if kind not in PARTS for place in places}
        if key in wanted and (bodies or item.address):
            right = "right" if item.address in bodies else "wrong" if item.address else "open"
            scores["stage", "all"][right] += 1
            if right == "open":
                open_stages.append(f"{item.name} ({item.how})")
        if key not in static:
            continue
        rows = [("folder", folder(item.file)), ("all", "all")]
        if of_interest(item.file):
            rows.append(("networking", "all"))
        if item.address:
            right = item.address in bodies
            if not right:
                wrong.append(f"{item.name} ({item.file}): {item.how}")
            for row in [*rows, ("method", item.how)]:
                scores[row]["right" if right else "wrong"] += 1
        for row in rows:
            scores[row]["bodies"] += bool(bodies)
            if item.how == "inlined":
                scores[row]["inlined, body" if bodies else "inlined"] += 1
    return render(title, scores, wrong, open_stages, seconds)


def render(
    title: str,
    scores: dict[tuple[str, str], Counter[str]],
    wrong: list[str],
    open_stages: list[str],
    seconds: float,
) -> str:
    """The page."""
    lines = [
        f"## {title}",
        "",
        "| what | found | wrong | precision | bodies | recall |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    order = {"all": 0, "networking": 1, "stage": 2, "method": 3, "folder": 4}
    for (kind, name), score in sorted(scores.items(), key=lambda row: (order[row[0][0]], row[0][1])):
        right, bad = score["right"], score["wrong"]
        bodies = score["bodies"] or (right + bad + score["open"] if kind == "stage" else 0)
        if not right + bad + bodies:
            continue
        label = _LABELS.get(kind, f"{kind} {name}")
        sure = f"{right / (right + bad):.2%}" if right + bad else ""
        recall = f"{right / bodies:.2%}" if bodies else ""
        lines.append(f"| {label} | {right + bad} | {bad} | {sure} | {bodies or ''} | {recall} |")
    everything = scores["all", "all"]
    lines += [
        "",
        f"Said to be inlined: {everything['inlined'] + everything['inlined, body']}, of which "
        f"{everything['inlined, body']} have a body of their own too. Reading took {seconds:.0f} s.",
    ]
    if wrong:
        lines += ["", "Wrong:", "", *(f"- {item}" for item in wrong[:_MOST_WRONG])]
    if open_stages:
        lines += ["", "Stages without a place: " + ", ".join(sorted(open_stages)) + "."]
    return "\n".join(lines)


if __name__ == "__main__":
    main(
        {
            "A minimal configuration, optimised as Debian does": Path(sys.argv[1]),
            "Debian's own configuration and flags": Path(sys.argv[2]),
        }
    )
