"""A second tool beside ours at the same time: bpftrace for counts, QEMU's own trace log for times."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from frames import frames_to_guest, frames_to_host
from of_qemu import FRAMES, traced
from trial import Bench, Report, Untried, trial

from qtrace.analyses.methods.histogram import quantile
from qtrace.binary.file.elf import Elf
from qtrace.lab.guest.accel import choose_accelerator
from qtrace.lab.guest.guest import QEMU_UID
from qtrace.lab.host.owned import private_dir
from qtrace.lab.link.connection import open_network
from qtrace.measure.placement import Placement
from qtrace.trace.qemu.target import Target

_GROUP = "a second tool"
_COUNTED = re.compile(r"^@\[(\d+)\]: (\d+)$", re.MULTILINE)
_TIMEOUT = 300.0
_POP = ("virtqueue_pop", "hw/virtio/virtio.c")
# Other devices of the guest use these too (its serial port, at least): only a tracer that looks at the device
# counts the network card's alone.
_SHARED = ("virtqueue_", "msix_notify", "virtio_queue_host_notifier_read")
_LOGGED = re.compile(
    r"^\d+@(\d+)\.(\d{6}):(virtqueue_pop|virtqueue_fill|virtqueue_flush) vq \S+ (?:elem|count) (\S+) ?(.*)$",
    re.MULTILINE,
)


@contextlib.contextmanager
def _bpftrace(
    report: Report, pid: int, places: Sequence[tuple[str, int]], taken: tuple[str, int]
) -> Iterator[subprocess.Popen[str]]:
    """bpftrace, attached: a count for each (file, offset); then of entry and of return of that at `taken`."""
    lines = ['BEGIN { printf("attached\\n"); }']
    for number, (file, offset) in enumerate(places):
        lines.append(f"uprobe:{file}:{_address(file, offset):#x} {{ @[{number}] = count(); }}")
    # Every call of the one function that we also probe at its return comes to that return.
    entry, leave = len(places), len(places) + 1
    lines.append(f"uprobe:{taken[0]}:{_address(*taken):#x} {{ @[{entry}] = count(); }}")
    lines.append(f"uretprobe:{taken[0]}:{_address(*taken):#x} {{ @[{leave}] = count(); }}")
    words = ["bpftrace", "--unsafe", "-p", str(pid), "-e"]
    report.ran([*words, f"uprobe:FILE:ADDRESS {{ … = count(); }} for {len(places)} functions"])
    process = subprocess.Popen(
        [*words, "\n".join(lines)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout
        said = ""
        for line in process.stdout:
            said += line
            if line == "attached\n":
                break
        else:
            raise AssertionError(f"bpftrace did not attach: {said}")
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def _address(file: str, offset: int) -> int:
    """The virtual address of what stands at a file offset."""
    (part,) = (part for part in Elf(Path(file)).segments if 0 <= offset - part.offset < part.size)
    return offset - part.offset + part.address


@trial(_GROUP, "counts the same: bpftrace on the same functions, at the same time")
def bpftrace(bench: Bench, report: Report) -> None:
    if not shutil.which("bpftrace"):
        raise Untried("bpftrace is not installed (apt-get install bpftrace)")
    network = bench.network
    with traced(bench, network) as session:
        # bpftrace takes functions at their first byte alone; ours may be at a cheaper instruction behind it.
        where = Placement(bench.index, Target(network.guest.pid).libraries())
        names: dict[tuple[str, int], str] = {}
        for path in bench.paths(network):
            for step in path.stages:
                found = where.locate(step.function, step.file)
                if found and not step.function.startswith(_SHARED):
                    names[str(found[0]), found[1].offset] = step.function
        places = sorted(names)
        found = where.locate(*_POP)
        assert found
        taken = str(found[0]), found[1].offset
        with _bpftrace(report, network.guest.pid, places, taken) as process:
            session.start()
            assert frames_to_host(network, FRAMES) == FRAMES
            assert frames_to_guest(network, FRAMES) == FRAMES
            network.settle()
            session.stop()
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=_TIMEOUT)
        rows = session.read().tables()["stages"]
    counted = {int(number): int(count) for number, count in _COUNTED.findall(said)}
    left, came = counted.pop(len(places) + 1), counted.pop(len(places))
    assert came == left >= 2 * FRAMES
    theirs = {names[places[number]]: count for number, count in counted.items()}
    ours = {name: sum(row["calls"] for row in rows if row["function"] == name) for name in theirs}
    assert len(theirs) == len(places) >= 4 and ours == theirs
    compared = ", ".join(f"{name} {count}" for name, count in sorted(ours.items()))
    report.saw(f"{FRAMES} frames each way, and what answered them; both tools: {compared}")
    report.saw(f"virtqueue_pop, of all devices: {came} calls and {left} returns")


# What would leave a function other than by its return, which a return probe does not bear.
_LEAVES = ("longjmp", "cpu_loop_exit", "coroutine", "swapcontext", "pthread_exit")


@trial(_GROUP, "is the source: virtqueue_pop is left by its return alone, so its return can be probed")
def left_by_return(bench: Bench, report: Report) -> None:
    index = bench.index
    (start,) = index.function("virtqueue_pop")
    seen, todo = {start.id}, [start.id]
    while todo:
        for edge in index.callees(todo.pop()):  # through pointers too, as far as they are resolved
            if edge.callee not in seen:
                seen.add(edge.callee)
                todo.append(edge.callee)
    names = {index.function_by_id(number).name for number in seen}
    beyond = {index.function_by_id(number).name for number in seen if not index.function_by_id(number).file}
    assert "virtqueue_split_pop" in names
    assert not [name for name in names if any(word in name for word in _LEAVES)]
    report.commands.append("qtrace walk --from virtqueue_pop --to FUNCTION")
    report.saw(
        f"{len(names)} functions can be reached from it, none of them switches coroutines or jumps out; "
        f"{len(beyond)} of them have their bodies outside the index (the C library, GLib, QEMU's memory "
        "core). It is the only function whose return is probed"
    )


def _logged_times(text: str) -> tuple[list[float], float]:
    """From QEMU's log, in µs: of each frame from the guest the time from pop to fill; and what it takes to
    write a line, the median from fill to the flush that follows it at once."""
    taken: dict[str, float] = {}
    logged, lines = [], []
    filled = None
    for seconds, micro, event, element, rest in _LOGGED.findall(text):
        moment = int(seconds) * 1e6 + int(micro)
        if event == "virtqueue_flush" and filled is not None:
            lines.append(moment - filled)
        filled = moment if event == "virtqueue_fill" else None
        if event == "virtqueue_fill" and element in taken:
            logged.append(moment - taken.pop(element))
        elif event == "virtqueue_pop" and "in_num 0 " in rest:  # a frame; with both it is a command
            taken[element] = moment
    return logged, statistics.median(lines)


@trial(_GROUP, "times the same: QEMU's own trace log, of the same frames")
def trace_log(bench: Bench, report: Report) -> None:
    with private_dir(QEMU_UID) as home:
        log = home / "trace.log"
        more = ["-msg", "timestamp=on", "-D", str(log)]
        events = ("virtqueue_pop", "virtqueue_fill", "virtqueue_flush")
        more += [word for event in events for word in ("-trace", event)]
        report.ran(["qemu-system-x86_64", "…", *more])
        accelerator = choose_accelerator()
        with (
            open_network("virtio-net-pci", "tap", "qemu", accelerator, more=tuple(more)) as network,
            traced(bench, network) as session,
        ):
            begun = log.stat().st_size
            session.start()
            assert frames_to_host(network, FRAMES) == FRAMES
            network.settle()
            session.stop()
            tables = session.read().tables()
            with log.open() as lines:
                lines.seek(begun)
                text = lines.read()
    if "virtqueue_pop" not in text:
        raise Untried("this QEMU was built without the trace back end 'log'")
    logged, line = _logged_times(text)
    slots: dict[int, int] = {}
    for row in tables["frame_times"]:
        if (row["direction"], row["from_stage"], row["to_stage"]) == ("tx", "dequeue", "complete"):
            slots[row["bucket"]] = slots.get(row["bucket"], 0) + row["count"]
    assert len(logged) >= FRAMES and sum(slots.values()) == FRAMES, (len(logged), slots)
    ours, theirs = quantile(slots, 0.5), statistics.median(logged)
    assert ours
    # Ours is a histogram whose buckets are octaves; theirs has the writing of one line in it, ours has not.
    assert (theirs - line) / 2 <= ours.value / 1000 <= theirs * 2, (ours, theirs, line)
    report.saw(
        f"from virtqueue_pop to virtqueue_push, median of {FRAMES} frames: {ours.value / 1000:.1f} µs "
        f"(between {ours.low / 1000:.1f} and {ours.high / 1000:.1f}), by QEMU's log {theirs:.0f} µs, "
        f"of which it takes {line:.0f} µs to write a line; they may differ by an octave, a bucket of our "
        "histogram"
    )
