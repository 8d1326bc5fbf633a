"""What happens to the tracer: it is killed, interrupted, doubled, flooded; its disk is full."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

from frames import all_passed, frames_to_guest, frames_to_host
from of_qemu import FRAMES, frames, run_folder, traced, wait_for
from places import Places, program_exists
from tracer import COUNTING, record, start
from trial import Bench, Report, trial

from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.link.connection import Network, open_network
from qtrace.store.run import RunReader

_GROUP = "the tracer"
_SLACK = 4096  # KiB: what Python's allocator may take and keep between two looks


@trial(_GROUP, "is killed (SIGKILL) while it counts: nothing stays attached")
def killed(bench: Bench, report: Report) -> None:
    network = bench.network
    places = Places.of(network.guest.pid)
    before = places.bytes()
    with (
        open_network("virtio-net-pci", "user", "qemu", choose_accelerator()) as bystander,
        run_folder() as run,
    ):
        words = ["record", str(network.guest.pid), "-o", str(run), "--duration", "300"]
        with start(report, words) as tracer:
            tracer.until(COUNTING)
            there, programs, held = places.breakpoints(), tracer.programs(), tracer.attachments()
            elsewhere = places.of_other(bystander.guest.pid).breakpoints()
            assert there == len(places.spots) and held >= there and programs
            assert all(program_exists(number) for number in programs)
            assert elsewhere == 0
            tracer.send(signal.SIGKILL)
            tracer.end()
        # The kernel frees programs and events a moment after the process has gone (RCU).
        wait_for("the programs are gone", lambda: not any(program_exists(number) for number in programs))
        wait_for("the breakpoints are gone", lambda: places.bytes() == before)
        assert frames_to_host(network, 10) == 10
    report.saw(
        f"at {there} of {len(places.spots)} probed instructions a breakpoint (0xcc in /proc/PID/mem), "
        f"{held} BPF links or perf events and {len(programs)} BPF programs held by it (/proc/TRACER/fd, "
        f"fdinfo); {elsewhere} "
        "breakpoints in a second QEMU of the same binary; after SIGKILL 0 breakpoints, "
        "every byte as before, none of the programs' ids known to the kernel; the guest sends and answers"
    )


_MOMENTS = {
    "compiles": "compiling the eBPF programs",
    "attaches": "eBPF programs compiled",
    "counts": COUNTING,
}


def _interrupt(bench: Bench, report: Report, moment: str, again: float | None = None) -> None:
    network = bench.network
    places = Places.of(network.guest.pid)
    before = places.bytes()
    with run_folder() as run:
        words = ["record", str(network.guest.pid), "-o", str(run), "--duration", "300"]
        with start(report, words) as tracer:
            tracer.until(_MOMENTS[moment])
            tracer.send(signal.SIGINT)
            if again is not None:
                threading.Event().wait(again)
                tracer.send(signal.SIGINT)
            status, _ = tracer.end()
        state = RunReader.open(run).meta["status"] if run.exists() else "none"
    wait_for("the breakpoints are gone", lambda: places.bytes() == before)
    # -2: the second came when Python itself was ending.
    assert status in (0, 130, -signal.SIGINT) and state in ("complete", "interrupted", "none"), (
        status,
        state,
    )
    assert network.guest.sh("echo alive").strip() == "alive"
    report.saw(f"exit status {status}, run: {state}, 0 breakpoints left, the guest answers")


@trial(_GROUP, "is interrupted (Ctrl-C) while it compiles")
def interrupted_compiling(bench: Bench, report: Report) -> None:
    _interrupt(bench, report, "compiles")


@trial(_GROUP, "is interrupted (Ctrl-C) while it attaches", quick=False)
def interrupted_attaching(bench: Bench, report: Report) -> None:
    _interrupt(bench, report, "attaches")


@trial(_GROUP, "is interrupted (Ctrl-C) while it counts, and again while it detaches")
def interrupted_twice(bench: Bench, report: Report) -> None:
    for again in (0.05, 0.3, 0.6) if bench.full else (0.3,):
        _interrupt(bench, report, "counts", again)


@trial(_GROUP, "is not alone: two of them on one guest")
def two(bench: Bench, report: Report) -> None:
    network = bench.network
    places = Places.of(network.guest.pid)
    with (
        run_folder() as one,
        run_folder() as other,
        start(report, record(network.guest.pid, one)) as first,
        start(report, record(network.guest.pid, other)) as second,
    ):
        first.until(COUNTING)
        second.until(COUNTING)
        assert frames_to_host(network, FRAMES) == FRAMES
        all_passed(network)
        first.send(signal.SIGINT)
        answers = [first.answer()]
        left = places.breakpoints()
        assert left == len(places.spots)  # the second's are not taken out with the first's
        assert frames_to_host(network, FRAMES) == FRAMES
        all_passed(network)
        second.send(signal.SIGINT)
        answers.append(second.answer())
    counted = [frames(answer["stages"], "tx", "deliver") for answer in answers]
    assert counted == [FRAMES, 2 * FRAMES] and not places.breakpoints()
    report.saw(
        f"{FRAMES} frames seen by both, {FRAMES} more after one had ended: {counted[0]} and {counted[1]} "
        "counted; 0 breakpoints left"
    )


@trial(_GROUP, "writes to a disk that is full")
def disk_full(bench: Bench, report: Report) -> None:
    network = bench.network
    # A small disk in a mount namespace of the tracer's own: what is on it in the end is shown by the shell.
    script = (
        'mount -t tmpfs -o size=2m none "$1" && shift && "$@"; status=$?; cat "$0/run/run.json"; exit $status'
    )
    with run_folder() as run:
        run.mkdir()
        record = ["record", str(network.guest.pid), "-o", f"{run}/run", "--duration", "300"]
        with start(
            report, record, before=["unshare", "--mount", "sh", "-c", script, str(run), str(run)]
        ) as tracer:
            tracer.until(COUNTING)
            filler = Path(f"/proc/{tracer.pid}/root{run}/filler")
            with filler.open("wb", buffering=0) as out:
                try:
                    while True:
                        out.write(bytes(512))
                except OSError as exc:
                    full = exc.strerror
            assert frames_to_host(network, 10) == 10
            (child,) = Path(f"/proc/{tracer.pid}/task/{tracer.pid}/children").read_text().split()
            os.kill(int(child), signal.SIGINT)
            status, out_text = tracer.end()
    last = [line for line in tracer.said.splitlines() if line.startswith("qtrace: ")][-1]
    state = json.loads(out_text)["status"]
    assert status == 1 and state == "interrupted" and "No space left on device" in last
    report.saw(f"{full}: exit status {status}, '{last}'; run.json says '{state}'")


def _flood(network: Network, stop: threading.Event, seconds: float) -> None:
    """60-byte frames as fast as the guest can, until told to stop or the time is up."""
    setting = (
        "echo rem_device_all >/proc/net/pktgen/kpktgend_0; "
        "echo add_device eth0 >/proc/net/pktgen/kpktgend_0; "
        f"for line in 'count 0' 'pkt_size 60' 'delay 0' 'dst {network.link.host_addr}' "
        f"'dst_mac {network.link.host_mac}' 'udp_dst_min 9' 'udp_dst_max 9'; do "
        'echo "$line" >/proc/net/pktgen/eth0; done; '
        f"(sleep {seconds:.0f}; echo stop >/proc/net/pktgen/pgctrl) & "
        "echo start >/proc/net/pktgen/pgctrl; wait"
    )
    network.guest.sh(setting, seconds + 60)
    stop.set()


@trial(_GROUP, "counts a guest that floods at full speed")
def flood(bench: Bench, report: Report) -> None:
    network, seconds = bench.network, 600.0 if bench.full else 10.0
    done = threading.Event()
    with run_folder() as run, start(report, record(network.guest.pid, run, 3000)) as tracer:
        tracer.until(COUNTING)
        thread = threading.Thread(target=_flood, args=(network, done, seconds))
        sizes, began = [], time.monotonic()
        thread.start()
        while not done.wait(max(0.5, seconds / 60)):
            sizes.append(tracer.rss())
        thread.join()
        took = time.monotonic() - began
        all_passed(network)
        tracer.send(signal.SIGINT)
        answer = tracer.answer()
    (device,) = answer["devices"]
    counted = frames(answer["stages"], "tx", "deliver")
    lost = sum(row["count"] for row in answer["ledger"] if row["kind"] in ("lost", "missed"))
    half = len(sizes) // 2
    growth = max(sizes[half:]) - max(sizes[: max(1, half)])
    assert sizes and growth < _SLACK, sizes
    assert counted == device["rx_packets"] and counted > 1000 * seconds / 10
    assert network.guest.sh("echo alive").strip() == "alive"
    report.saw(
        f"{took:.0f} s, {counted:,} frames counted, {device['rx_packets']:,} by the tap itself, "
        f"{lost} lost or missed; resident memory of the tracer {min(sizes) / 1024:.1f} to "
        f"{max(sizes) / 1024:.1f} MiB in {len(sizes)} looks, {growth:+d} KiB from one half to the next"
    )
    with traced(bench, network) as session:
        session.start()
        assert frames_to_guest(network, 100) == 100


__all__: list[str] = []
