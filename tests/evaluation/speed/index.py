"""What an index costs against parsing alone, in one interleaved run: `make bench-index`.

    PYTHONPATH=tests/evaluation python tests/evaluation/speed/index.py ROUNDS

Writes docs/index-speed.md. Nothing else may run on the machine meanwhile.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pages import marked

from qtrace.analyses.methods.stats import ratio
from qtrace.cache import cache_dir
from qtrace.conditions import conditions
from qtrace.index.build import ensure_index
from qtrace.index.prepare import prepare
from qtrace.index.tree import open_tree
from qtrace.lab.guest.guest import find_qemu
from qtrace.progress import SILENT
from qtrace.store.index import Index

ROOT = Path(__file__).parents[3]
INPUTS = {
    "docs/index-speed.md": (
        "qtrace/index",
        "qtrace/store/index.py",
        "qtrace/store/schema.sql",
        "tests/evaluation/speed/index.py",
    )
}
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
_ALONE = (
    "import json, sys\nfrom clang.cindex import Index\n"
    "clang = Index.create()\n"
    "for path, flags in json.load(open(sys.argv[1])): clang.parse(path, args=flags)\n"
)


class Cost(NamedTuple):
    """Of a command with everything that it started: CPU and elapsed seconds, MB at most in two processes
    at a time and the first."""

    cpu: float
    wall: float
    memory: float


def cost(argv: Sequence[str], **environment: str) -> Cost:
    """Run it. What it leaves behind becomes our child, so that nothing goes uncounted."""
    began = time.monotonic()
    process = subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | environment
    )
    cpu, wall, sizes = 0.0, 0.0, []
    while True:
        try:
            pid, status, used = os.wait4(-1, 0)
        except ChildProcessError:
            break
        cpu += used.ru_utime + used.ru_stime
        sizes.append(used.ru_maxrss / 1024)
        if pid == process.pid:
            wall = time.monotonic() - began
            if status:
                sys.exit(f"{' '.join(argv)} failed")
    process.returncode = 0
    return Cost(cpu, wall, sizes[0] + 2 * max(sizes[1:], default=0))


@contextlib.contextmanager
def empty_cache(kept: Sequence[str] = ("packages", "apt", "generated", "sources")) -> Iterator[str]:
    """A cache without any fact; what is fetched or generated is there."""
    with tempfile.TemporaryDirectory(prefix="qtrace-") as folder:
        for name in kept:
            Path(folder, name).symlink_to(cache_dir(name))
        yield folder


def qtrace(*words: str) -> list[str]:
    """A command line of ours."""
    return [sys.executable, "-m", "qtrace", *words]


def plain(index: Index, into: Path) -> list[str]:
    """A process that parses the index's files with the flags that fit each, one after another."""
    root = Path(index.meta["root"])
    prepared = prepare(open_tree(root), None, SILENT)
    work = [(str(root / file), [*prepared.flags[index.flags_of(file)]]) for file in index.indexed_files()]
    into.write_text(json.dumps(work))
    return [sys.executable, "-c", _ALONE, str(into)]


def edited(copy: Path, file: str, number: int) -> None:
    """Give a file of the copy a content that no cache has."""
    path = copy / file
    path.write_text(path.read_text() + f"\n/* {time.time_ns()} {number} */\n")


def measure(rounds: int) -> str:
    index, _ = ensure_index()
    root = index.meta["root"]
    alone: list[Cost] = []
    cold: list[Cost] = []
    rows: dict[str, list[Cost]] = {}
    with tempfile.TemporaryDirectory(prefix="qtrace-") as folder:
        parse = plain(index, Path(folder, "work.json"))
        for number in range(rounds):
            alone.append(cost(parse))
            with empty_cache() as cache:
                cold.append(cost(qtrace("index", "--source", root), QTRACE_CACHE=cache))
            print(
                f"round {number + 1} of {rounds}: {alone[-1].cpu:.1f} s, {cold[-1].cpu:.1f} s",
                file=sys.stderr,
            )
        copy = Path(folder, "qemu")
        shutil.copytree(root, copy, symlinks=True)
        mine = qtrace("index", "--source", str(copy))
        cost(mine)
        for number in range(rounds):
            rows.setdefault("index, no change", []).append(cost(mine))
            edited(copy, "net/tap.c", number)
            rows.setdefault("index, net/tap.c edited", []).append(cost(mine))
            edited(copy, "hw/net/virtio-net.c", number)
            rows.setdefault("index, hw/net/virtio-net.c edited", []).append(cost(mine))
            edited(copy, "include/net/queue.h", number)
            rows.setdefault("index, include/net/queue.h edited", []).append(cost(mine))
            for words in (
                ("map",),
                ("show", "tap_receive_iov"),
                ("walk", "virtio-net-pci", "tap", "--direction", "tx"),
                ("walk", "e1000e", "vde", "--direction", "rx"),
            ):
                rows.setdefault(" ".join(words), []).append(cost(qtrace(*words)))
    ensure_index()  # the installed QEMU's is the current one again
    return page(index, alone, cold, rows)


def page(index: Index, alone: list[Cost], cold: list[Cost], rows: dict[str, list[Cost]]) -> str:
    """The page."""
    cpu = ratio([(mine.cpu, bare.cpu) for mine, bare in zip(cold, alone, strict=True)])
    facts = conditions(find_qemu(), "none", "none")
    shown = {name: facts[name] for name in ("date", "CPU", "memory", "kernel", "libclang", "qtrace")}
    lines = [
        "# What an index costs",
        "",
        "Generated by `make bench-index`; nothing here is typed in by hand.",
        "",
        *(f"- {name}: {value}" for name, value in shown.items()),
        f"- tree: QEMU {index.meta['qemu']}, {index.counts()['files']} files",
        f"- {len(alone)} rounds, interleaved",
        "",
        "A cold index (no fact kept, headers generated) against a process that parses the same files with "
        "libclang, one after another, and does nothing else. CPU time is that of all processes.",
        "",
        "| | CPU, s | elapsed, s | memory, MB |",
        "| --- | ---: | ---: | ---: |",
        *(
            f"| {name} | {statistics.median(c.cpu for c in costs):.1f} "
            f"| {statistics.median(c.wall for c in costs):.1f} | {max(c.memory for c in costs):.0f} |"
            for name, costs in (("parsing alone", alone), ("cold index", cold))
        ),
        "",
        f"CPU ratio, index to parsing: **{cpu.mean:.2f}** (95 % interval {cpu.low:.2f} to {cpu.high:.2f}).",
        "",
        "| afterwards, whole process | elapsed, s, median | worst |",
        "| --- | ---: | ---: |",
        *(
            f"| `{name}` | {statistics.median(walls(c)):.2f} | {max(walls(c)):.2f} |"
            for name, c in rows.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def walls(costs: Sequence[Cost]) -> list[float]:
    """The elapsed seconds."""
    return [cost.wall for cost in costs]


def main() -> None:
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    text = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
    (ROOT / "docs" / "index-speed.md").write_text(marked("docs/index-speed.md", text))
    print(text)


if __name__ == "__main__":
    main()
