"""Runs in a pid namespace of its own: one QEMU ends, the next gets its pid; what the tracer says then."""

import subprocess
import sys
import time
from pathlib import Path

from qtrace.errors import TargetError
from qtrace.measure.qemu_process import QemuProcess
from qtrace.trace.qemu.target import Target


def start(program: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([program, "-machine", "none", "-display", "none", "-nodefaults", "-S"])


def main() -> None:
    program = sys.argv[1]
    first = start(program)
    process, target = QemuProcess(first.pid), Target(first.pid)
    assert target.alive() and process.version[0]
    first.kill()
    began = time.monotonic()
    target.wait(300)  # returns when it has ended, though nobody has reaped it
    assert time.monotonic() - began < 300 and not target.alive()
    first.wait()
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
        # What was not asked for before is not asked of the other one.
        for ask in ("files", "command_line"):
            try:
                raise AssertionError(f"{ask} of another process: {getattr(process, ask)}")
            except TargetError as exc:
                assert str(exc) == said
        assert process.tap_counters() == {} and process.tap_names() == {}
        assert second.poll() is None and Target(second.pid).alive()
    finally:
        second.kill()
        second.wait()
    print(f"pid {first.pid} twice, of two QEMUs one after the other: of the first the tracer says '{said}'")


main()
