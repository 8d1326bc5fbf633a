"""CPU samples: as many as the kernel's own account of CPU time says, and each in the right function."""

from __future__ import annotations

import math
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from frames import frames_to_host

from qtrace.binary.symbols.names import FunctionNames
from qtrace.campaign.brief import make_brief
from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.link.connection import Network, open_network
from qtrace.measure.attacher import Attacher
from qtrace.measure.instruments.cpu_functions import UNKNOWN, CpuFunctions
from qtrace.measure.qemu_process import QemuProcess
from qtrace.model import Cell
from qtrace.store.index import Index

pytestmark = pytest.mark.needs("root", "bcc", "tun", "qemu-system-x86_64")

HERTZ = 499
CELL = Cell("virtio-net-pci", "tap", "qemu", None, "rr")


@pytest.fixture(scope="module")
def network(index: Index) -> Iterator[Network]:
    with open_network(CELL.nic, CELL.netdev, "qemu", choose_accelerator()) as network:
        yield network


def stolen() -> float:
    """Seconds of its processors that this machine did not have (proc(5): steal of /proc/stat, in ticks)."""
    return int(Path("/proc/stat").read_text().split(maxsplit=9)[8]) / os.sysconf("SC_CLK_TCK")


def test_samples_are_the_cpu_time_that_the_kernel_has_counted(
    network: Network, attacher: Attacher, index: Index
) -> None:
    paths = make_brief([CELL], {"": index}, "", ()).paths_of(CELL)
    pid = network.guest.pid
    with attacher.attach(pid, paths) as session:
        cpu = session.add(CpuFunctions(QemuProcess(pid, index=index), HERTZ))
        for _ in range(2):  # a window forgets the one before
            before = stolen()
            session.start()
            frames_to_host(network, 3000)
            session.stop()
        without = stolen() - before
        threads = session.read().threads
        samples = cpu.samples()
    seconds = sum(used.seconds for used in threads.values())
    taken = sum(samples.values())
    # 6.2 standard deviations of a count by chance: one in 10^9. While the host of this machine runs another,
    # its clock takes no samples, and its kernel counts that time to whoever would run.
    chance = 6.2 * math.sqrt(seconds * HERTZ) + len(threads)
    assert -chance - without * HERTZ <= taken - seconds * HERTZ <= chance
    assert not {place.thread for place in samples} - threads.keys()

    names = {tid: used.name for tid, used in threads.items()}
    rows = cpu.rows(samples, names)
    assert sum(row["samples"] for row in rows) == taken and all(row["hertz"] == HERTZ for row in rows)
    found = Counter(row["function"] for row in rows)
    assert found["[kernel]"]
    if choose_accelerator().startswith("tcg"):
        busiest = max(rows, key=lambda row: row["samples"] if row["function"] == "[guest code]" else 0)
        assert "TCG" in busiest["thread"]
    # Functions of QEMU's own have names; what has none is said to be in some file.
    inside = [row for row in rows if not row["function"].startswith((UNKNOWN, "["))]
    assert inside, found
    outside = [row for row in rows if row["function"].startswith(UNKNOWN)]
    assert all(row["file"] for row in outside)
    # Where no name is known the file is, for all but one in fifty of those in QEMU itself; which of them are
    # met in a few hundred samples is chance.
    own = [row for row in outside if "/" in row["file"] or row["file"].startswith("qemu-system")]
    nowhere = sum(row["samples"] for row in own if "/" not in row["file"])
    assert nowhere <= 0.02 * taken + 6.2 * math.sqrt(0.02 * taken)


def test_what_is_in_no_window_is_not_sampled(network: Network, attacher: Attacher, index: Index) -> None:
    paths = make_brief([CELL], {"": index}, "", ()).paths_of(CELL)
    with attacher.attach(network.guest.pid, paths) as session:
        cpu = session.add(CpuFunctions(QemuProcess(network.guest.pid, index=index), HERTZ))
        frames_to_host(network, 3000)
        assert not cpu.samples()


@pytest.mark.needs("readelf")
def test_a_place_in_a_function_has_its_name() -> None:
    """Against readelf's account of a stripped library: every exported function, at its first, a middle and
    its last byte."""
    library = next(Path("/usr/lib/x86_64-linux-gnu").glob("libglib-2.0.so.0"))
    said = subprocess.run(
        ["readelf", "--dyn-syms", "-W", str(library)], capture_output=True, text=True, check=True
    ).stdout
    places: dict[int, set[str]] = {}
    sizes: dict[int, int] = {}
    for line in said.splitlines():
        field = line.split()
        if len(field) == 8 and field[3] == "FUNC" and field[6].isdigit():
            places.setdefault(int(field[1], 16), set()).add(field[7].split("@")[0])
            sizes[int(field[1], 16)] = int(field[2])
    names = FunctionNames(library)  # code stands at the same place in the file as in memory
    assert len(places) > 1000
    for address, known in places.items():
        for at in {address, address + sizes[address] // 2, address + sizes[address] - 1}:
            assert names.at(at)[0] in known, hex(at)
    assert names.at(0) == ("", "")
