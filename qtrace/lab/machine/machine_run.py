"""Runs a verb inside the lab machine; its output and Ctrl-C pass through, as in a shell."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from qtrace.lab.guest.kernel import ensure_kernel
from qtrace.lab.machine.machine import LabMachine, Output
from qtrace.lab.mode.lab_image import ensure_lab_image
from qtrace.progress import Progress

__all__ = ["run_in_machine"]


def run_in_machine(argv: Sequence[str], nics: Iterable[str], progress: Progress, on_output: Output) -> int:
    """Run `qtrace ARGV` inside; its exit status. The image for guests with these NICs is made on this
    host."""
    kernel = ensure_kernel(progress)
    for nic in set(nics):
        ensure_lab_image(kernel, nic, progress)
    with LabMachine(progress=progress, kernel=kernel) as machine:
        return machine.run([sys.executable, "-m", "qtrace", *argv], on_output=on_output)
