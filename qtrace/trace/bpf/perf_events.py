"""Programs on perf events: probes on kernels without links for them, and clock ticks."""

from __future__ import annotations

from pathlib import Path

from qtrace.trace.bpf.kernel_calls import on_perf_event

__all__ = ["open_clock", "open_kprobe", "open_uprobe"]

_DEVICES = Path("/sys/bus/event_source/devices")
_SOFTWARE, _CPU_CLOCK = 1, 0  # PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK


def open_kprobe(program: int, function: str, at_return: bool = False) -> int:
    """Run `program` at a kernel function's entry or return, for all callers, until the descriptor is closed.
    Raises OSError."""
    return on_perf_event(program, _kind("kprobe"), int(at_return), name=function.encode(), cpu=0)


def open_uprobe(program: int, binary: Path, offset: int, pid: int, at_return: bool = False) -> int:
    """Run `program` at the byte `offset` of the file `binary` in process `pid`. Raises OSError."""
    kind, path = _kind("uprobe"), bytes(binary)
    return on_perf_event(program, kind, int(at_return), name=path, offset=offset, pid=pid)


def open_clock(program: int, hertz: int, cpu: int) -> int:
    """Run `program` `hertz` times per second of the processor's time, whatever it executes. Raises
    OSError."""
    return on_perf_event(program, _SOFTWARE, _CPU_CLOCK, hertz=hertz, cpu=cpu)


def _kind(device: str) -> int:
    return int((_DEVICES / device / "type").read_text())
