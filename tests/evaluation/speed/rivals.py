"""Other tools on functions of a running QEMU: bpftrace, and bcc's funccount and funclatency."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from qtrace.binary.file.elf import Elf
from qtrace.model import Probe
from qtrace.trace.bpf.prerequisites import ensure_headers

__all__ = ["Rival", "bpftrace", "exported", "funccount", "funclatency"]

_TIMEOUT = 60.0
_MAP = re.compile(r"^@\[?[^:]*\]?: (\d+)$", re.MULTILINE)
_COUNT = re.compile(r"^\S+ +(\d+)$", re.MULTILINE)
_SLOT = re.compile(r"^ *\d+ -> \d+ *: (\d+) ", re.MULTILINE)


class Rival:
    """A tool that has attached. `end` takes it off and gives the hits that it has counted."""

    def __init__(self, process: subprocess.Popen[str], counted: re.Pattern[str]) -> None:
        self._process, self._counted = process, counted

    def end(self) -> int:
        """Raises SystemExit where it has counted nothing: it was not attached then."""
        self._process.send_signal(signal.SIGINT)
        said, _ = self._process.communicate(timeout=_TIMEOUT)
        hits = sum(map(int, self._counted.findall(said)))
        if not hits:
            raise SystemExit(f"{self._process.args} counted nothing: {said[-500:]}")
        return hits


@contextlib.contextmanager
def bpftrace(pid: int, probes: Sequence[Probe], starts: dict[Probe, int]) -> Iterator[Rival]:
    """A count for each of these functions, at its beginning: `starts` are file offsets."""
    elfs = {probe.binary: Elf(Path(probe.binary)) for probe in probes}
    lines = ['BEGIN { printf("attached\\n"); }']
    for number, probe in enumerate(probes):
        address = _address(elfs[probe.binary], starts[probe])
        lines.append(f"{probe.kind}:{probe.binary}:{address:#x} {{ @[{number}] = count(); }}")
    with _running(["bpftrace", "--unsafe", "-p", str(pid), "-e", "\n".join(lines)], "attached") as process:
        yield Rival(process, _MAP)


@contextlib.contextmanager
def funccount(pid: int, binary: str, functions: Sequence[str]) -> Iterator[Rival]:
    """bcc's tool: it finds functions by exported name only."""
    pattern = f"{binary}:^({'|'.join(functions)})$"
    with _running(["funccount-bpfcc", "-p", str(pid), "-r", pattern], "Tracing") as process:
        yield Rival(process, _COUNT)


@contextlib.contextmanager
def funclatency(pid: int, binary: str, functions: Sequence[str]) -> Iterator[Rival]:
    """The same with the time until each returns."""
    pattern = f"{binary}:^({'|'.join(functions)})$"
    with _running(["funclatency-bpfcc", "-p", str(pid), "-r", pattern], "Tracing") as process:
        yield Rival(process, _SLOT)


def exported(binary: str, probes: Sequence[Probe]) -> list[str]:
    """Those of the probed functions that bcc's tools can find."""
    names = Elf(Path(binary)).exports
    return sorted({probe.function for probe in probes if probe.binary == binary and probe.function in names})


@contextlib.contextmanager
def _running(command: list[str], ready: str) -> Iterator[subprocess.Popen[str]]:
    headers = ensure_headers()
    more = {"BCC_KERNEL_SOURCE": str(headers)} if headers else {}
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"} | more,
    )
    try:
        said = ""
        assert process.stdout
        for line in process.stdout:
            said += line
            if line.startswith(ready):
                break
        else:
            raise SystemExit(f"{command[0]} did not attach: {said}")
        yield process
    finally:
        process.kill()
        process.wait()


def _address(elf: Elf, offset: int) -> int:
    """The virtual address of what stands at a file offset."""
    for part in elf.segments:
        if part.offset <= offset < part.offset + part.size:
            return offset - part.offset + part.address
    raise SystemExit(f"{elf.path} has nothing at {offset:#x}")
