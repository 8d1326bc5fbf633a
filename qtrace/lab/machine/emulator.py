"""The QEMU that the lab machine runs in.

A machine whose kernel puts probes on its own functions rewrites code that its other CPUs run. QEMU's TCG
before 8.1 locks a page of code only after it has translated it (accel/tcg/translate-all.c, tb_gen_code), so a
CPU may keep its translation of a half-written instruction: the kernel then calls address 0, or stands still.
Newer ones discard a page's translations just before they write to it (accel/tcg/cputlb.c, notdirty_write), so
it still happens, but seldom (docs/lab-machine.md).
"""

from __future__ import annotations

import re
import subprocess

from qtrace.distribution.identity import distribution
from qtrace.errors import LabError, MissingPrerequisite
from qtrace.lab.guest.guest import find_qemu
from qtrace.lab.guest.qemu_program import QemuProgram
from qtrace.progress import SILENT, Progress

__all__ = ["choose_emulator", "release_of"]

_SOUND = (8, 1)


def choose_emulator(accelerator: str, progress: Progress = SILENT) -> list[str]:
    """The first words of the machine's command line: the installed QEMU, or under TCG one that seldom keeps
    stale translations, of a newer release of the distribution if need be.

    Where none is to be had, the installed one with a warning. Raises MissingPrerequisite if there is none.
    """
    installed = [str(find_qemu())]
    if accelerator != "tcg" or (release := release_of(installed)) >= _SOUND:
        return installed
    try:
        newer = QemuProgram.of_release(distribution().sound_emulator, progress).outside()
        release_of(newer)  # it may want more of this machine's libraries than there is
        return newer
    except (MissingPrerequisite, LabError) as exc:
        progress.warn(
            "the lab machine's kernel may crash or stand still when probes are put on it: QEMU "
            f"{'.'.join(map(str, release))} emulates rewritten code wrongly, and no newer one is here ({exc})"
        )
        return installed


def release_of(words: list[str]) -> tuple[int, ...]:
    """The release that a QEMU of this machine, started by these words, says it is. Raises LabError."""
    said = subprocess.run(
        [*words, "--version"], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    found = re.search(r"version (\d+)\.(\d+)\.(\d+)", said.stdout)
    if not found:
        raise LabError(f"{' '.join(words)} --version: {(said.stderr or said.stdout).strip()[:300]}")
    return tuple(int(number) for number in found.groups())
