"""What happens to a QEMU that is traced: it ends, is killed, stopped, migrated; NICs come and go."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from frames import all_passed, frames_to_host, turn
from places import Places
from qemu.qmp.legacy import QEMUMonitorProtocol
from tracer import COUNTING, record, start
from trial import Bench, Report, trial

from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.guest.agent import Agent
from qtrace.lab.guest.guest import QEMU_UID, Guest, GuestSpec, start_guest
from qtrace.lab.guest.guest_image import ensure_image
from qtrace.lab.guest.kernel import ensure_kernel
from qtrace.lab.host.netns import open_namespace
from qtrace.lab.host.owned import private_dir
from qtrace.lab.link.connection import Network, open_network
from qtrace.lab.link.link import MAC, open_link
from qtrace.store.run import RunReader

__all__ = ["frames", "run_folder", "traced"]

_GROUP = "QEMU"
FRAMES = 1009


@contextlib.contextmanager
def run_folder() -> Iterator[Path]:
    """A path for a run, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="qtrace-trial-") as name:
        yield Path(name, "run")


def frames(rows: list[dict[str, Any]], direction: str, stage: str) -> int:
    """What one stage of a run's `stages` has counted."""
    (row,) = (row for row in rows if (row["direction"], row["stage"]) == (direction, stage))
    assert row["attached"], row
    return int(row["frames"])


@contextlib.contextmanager
def traced(bench: Bench, network: Network) -> Iterator[Any]:
    """A session with the bench's engine: quicker than a process of its own."""
    with bench.attacher.attach(network.guest.pid, bench.paths(network)) as session:
        yield session


def wait_for(what: str, ready: Callable[[], bool], deadline: float = 120.0) -> None:
    """Until `ready`, looked at again and again."""
    until = time.monotonic() + deadline
    while not ready():
        assert time.monotonic() < until, f"not in {deadline:.0f} s: {what}"
        time.sleep(0.02)


def _ends(report: Report, end: Callable[[Network], None]) -> None:
    """`record` while QEMU ends: the window closes at once, what was counted is in the run."""
    with open_network("virtio-net-pci", "tap", "qemu", choose_accelerator()) as network, run_folder() as run:
        with start(report, record(network.guest.pid, run)) as tracer:
            tracer.until(COUNTING)
            assert frames_to_host(network, FRAMES) == FRAMES
            all_passed(network)
            end(network)
            began = time.monotonic()
            answer = tracer.answer()
            took = time.monotonic() - began
        assert "has ended" in tracer.said
        counted = frames(answer["stages"], "tx", "deliver")
        assert counted == FRAMES
        (row,) = (row for row in answer["ledger"] if row["kind"] == "ended")
        reader = RunReader.open(run)
        assert reader.meta["status"] == "complete" and not reader.damaged
        report.saw(
            f"{FRAMES} frames sent before, {counted} counted; exit status 0 within {took:.1f} s; "
            f"the ledger says '{row['kind']}: {row['item']}: {row['note']}'"
        )


@trial(_GROUP, "exits inside the window (`quit` by QMP)", quick=False)
def exits(bench: Bench, report: Report) -> None:
    def quit_it(network: Network) -> None:
        with contextlib.suppress(Exception):  # it may hang up before it answers
            network.guest.qmp("quit")

    _ends(report, quit_it)


@trial(_GROUP, "is killed inside the window (SIGKILL)")
def killed(bench: Bench, report: Report) -> None:
    _ends(report, lambda network: os.kill(network.guest.pid, signal.SIGKILL))


@trial(_GROUP, "is stopped inside the window (SIGSTOP) and continued", quick=False)
def stopped(bench: Bench, report: Report) -> None:
    network = bench.network
    with run_folder() as run, start(report, record(network.guest.pid, run)) as tracer:
        tracer.until(COUNTING)
        assert frames_to_host(network, FRAMES) == FRAMES
        os.kill(network.guest.pid, signal.SIGSTOP)
        wait_for("it is stopped", lambda: _state(network.guest.pid) == "T")
        assert tracer.process.poll() is None
        os.kill(network.guest.pid, signal.SIGCONT)
        assert frames_to_host(network, FRAMES) == FRAMES
        all_passed(network)
        tracer.send(signal.SIGINT)
        answer = tracer.answer()
    counted = frames(answer["stages"], "tx", "deliver")
    assert counted == 2 * FRAMES and network.guest.sh("echo alive").strip() == "alive"
    report.saw(f"{FRAMES} frames before and {FRAMES} after: {counted} counted; the guest answers")


@trial(_GROUP, "is stopped (SIGSTOP) while the tracer attaches, ends and detaches", quick=False)
def attached_while_stopped(bench: Bench, report: Report) -> None:
    network = bench.network
    places = Places.of(network.guest.pid)
    os.kill(network.guest.pid, signal.SIGSTOP)
    try:
        with run_folder() as run:
            words = ["record", str(network.guest.pid), "-o", str(run), "--duration", "0.5"]
            with start(report, words) as tracer:
                tracer.until(COUNTING)
                there = places.breakpoints()
                status, _ = tracer.end()
        assert status == 0 and there == len(places.spots) and not places.breakpoints()
    finally:
        os.kill(network.guest.pid, signal.SIGCONT)
    assert frames_to_host(network, 10) == 10
    report.saw(
        f"{there} breakpoints set in a stopped process and taken out again; continued, the guest answers"
    )


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@trial(_GROUP, "migrates away while it is traced")
def migrates(bench: Bench, report: Report) -> None:
    kernel = ensure_kernel()
    image = ensure_image(kernel)
    accelerator = choose_accelerator()
    with contextlib.ExitStack() as stack:
        shared = stack.enter_context(private_dir(QEMU_UID))
        ends = []
        for more in ((), ("-incoming", "defer")):
            space = stack.enter_context(open_namespace())
            link = stack.enter_context(open_link(space, "user"))
            spec = GuestSpec("virtio-net-pci", link.option, MAC, kernel.image, image, accelerator, more=more)
            ends.append((space, link, stack.enter_context(start_guest(spec, space))))
        (space, link, source), (_, _, target) = ends
        network = Network("virtio-net-pci", "user", "qemu", source, space, link)
        network.wait_until_up()
        wait_for("the second QEMU's monitor", target.has_monitor)
        monitor = QEMUMonitorProtocol(str(_home(target) / "qmp"))
        monitor.connect()
        stack.callback(monitor.close)
        agent = Agent(
            _home(target) / "agent", target.epitaph, "m"
        )  # before: a guest whose host hangs up ends
        stack.callback(agent.close)
        with traced(bench, network) as session:
            session.start()
            assert frames_to_host(network, FRAMES) == FRAMES
            all_passed(network)
            uri = f"unix:{shared}/migration"
            report.commands.append(f"QMP: migrate {{'uri': '{uri}'}}, to a second QEMU with -incoming")
            monitor.cmd("migrate-incoming", uri=uri)
            source.qmp("migrate", uri=uri)
            wait_for("migrated", lambda: _migration(source) in ("completed", "failed"), 300)
            assert _migration(source) == "completed"
            wait_for("it runs there", lambda: monitor.cmd("query-status")["status"] == "running")
            session.stop()
            rows = session.read().tables()["stages"]
        counted = frames(rows, "tx", "send")
        assert counted == FRAMES
        status, said = agent.run("echo alive", 30)
        assert (status, said.strip()) == (0, "alive")
        state = source.qmp("query-status")
        assert isinstance(state, dict) and state["status"] == "postmigrate"
        places = Places.of(source.pid)
        assert not places.breakpoints() and not places.of_other(target.pid).breakpoints()
        report.saw(
            f"{FRAMES} frames before it: {counted} counted; the source stays, {state['status']}; "
            "at the target the guest answers, and neither QEMU has a breakpoint"
        )


def _home(guest: Guest) -> Path:
    (word,) = (word for word in guest.argv if word.startswith("unix:") and "/qmp" in word)
    return Path(word.removeprefix("unix:").partition(",")[0]).parent


def _migration(guest: Guest) -> str:
    said = guest.qmp("query-migrate")
    assert isinstance(said, dict)
    return str(said.get("status", ""))


_OTHERS = 503
_OTHER_CARD = (
    "ip addr add 10.0.2.15/24 dev eth1; ip link set eth1 up; "
    "for n in $(seq 200); do [ $(cat /sys/class/net/eth1/carrier) = 1 ] && break; usleep 50000; done; "
    "echo rem_device_all >/proc/net/pktgen/kpktgend_0; echo add_device eth1 >/proc/net/pktgen/kpktgend_0; "
    f"for line in 'count {_OTHERS}' 'pkt_size 200' 'delay 200000' 'dst 10.0.2.2' "
    "'dst_mac 52:55:0a:00:02:02'; do echo \"$line\" >/proc/net/pktgen/eth1; done; "
    "echo start >/proc/net/pktgen/pgctrl; echo rem_device_all >/proc/net/pktgen/kpktgend_0; "
    "ip link set eth1 down"
)


@trial(_GROUP, "gets a NIC plugged in and out while it is traced")
def hot_plug(bench: Bench, report: Report) -> None:
    network = bench.network
    guest = network.guest
    with traced(bench, network) as session:
        session.start()
        guest.qmp("netdev_add", type="user", id="net1")
        guest.qmp("device_add", driver="virtio-net-pci", id="nic1", netdev="net1", romfile="")
        report.commands.append(
            "QMP: netdev_add user, device_add virtio-net-pci; later device_del, netdev_del"
        )
        wait_for("the guest has eth1", lambda: guest.try_sh("test -e /sys/class/net/eth1")[0] == 0)
        session.refresh()  # as record does it every second
        assert frames_to_host(network, FRAMES) == FRAMES
        guest.sh(_OTHER_CARD, timeout=300)
        turn(network)  # QEMU takes what is still in the ring
        guest.qmp("device_del", id="nic1")
        wait_for("eth1 is gone", lambda: guest.try_sh("test -e /sys/class/net/eth1")[0] != 0)
        wait_for("nic1 is gone", lambda: "nic1" not in _devices(guest))
        guest.qmp("netdev_del", id="net1")
        session.stop()
        tables = session.read().tables()
    taken = {
        row["netdev_id"]: row["frames"]
        for row in tables["queues"]
        if (row["direction"], row["stage"]) == ("tx", "dequeue")
    }
    assert taken["net0"] == FRAMES and taken["net1"] >= _OTHERS
    (row,) = (row for row in tables["ledger"] if row["kind"] == "plugged in")
    assert "net1" in row["item"]
    assert not [row for row in tables["ledger"] if row["kind"] in ("lost", "missed")]
    report.saw(
        f"in between the traced NIC sent {FRAMES} frames and the new one {_OTHERS}: counted apart, "
        f"{taken['net0']} and {taken['net1']}, the latter with what its driver said by itself; nothing lost; "
        f"the ledger says '{row['kind']}: {row['item']}'"
    )


def _devices(guest: Guest) -> set[str]:
    listed = guest.qmp("qom-list", path="/machine/peripheral")
    assert isinstance(listed, list)
    return {item["name"] for item in listed}
