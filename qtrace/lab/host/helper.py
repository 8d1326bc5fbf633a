"""A program beside the guest, in its namespace: awaited until it is ready, ended with the block."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence

from qtrace.distribution.identity import distribution
from qtrace.errors import LabError, MissingPrerequisite
from qtrace.lab.host.netns import Namespace

__all__ = ["Helper", "start_helper"]


class Helper:
    """A running helper."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self.name = name
        self._process = process

    @property
    def pid(self) -> int:
        """The process of the program (nsenter and setpriv execute it in their place)."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def pause(self) -> None:
        """Let it do nothing until `resume`. It keeps all that it has, and may be ended."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if not self.ended:
            os.kill(self.pid, number)

    def check(self) -> None:
        """Raise LabError with the program's output if it has ended."""
        if self.ended:
            said = self._process.stderr.read().strip() if self._process.stderr else ""
            raise LabError(f"{self.name} ended with status {self._process.returncode}: {said[-300:]}")


@contextlib.contextmanager
def start_helper(
    space: Namespace,
    name: str,
    command: Sequence[str],
    ready: Callable[[int], bool],
    until: str,
    *,
    timeout: float = 120.0,
    pass_fds: Sequence[int] = (),
) -> Iterator[Helper]:
    """Run `command` in `space`; the block begins when `ready(pid)`, which `until` names in the error.

    Raises LabError if the program ends before, or takes longer than `timeout`. It is killed when this process
    dies.
    """
    try:
        process = subprocess.Popen(
            space.argv(["setpriv", "--pdeathsig=KILL", "--", *command]),
            stdin=subprocess.PIPE,  # stays open: vde_switch ends with its standard input
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=pass_fds,
            process_group=0,
        )
    except FileNotFoundError as exc:
        raise MissingPrerequisite(
            f"{exc.filename} is missing", hint=distribution().hint(str(exc.filename))
        ) from exc
    helper = Helper(name, process)
    try:
        deadline = time.monotonic() + timeout
        while not ready(process.pid):
            helper.check()
            if time.monotonic() > deadline:
                raise LabError(f"{name} did not {until} within {timeout:.0f} s")
            time.sleep(0.02)
        yield helper
    finally:
        process.kill()
        process.communicate()
