"""Nothing of a traced process is ever executed: its program is whatever its owner chose."""

from __future__ import annotations

import contextlib
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qtrace.binary.file.version import qemu_version
from qtrace.store.index import Index

_BASE = 0x400000


def marking_program(mark: Path, banner: str) -> bytes:
    """An ELF program with QEMU's banner in it that creates the file `mark` when it is run, and waits."""
    headers = 64 + 2 * 56
    # open(mark, O_CREAT | O_WRONLY, 0600); for (;;) pause();
    head = b"\xb8\x02\x00\x00\x00" + b"\xbe\x41\x00\x00\x00" + b"\xba\x80\x01\x00\x00"
    tail = b"\x0f\x05" + b"\xb8\x22\x00\x00\x00\x0f\x05" + b"\xeb\xf7"
    code_size = len(head) + 7 + len(tail)
    text = headers + code_size
    code = head + b"\x48\x8d\x3d" + struct.pack("<i", len(tail)) + tail
    strings = bytes(mark) + b"\0" + banner.encode() + b"\0"
    size = text + len(strings)
    elf = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 2, 62, 1, _BASE + headers, 64, 0, 0, 64, 56, 2, 0, 0, 0
    )
    # The strings once more in a segment of their own: the banner is looked for outside of code.
    for rights, where, much, page in ((5, 0, size, 0), (4, text, len(strings), 0x1000)):
        address = _BASE + page + where
        elf += struct.pack("<IIQQQQQQ", 1, rights, where, address, 0, much, much, 0x1000)
    assert len(elf + code + strings) == size
    return elf + code + strings


@contextlib.contextmanager
def running(program: Path, mark: Path) -> Iterator[int]:
    """Start it, wait for its mark, take the mark away."""
    with subprocess.Popen([program, "-nic", "user"], stdin=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 120
            while not mark.exists():
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.01)
            mark.unlink()
            yield process.pid
        finally:
            process.kill()


@pytest.mark.needs("root", "bcc")
@pytest.mark.parametrize(
    "verb",
    [
        ("record", "PID", "--duration", "0.1"),
        ("trace", "PID", "--duration", "0.1"),
        ("probes", "--pid", "PID"),
        ("symbols", "PID"),
        ("explain", "--pid", "PID"),
    ],
    ids=lambda verb: verb[0],
)
def test_a_traced_program_is_only_read(verb: tuple[str, ...], index: Index, tmp_path: Path) -> None:
    mark, program = tmp_path / "mark", tmp_path / "qemu-system-x86_64"
    release = index.meta["qemu"]
    program.write_bytes(marking_program(mark, f"QEMU emulator version {release} (of a stranger)"))
    program.chmod(0o755)
    with running(program, mark) as pid:
        arguments = [word.replace("PID", str(pid)) for word in verb]
        assert qemu_version(program) == f"{release} (of a stranger)"
        for more in ([], ["--index", release]):
            said = subprocess.run(
                [sys.executable, "-m", "qtrace", *arguments, *more],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
            )
            assert said.returncode == 0, said.stderr
            assert not mark.exists(), f"{arguments} has run the program of process {pid}"
