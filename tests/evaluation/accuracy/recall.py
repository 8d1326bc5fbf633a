"""Recall on what really ran: calls observed in a QEMU with symbols against the edges of the index.

    python tests/evaluation/accuracy/recall.py BUILD      BUILD: a folder in which that very tree was built

`--nic` and `--netdev`, as often as wanted, cut the matrix. Writes build/observed.json, of which page.py
makes the table. Needs root, bcc and tun, as the lab does.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from observe import Call, Code, Observer, Seen, open_observer
from observed import OBSERVED, Observed

from qtrace.binary.file.version import qemu_version
from qtrace.index.build import ensure_index
from qtrace.lab.link.connection import open_network
from qtrace.lab.workload import rr, tcp
from qtrace.lab.workload.server import serve
from qtrace.model import Direction
from qtrace.store.index import Index

NETDEVS = ("user", "tap", "socket", "vde")
NICS = ("virtio-net-pci", "e1000", "rtl8139", "e1000e", "vmxnet3", "pcnet")
SECONDS = 2


def run(observer: Observer, nic: str, netdev: str) -> Seen:
    """The calls of a NIC on a netdev; a `socket` is tried with datagrams and with a stream."""
    forms = ("fd", "fd-stream") if netdev == "socket" else ("",)
    found = [one_guest(observer, nic, netdev, form) for form in forms]
    return Seen(
        _sum(item.calls for item in found),
        sum(item.outside for item in found),
        _sum(item.host for item in found),
    )


def one_guest(observer: Observer, nic: str, netdev: str, form: str) -> Seen:
    """The calls of one guest from its start: devices, boot, traffic both ways and round trips."""
    observer.clear()
    with (
        open_network(nic, netdev, "qemu", "tcg", form=form) as network,
        serve(network.space, tcp.SERVER, tcp.PORT),
        serve(network.space, rr.SERVER, rr.PORT),
    ):
        for way in Direction:
            tcp.tcp(network, way, SECONDS)
        rr.rr(network, None, SECONDS)
        return observer.observed(network.guest.pid)


def indexed(index: Index) -> dict[Call, str]:
    """(caller, callee) -> kind of every edge between functions of the tree; of several, the direct one."""
    functions = {number: (row.name, row.file) for number, row in index.functions().items() if row.file}
    edges: dict[Call, str] = {}
    for number, caller in functions.items():
        for edge in index.callees(number):
            if edge.callee in functions and edges.get((caller, functions[edge.callee])) != "direct":
                edges[caller, functions[edge.callee]] = edge.kind
    return edges


def cause(index: Index, call: Call) -> str:
    """What the index itself says about why it has not got a call."""
    caller, callee = call
    if errors := index.errors_in([caller[1], callee[1]]):
        return f"{errors[0][0]} is not read without errors"
    number = next(row.id for row in index.function(*caller))
    if sites := index.unresolved(number):
        said = ", ".join(f"`{target}` ({file}:{line})" for _, file, line, target in sites)
        return f"the caller's calls through {said} are not resolved"
    kept = {
        edge.field
        for row in index.function(*callee)
        for edge in index.callers(row.id)
        if edge.kind != "direct" and edge.field
    }
    if kept:
        return f"it is known to be called through {', '.join(sorted(kept))} only"
    return "no call is seen that could be this one"


def section(index: Index, observed: Observed) -> str:
    """The table of docs/accuracy.md."""
    runs = observed.runs
    edges = indexed(index)
    calls = observed.calls()
    outside = sum(found.outside for found in runs.values())
    missed = {call: count for call, count in calls.items() if call not in edges}
    lines = [
        "## Recall on what really ran",
        "",
        f"QEMU {observed.qemu}, built from the indexed tree without inlining, clones and sibling "
        f"calls, under TCG; {observed.probed:,} functions of indexed C files, of headers by which a NIC "
        "reaches guest memory, and of libraries by which a frame leaves and enters, probed at their entry, "
        "each hit noted with its return address. An observed call is a pair (caller, callee) of indexed "
        "functions, from the "
        f"guest's start to the end of TCP both ways and round trips, {SECONDS} s each. The `socket` rows are "
        "of two guests each, one with datagrams and one with a stream. A further "
        f"{outside / (outside + sum(calls.values())):.0%} of the entries were from callers in files that are "
        "not indexed or in libraries, and are left out.",
        "",
        "| NIC on netdev | calls observed | pairs | in the index | direct | through a pointer | recall |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, found in [*((name, item.calls) for name, item in runs.items()), ("all", calls)]:
        inside = [edges[call] for call in found if call in edges]
        direct = inside.count("direct")
        lines.append(
            f"| {name} | {sum(found.values()):,} | {len(found):,} | {len(inside):,} | {direct:,} "
            f"| {len(inside) - direct:,} | {_percent(len(inside), len(found))} |"
        )
    lines += ["", "Missed:" if missed else "None was missed.", ""]
    for (caller, callee), count in sorted(missed.items(), key=lambda item: -item[1]):
        where = ", ".join(name for name, found in runs.items() if (caller, callee) in found.calls)
        lines.append(
            f"- `{caller[0]}` ({caller[1]}) to `{callee[0]}` ({callee[1]}): {count:,} calls, with {where}; "
            f"{cause(index, (caller, callee))}"
        )
    return "\n".join(lines).rstrip() + "\n"


def _sum(found: Iterable[dict[Call, int]]) -> dict[Call, int]:
    calls: Counter[Call] = Counter()
    for item in found:
        calls.update(item)
    return dict(calls)


def _percent(part: int, whole: int) -> str:
    """Never rounded up to all of them."""
    return "100%" if part == whole else f"{int(10000 * part / whole) / 100:.2f}%"


@contextlib.contextmanager
def first_in_path(binary: Path) -> Iterator[None]:
    """The lab takes the first QEMU of the path. Debian's tree has no firmware in it: take the installed."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        start = Path(folder, binary.name)
        start.write_text(f'#!/bin/sh\nexec {binary} -L /usr/share/qemu -L /usr/share/seabios "$@"\n')
        start.chmod(0o755)
        before = os.environ["PATH"]
        os.environ["PATH"] = f"{folder}:{before}"
        try:
            yield
        finally:
            os.environ["PATH"] = before


def main() -> None:
    parser = argparse.ArgumentParser(description="What is called in a running QEMU, to build/observed.json")
    parser.add_argument("build", type=Path)
    parser.add_argument("--nic", action="append", help="instead of all")
    parser.add_argument("--netdev", action="append", help="instead of all")
    wanted = parser.parse_args()
    binary = wanted.build.resolve() / "qemu-system-x86_64"
    index, _ = ensure_index()
    if not (version := qemu_version(binary)).startswith(index.meta["qemu"]):
        sys.exit(f"recall: {binary} is QEMU {version}, the index is of {index.meta['qemu']}: build that tree")
    runs: dict[str, Seen] = {}
    with open_observer(binary, Code.of(binary, index)) as observer, first_in_path(binary):
        print(f"{observer.probed} functions probed", file=sys.stderr)
        for nic in wanted.nic or NICS:
            for netdev in wanted.netdev or NETDEVS:
                found = runs[f"{nic} on {netdev}"] = run(observer, nic, netdev)
                print(f"{nic} on {netdev}: {len(found.calls)} pairs", file=sys.stderr)
                Observed(version, observer.probed, runs).save()  # each takes a minute: lose none
        print(f"written: {OBSERVED}", file=sys.stderr)


if __name__ == "__main__":
    main()
