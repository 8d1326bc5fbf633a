"""Runs in a pid namespace of its own: one QEMU ends, the next gets its pid; what the tracer's target says."""

import os
import subprocess
import sys
import time
from pathlib import Path

from qtrace.errors import TargetError
from qtrace.trace.qemu.target import Target


def start(program: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([program, "-machine", "none", "-display", "none", "-nodefaults", "-S"])


def _tick() -> int:
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


def main() -> None:
    program = sys.argv[1]
    first = start(program)
    born = _tick()
    target = Target(first.pid)
    assert target.alive()
    first.kill()
    began = time.monotonic()
    target.wait(60)  # returns when it has ended, though nobody has reaped it
    assert time.monotonic() - began < 30 and not target.alive()
    first.wait()
    # /proc has the start in ticks of 1/100 s: a pid that comes again within one is not told apart.
    while _tick() == born:
        time.sleep(0.001)
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(first.pid - 1))
    second = start(program)
    try:
        assert second.pid == first.pid, (first.pid, second.pid)
        assert not target.alive()
        try:
            target.require()
        except TargetError as exc:
            said = str(exc)
        target.wait(60)  # and does not wait for the other
        assert second.poll() is None and Target(second.pid).alive()
    finally:
        second.kill()
        second.wait()
    print(f"pid {first.pid} twice, of two QEMUs one after the other: of the first the tracer says '{said}'")


main()
