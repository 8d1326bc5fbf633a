"""Recall on what really ran: calls observed in a QEMU with symbols against the edges of the index.

    python tests/accuracy/recall.py BUILD      BUILD: a folder in which that very tree was built

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
from collections.abc import Iterator
from pathlib import Path

from observe import Code, Observer, open_observer
from observed import OBSERVED, Call, Observed

from qtrace.bench.conditions import qemu_version
from qtrace.lab.network import open_network
from qtrace.lab.workload import rr, tcp
from qtrace.lab.workload.server import serve
from qtrace.model import Direction
from qtrace.source.build import ensure_index
from qtrace.store.index import Index

NICS = ("virtio-net-pci", "e1000", "rtl8139")
NETDEVS = ("user", "tap")
SECONDS = 2


def run(observer: Observer, nic: str, netdev: str) -> dict[Call, int]:
    """The calls of one guest from its start: devices, boot, traffic both ways and round trips."""
    observer.clear()
    with (
        open_network(nic, netdev, "qemu", "tcg") as network,
        serve(network.space, tcp.SERVER, tcp.PORT),
        serve(network.space, rr.SERVER, rr.PORT),
    ):
        for way in Direction:
            tcp.tcp(network, way, SECONDS)
        rr.rr(network, SECONDS)
        return observer.calls(network.guest.pid)


def indexed(index: Index) -> dict[Call, str]:
    """(caller, callee) -> kind of every edge between functions of the tree."""
    functions = {number: (row.name, row.file) for number, row in index.functions().items() if row.file}
    return {
        (functions[number], functions[edge.callee]): edge.kind
        for number in functions
        for edge in index.callees(number)
        if edge.callee in functions
    }


def section(index: Index, observed: Observed) -> str:
    """The table of docs/accuracy.md."""
    runs, probed = observed.runs, observed.probed
    edges = indexed(index)
    calls = observed.calls()
    missed = {call: count for call, count in calls.items() if call not in edges}
    lines = [
        "## Recall on what really ran",
        "",
        f"QEMU {observed.qemu}, built from the indexed tree without inlining, clones and sibling "
        f"calls, under TCG; {probed:,} functions of indexed C files probed at their entry, each hit noted "
        "with its return address. An observed call is a pair (caller, callee) of indexed functions, from the "
        f"guest's start to the end of TCP both ways and round trips, {SECONDS} s each.",
        "",
        "| NIC on netdev | calls observed | pairs | in the index | recall |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, found in [*runs.items(), ("all", dict(calls))]:
        inside = sum(call in edges for call in found)
        lines.append(
            f"| {name} | {sum(found.values()):,} | {len(found):,} | {inside:,} | {inside / len(found):.2%} |"
        )
    kinds = Counter(
        "direct" if edges[call] == "direct" else "through a pointer" for call in calls if call in edges
    )
    lines += ["", f"Of the pairs found, {', '.join(f'{count} {kind}' for kind, count in kinds.items())}."]
    lines += ["", "Missed:" if missed else "None was missed.", ""]
    for (caller, callee), count in sorted(missed.items(), key=lambda item: -item[1]):
        lines.append(f"- `{caller[0]}` ({caller[1]}) to `{callee[0]}` ({callee[1]}): {count:,} calls")
    return "\n".join(lines).rstrip() + "\n"


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
    runs: dict[str, dict[Call, int]] = {}
    with open_observer(binary, Code.of(binary, index)) as observer, first_in_path(binary):
        print(f"{observer.probed} functions probed", file=sys.stderr)
        for nic in wanted.nic or NICS:
            for netdev in wanted.netdev or NETDEVS:
                found = runs[f"{nic} on {netdev}"] = run(observer, nic, netdev)
                print(f"{nic} on {netdev}: {len(found)} pairs", file=sys.stderr)
                Observed(version, observer.probed, runs).save()  # each takes a minute: lose none
        print(f"written: {OBSERVED}", file=sys.stderr)


if __name__ == "__main__":
    main()
