"""Failed system calls by errno: a known number of failures is counted, each by its name."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest
from frames import all_passed, frames_to_host

from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.link.connection import open_network
from qtrace.measure.attacher import attach
from qtrace.measure.instrument_registry import open_full_engine
from qtrace.measure.instruments.errnos import Errnos, lines
from qtrace.measure.measured_nic import paths_of
from qtrace.measure.qemu_process import QemuProcess
from qtrace.store.index import Index
from qtrace.trace.qemu.layout import FIELDS
from qtrace.trace.qemu.target import Target

pytestmark = pytest.mark.needs("root", "bcc", "tun", "qemu-system-x86_64")

# For each line that it reads: so many writes to no descriptor, and so many files opened where none is left.
CHILD = """
import contextlib, os, resource, sys
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
print(flush=True)
for line in sys.stdin:
    writes, opens = map(int, line.split())
    for _ in range(writes):
        with contextlib.suppress(OSError):
            os.write(99, b"x")
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    for _ in range(opens):
        with contextlib.suppress(OSError):
            os.open("/dev/null", os.O_RDONLY)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    print(flush=True)
"""


def test_each_failure_of_a_process_is_counted_by_its_errno() -> None:
    pipe = subprocess.PIPE
    with (
        subprocess.Popen([sys.executable, "-c", CHILD], stdin=pipe, stdout=pipe, text=True) as child,
        open_full_engine() as engine,
    ):
        assert child.stdin and child.stdout and child.stdout.readline()
        layout = dict.fromkeys(FIELDS.values(), 0)
        with engine.attach(Target(child.pid), [], layout) as session:
            errnos = session.add(Errnos())
            for writes, opens in ((1009, 307), (3, 0)):  # a window forgets the one before
                session.start()
                print(writes, opens, file=child.stdin, flush=True)
                assert child.stdout.readline()
                session.stop()
                rows = errnos.tables(session.read(), {0})["errnos"]
                counts = Counter({(row["name"], row["fd"], row["errno"]): row["count"] for row in rows})
                assert counts["write", "other", "EBADF"] == writes
                assert counts["openat", "", "EMFILE"] == opens
                assert {row["tid"] for row in rows} == {child.pid}
        child.stdin.close()


def test_frames_that_the_host_refuses(index: Index) -> None:
    """A tap that is down takes no frame: each write is an EIO, of QEMU's at the host stage."""
    frames = 307
    with open_network("virtio-net-pci", "tap", "qemu", choose_accelerator()) as network:
        process = QemuProcess(network.guest.pid, index=index)
        paths = paths_of(process.measured())
        with open_full_engine() as engine, attach(engine, process, paths) as session:
            errnos = session.add(Errnos())
            session.start()
            network.space.ip("link", "set", str(network.link.tap), "down")
            try:
                assert frames_to_host(network, frames) == frames
                all_passed(network)
            finally:
                network.space.ip("link", "set", str(network.link.tap), "up")
            session.stop()
            snapshot = session.read()
            tables = errnos.tables(snapshot, [owner.number for owner in snapshot.owners])
    rows = [row for row in tables["errnos"] if row["name"] == "writev"]
    assert [(row["fd"], row["errno"], row["count"]) for row in rows] == [("tap", "EIO", frames)]
    assert rows[0]["thread"]
    failed = {key[2:]: count for key, count in snapshot.errors.items() if count}
    assert failed["writev", "tap"] == frames
    assert list(lines({"errnos": rows})) == [f"system calls that failed: writev (tap) EIO {frames} times"]
