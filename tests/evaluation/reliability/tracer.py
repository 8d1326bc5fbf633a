"""`qtrace record` or `qtrace trace` as a process of its own, as a person starts it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trial import Report

__all__ = ["COUNTING", "EXACT", "Tracer", "record", "start"]

COUNTING = "counting in process"  # what record says when its window is open
EXACT = ("--max-overhead", "none")  # every frame is counted, whatever it costs


def record(pid: int, run: Path, seconds: int = 300) -> list[str]:
    """The words of an exact `qtrace record` that ends by Ctrl-C, long before `seconds` are over."""
    words = ["record", str(pid), "-o", str(run), "--duration", str(seconds), "--format", "json"]
    return [*words, *EXACT]


class Tracer:
    """What it says on stderr is read as it comes; stdout is read at the end."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.said = process, ""
        self._out: list[str] = []
        # Both pipes are emptied, so that it never waits for us.
        self._reader = threading.Thread(target=self._read_out, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Of qtrace itself, or of what was put before it."""
        return self.process.pid

    def until(self, text: str) -> None:
        """Read on until a line on stderr holds `text`."""
        assert self.process.stderr
        for line in self.process.stderr:
            self.said += line
            if text in line:
                return
        raise AssertionError(f"it ended before it said {text!r}:\n{self.said}")

    def send(self, request: signal.Signals) -> None:
        self.process.send_signal(request)

    def end(self, timeout: float = 300.0) -> tuple[int, str]:
        """Exit status and all of stdout."""
        assert self.process.stderr
        self.said += self.process.stderr.read()
        status = self.process.wait(timeout)
        self._reader.join()
        assert "Traceback" not in self.said, self.said
        return status, "".join(self._out)

    def answer(self) -> dict[str, Any]:
        """The JSON of a `record` that ended well."""
        status, out = self.end()
        assert status == 0, self.said
        found: dict[str, Any] = json.loads(out)
        return found

    def rss(self) -> int:
        """Resident memory in KiB."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise AssertionError("it has ended")

    def programs(self) -> list[int]:
        """Ids of the BPF programs that it holds, as the kernel lists them."""
        found = []
        for entry in Path(f"/proc/{self.pid}/fdinfo").iterdir():
            with contextlib.suppress(OSError):
                text = entry.read_text()
                found += [int(line.split()[1]) for line in text.splitlines() if line.startswith("prog_id:")]
        return sorted(set(found))

    def attachments(self) -> int:
        """How many BPF links and perf events it holds: one for each uprobe."""
        links = []
        for entry in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                links.append(str(entry.readlink()))
        return links.count("anon_inode:[perf_event]") + links.count("anon_inode:bpf_link")

    def _read_out(self) -> None:
        assert self.process.stdout
        self._out += self.process.stdout


def _environment() -> dict[str, str]:
    """Ours, without what our own engine has added to it."""
    return {name: value for name, value in os.environ.items() if name != "BCC_KERNEL_SOURCE"}


@contextlib.contextmanager
def start(
    report: Report, words: Sequence[str], *, before: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> Iterator[Tracer]:
    """`qtrace WORDS`, behind the command `before`; killed at the end if it still runs."""
    report.ran([*before, "qtrace", *words])
    process = subprocess.Popen(
        [*before, sys.executable, "-m", "qtrace", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**_environment(), **(env or {})},
    )
    tracer = Tracer(process)
    try:
        yield tracer
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            assert pipe
            pipe.close()
