"""How many of a stripped QEMU's static functions `qtrace symbols` finds, and how many of those are wrong.

usage: symbols.py FOLDER [others]: the builds in it, FOLDER/qemu-VARIANT, each made by `build TREE
FOLDER/qemu-VARIANT VARIANT`; with `others` the part of the builds of OTHERS alone is written anew. A stripped
copy is read; the symbol table and DWARF of the whole one say what is true. Folders that no rule was made with
are indexed for this alone. Writes docs/symbols-accuracy.md.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from elftools.elf.elffile import ELFFile
from pages import made_from, marked

from qtrace.binary.code.bodies import function_ends
from qtrace.binary.file.elf import Elf
from qtrace.binary.symbols.neighbours import Neighbours, files_of_exports
from qtrace.binary.symbols.resolver import Resolver
from qtrace.binary.symbols.tcg_helpers import tcg_helpers
from qtrace.cache import cache_dir
from qtrace.errors import NoPath
from qtrace.index.build import ensure_index
from qtrace.index.definitions import defined_functions, tcg_helper_names
from qtrace.model import Direction, Symbol
from qtrace.path.catalogue import backend_name, nics
from qtrace.path.walk import walk
from qtrace.store.index import Index, find_index

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "symbols-accuracy.md"
INPUTS = {
    "docs/symbols-accuracy.md": (
        "qtrace/binary",
        "qtrace/path",
        "qtrace/index",
        "qtrace/store/index.py",
        "qtrace/store/schema.sql",
        "tests/evaluation/accuracy/symbols.py",
    )
}
_MOST_WRONG = 40  # that are named
_LAST = "<!-- made by make accuracy-shipped -->\n"
# The builds that rules were made with, and builds as other distributions make them.
WHOLE = {
    "optimised": "A minimal configuration, optimised as Debian does",
    "debian": "Debian's own configuration and flags",
}
OTHERS = {
    "o3": "gcc, -O3",
    "lto": "gcc, -O2, link-time optimisation",
    "clang-lto": "clang, -O2, link-time optimisation",
    "cfi": "clang, -O2, link-time optimisation and control-flow integrity",
}
# Folders that no rule was made with, in an index of their own.
HELD_OUT = ("hw/usb/*.c", "hw/scsi/*.c", "block/*.c", "chardev/*.c")
_LABELS = {
    "all": "everything",
    "held out": "never tuned on, together",
    "networking": "net/, hw/net/, hw/virtio/{virtio,vhost}*",
    "stage": "stages of all paths",
}
PARTS = ("part", "cold")  # of a function, not the function


def compiled_from(binary: Path, root: Path) -> Callable[[int], str]:
    """Address -> the C file that the code there was compiled from, empty where DWARF does not say."""
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

    def file_at(address: int) -> str:
        number = bisect_right(starts, address) - 1
        begin, length, file = ranges[number] if number >= 0 else (0, 0, "")
        return file if begin <= address < begin + length else ""

    return file_at


def truth(binary: Path, root: Path) -> dict[tuple[str, str], dict[str, set[int]]]:
    """(function, file) -> kind (empty, `part`, `cold`, …) -> addresses, from the symbols and the DWARF."""
    file_at = compiled_from(binary, root)
    found: dict[tuple[str, str], dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for symbol, _, address in Elf(binary).symtab():
        name, _, variant = symbol.partition(".")
        if file := file_at(address):
            found[name, file][variant.split(".")[0]].add(address)
    return found


def defined_in(binary: Path, index: Index) -> dict[tuple[str, str], dict[str, set[int]]]:
    """As `truth`, where a unit of DWARF is no C file, as after link-time optimisation: the file is that of
    the line in which a function begins, by addr2line, or of the line into which that one is inlined. Where
    there is no such line, it is each indexed file that has a function of the symbol's name."""
    root, owners = Path(index.meta["root"]).name, defaultdict(set)
    for row in index.functions().values():
        if row.line:
            owners[row.name].add(row.file)
    symbols = [(symbol, address) for symbol, _, address in Elf(binary).symtab()]
    asked = "".join(f"{address:#x}\n" for _, address in symbols)
    argv = ["addr2line", "--addresses", "--inlines", "-e", binary]
    done = subprocess.run(argv, input=asked, capture_output=True, text=True, check=True)
    places = [lines.splitlines()[-1] for lines in re.split("^0x", done.stdout, flags=re.MULTILINE)[1:]]
    found: dict[tuple[str, str], dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for (symbol, address), place in zip(symbols, places, strict=True):
        name, _, variant = symbol.partition(".")
        _, _, file = os.path.normpath(place.rpartition(":")[0]).rpartition(f"{root}/")
        known = (Path(index.meta["root"]) / file).is_file()
        for one in {file} if known else owners[name]:
            found[name, one][variant.split(".")[0]].add(address)
    return found


def nameless(whole: Path, stripped: Path, root: Path) -> str:
    """How often the file of a function without a name is right, and TCG's helpers are."""
    elf, file_at = Elf(stripped), compiled_from(whole, root)
    starts = sorted(function_ends(elf))
    true: dict[int, set[str]] = defaultdict(set)
    for symbol, _, address in Elf(whole).symtab():
        true[address].add(symbol)
    files = files_of_exports(elf.exports, defined_functions(root))
    names = {address: (name, files.get(name, "")) for name, address in sorted(elf.exports.items())}
    helpers = tcg_helpers(elf, set(starts), tcg_helper_names(root))
    around = Neighbours(elf, starts, names | {address: (name, "") for address, name in helpers.items()})
    rest = [start for start in starts if start not in names]
    said = {start: file for start in rest if (file := around.file(start))}
    wrong = [start for start, file in said.items() if file_at(start) != file]
    exported = sum(file_at(address) != file for address, (_, file) in names.items() if file)
    bad = sum(name not in true[address] for address, name in helpers.items())
    return (
        f"Of the {len(rest)} functions that are not exported, {len(said)} are said to be of a file "
        f"by what lies around them, without any index, {len(wrong)} of them wrongly; of the exported "
        f"{len(elf.exports)} the text of the tree gives the file of {len(files)}, {exported} wrongly. "
        f"{len(helpers)} helpers of TCG's are named by QEMU's table of them, {bad} wrongly."
    )


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


def main(folder: Path) -> None:
    index = find_index("")
    builds = {name: build for name in (*WHOLE, *OTHERS) if (build := folder / f"qemu-{name}").is_dir()}
    parts = [
        f"""# How well the functions of a stripped QEMU are found

Written by `make accuracy-symbols`: QEMU {index.meta["qemu"]} is built, a stripped copy is read by `qtrace
symbols`, and the symbol table and the debug information of the other copy say what is true. Counted are
static functions of the indexed C files with a body of their own (`.constprop` and `.isra` are bodies; `.part`
and `.cold` are none).

The rules were made while looking at net/, hw/net/ and hw/virtio/ of these very builds; the other folders of
the first table of each were measured with them, and what was found there changed a few rules. The second
table has hw/usb, hw/scsi, block and chardev, which no rule was made with: nothing was changed for what is
found, missed or wrong there. They are in an index made for this measurement alone."""
    ]
    with wide_index(Path(index.meta["root"])) as wide:
        parts += [section(WHOLE[name], build, index, wide) for name, build in builds.items() if name in WHOLE]
    parts.append(others({OTHERS[name]: build for name, build in builds.items() if name in OTHERS}, index))
    PAGE.write_text(marked("docs/symbols-accuracy.md", "\n\n".join(parts) + "\n") + last_part())


def renew_others(folder: Path) -> None:
    """Write the last part of the page anew, with the commit that it is of."""
    builds = {title: build for name, title in OTHERS.items() if (build := folder / f"qemu-{name}").is_dir()}
    part = others(builds, find_index(""))
    commit = made_from(marked("docs/symbols-accuracy.md", part))
    title, _, rest = part.partition("\n\n")
    kept = PAGE.read_text().partition(f"\n{title}\n")[0].rstrip("\n")
    PAGE.write_text(f"{kept}\n\n{title}\n\nThis part is of commit {commit}.\n\n{rest}\n{last_part()}")


def last_part() -> str:
    """What shipped.py has made of the page as it stands."""
    _, begin, rest = PAGE.read_text().partition(_LAST)
    return f"\n{begin}{rest}"


@contextlib.contextmanager
def wide_index(root: Path) -> Iterator[Index]:
    """The index of the same tree with the folders that are held out; not left in the user's cache."""
    with tempfile.TemporaryDirectory(prefix="qtrace-wide-") as folder:
        for name in ("facts", "generated", "packages", "sources"):
            Path(folder, name).symlink_to(cache_dir(name))
        before = os.environ.get("QTRACE_CACHE")
        os.environ["QTRACE_CACHE"] = folder
        try:
            index, _ = ensure_index(source=root, more=HELD_OUT)
            yield index
        finally:
            os.environ.pop("QTRACE_CACHE")
            if before is not None:
                os.environ["QTRACE_CACHE"] = before


class Scores:
    """What was found of one build with one index."""

    def __init__(self, true: dict[tuple[str, str], dict[str, set[int]]]) -> None:
        self.true = true
        self.by_row: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self.wrong: list[str] = []

    def count(self, item: Symbol, rows: list[tuple[str, str]]) -> None:
        """Count a static function in these rows."""
        kinds = self.true.get((item.name, item.file), {})
        bodies = {place for kind, places in kinds.items() if kind not in PARTS for place in places}
        if item.address:
            right = item.address in bodies
            if not right:
                self.wrong.append(f"{item.name} ({item.file}): {item.how}")
            for row in [*rows, ("method", item.how)]:
                self.by_row[row]["right" if right else "wrong"] += 1
        for row in rows:
            self.by_row[row]["bodies"] += bool(bodies)
            if item.how == "inlined":
                self.by_row[row]["inlined, body" if bodies else "inlined"] += 1

    def count_stage(self, item: Symbol) -> str:
        """Count a stage of a path; what is said of it if it has no place."""
        kinds = self.true.get((item.name, item.file), {})
        bodies = {place for kind, places in kinds.items() if kind not in PARTS for place in places}
        if not bodies and not item.address:
            return ""
        right = "right" if item.address in bodies else "wrong" if item.address else "open"
        self.by_row["stage", "all"][right] += 1
        return f"{item.name} ({item.how})" if right == "open" else ""


def statics(index: Index) -> set[tuple[str, str]]:
    """(function, file) of the static ones."""
    return {(row.name, row.file) for row in index.functions().values() if row.static}


def section(title: str, build: Path, index: Index, wide: Index) -> str:
    """What was found in one build."""
    whole = build / "qemu-system-x86_64"
    true = truth(whole, Path(index.meta["root"]))
    scores, held = Scores(true), Scores(true)
    with tempfile.TemporaryDirectory() as place:
        stripped = Path(place, "qemu-system-x86_64")
        subprocess.run(["strip", "-o", stripped, whole], check=True)
        began = time.monotonic()
        found = Resolver(stripped, index).everything()
        seconds = time.monotonic() - began
        found_wide = Resolver(stripped, wide).everything()
        rest = nameless(whole, stripped, Path(index.meta["root"]))
    static, wanted = statics(index), stages(index)
    open_stages: list[str] = []
    for item in found:
        key = item.name, item.file
        if key in wanted and (said := scores.count_stage(item)):
            open_stages.append(said)
        if key in static:
            rows = [("folder", folder(item.file)), ("all", "all")]
            scores.count(item, [*rows, *([("networking", "all")] if of_interest(item.file) else [])])
    usual, static = set(index.indexed_files()), statics(wide)
    for item in found_wide:
        if item.file not in usual and (item.name, item.file) in static:
            held.count(item, [("folder", folder(item.file)), ("held out", "all")])
    parts = [f"## {title}", table(scores), inlined(scores, ("all", "all"), seconds)]
    parts += named_wrong(scores)
    if open_stages:
        parts.append("Stages without a place: " + ", ".join(sorted(open_stages)) + ".")
    parts += ["Folders that no rule was made with:", table(held), inlined(held, ("held out", "all"))]
    return "\n\n".join([*parts, *named_wrong(held), rest])


def others(builds: dict[str, Path], index: Index) -> str:
    """What was found in builds that no rule was made with."""
    static, wanted = statics(index), stages(index)
    lines = [
        "## Built in other ways",
        "The minimal configuration. The rule for link-time optimisation was made while looking at gcc's "
        "build; no other was made with these. Two of one address: functions that were said to be at the same "
        "place.",
        "| build | found | wrong | bodies | recall | stages found | wrong | no place | two of one address |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    notes = []
    for title, build in builds.items():
        whole = build / "qemu-system-x86_64"
        if not whole.exists():
            notes.append(f"{title}: does not build: see its log.")
            continue
        scores, open_stages = Scores(defined_in(whole, index)), []
        with tempfile.TemporaryDirectory() as place:
            stripped = Path(place, "qemu-system-x86_64")
            subprocess.run(["strip", "-o", stripped, whole], check=True)
            found = Resolver(stripped, index).everything()
        for item in found:
            key = item.name, item.file
            if key in wanted and (said := scores.count_stage(item)):
                open_stages.append(said)
            if key in static:
                scores.count(item, [("all", "all")])
        places = Counter(item.address for item in found if item.address)
        twice = sum(count > 1 for count in places.values())
        every, stage = scores.by_row["all", "all"], scores.by_row["stage", "all"]
        lines.append(
            f"| {title} | {every['right'] + every['wrong']} | {every['wrong']} | {every['bodies']} | "
            f"{every['right'] / every['bodies']:.2%} | {stage['right'] + stage['wrong']} | "
            f"{stage['wrong']} | {stage['open']} | {twice} |"
        )
        if scores.wrong:
            notes.append(f"{title}, wrong: " + ", ".join(scores.wrong[:_MOST_WRONG]) + ".")
        if open_stages:
            notes.append(f"{title}, stages without a place: " + ", ".join(sorted(open_stages)) + ".")
    return "\n\n".join([*lines[:2], "\n".join(lines[2:]), *notes])


def table(scores: Scores) -> str:
    """Found, wrong and missed of each row."""
    lines = [
        "| what | found | wrong | precision | bodies | recall |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    order = ("all", "held out", "networking", "stage", "method", "folder")
    for (kind, name), score in sorted(
        scores.by_row.items(), key=lambda row: (order.index(row[0][0]), row[0][1])
    ):
        right, bad = score["right"], score["wrong"]
        bodies = score["bodies"] or (right + bad + score["open"] if kind == "stage" else 0)
        if not right + bad + bodies:
            continue
        label = _LABELS.get(kind, f"{kind} {name}")
        sure = f"{right / (right + bad):.2%}" if right + bad else ""
        recall = f"{right / bodies:.2%}" if bodies else ""
        lines.append(f"| {label} | {right + bad} | {bad} | {sure} | {bodies or ''} | {recall} |")
    return "\n".join(lines)


def inlined(scores: Scores, row: tuple[str, str], seconds: float = 0.0) -> str:
    """How many are said to be part of another function, and how many of those are not."""
    score = scores.by_row[row]
    text = (
        f"Said to be inlined: {score['inlined'] + score['inlined, body']}, of which "
        f"{score['inlined, body']} have a body of their own too."
    )
    return text + (f" Reading took {seconds:.0f} s." if seconds else "")


def named_wrong(scores: Scores) -> list[str]:
    """The wrong ones by name."""
    return ["Wrong:", "\n".join(f"- {item}" for item in scores.wrong[:_MOST_WRONG])] if scores.wrong else []


if __name__ == "__main__":
    (renew_others if "others" in sys.argv[2:] else main)(Path(sys.argv[1]))
