"""A QEMU program that tests ask: the installed one, or another release's that is unpacked only."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from qtrace.distribution.identity import distribution
from qtrace.errors import MissingPrerequisite

__all__ = ["BUILT", "Program", "unpack_program"]

BUILT = "bookworm-backports"  # Debian 13's series, as programs that run on Debian 12
_SHARED = ("common", "gui", "modules-opengl", "modules-spice")


@dataclass(frozen=True)
class Program:
    """A qemu-system-x86_64 and what its environment must have besides."""

    path: str
    environment: dict[str, str] = field(default_factory=dict)

    def said(self, *words: str) -> str:
        """What it prints for these words."""
        environment = os.environ | self.environment
        done = subprocess.run(
            [self.path, *words], capture_output=True, text=True, env=environment, timeout=300
        )
        return done.stdout


def unpack_program(
    folder: Path, suite: str = BUILT, package: str = "x86", name: str = "qemu-system-x86_64"
) -> Program:
    """A program of Debian's package qemu-system-PACKAGE, in `folder` and not installed, where anybody may run
    it. Raises MissingPrerequisite where it cannot be had, or lacks libraries."""
    fetch = distribution().fetch_package
    parts = [fetch(f"qemu-system-{package}", suite=suite)]
    for part in _SHARED:
        with contextlib.suppress(MissingPrerequisite):  # an older release has fewer
            parts.append(fetch(f"qemu-system-{part}", suite=suite))
    shutil.copy(parts[0] / "usr/bin" / name, folder)
    # All in one place: what is not there it takes from the installed QEMU, whose modules do not fit.
    modules = folder / "modules"
    modules.mkdir(exist_ok=True)
    for module in (path for part in parts for path in part.glob("usr/lib/*/qemu/*.so")):
        shutil.copy(module, modules)
    folder.chmod(0o755)
    tried = subprocess.run([folder / name, "--version"], capture_output=True, text=True)
    if tried.returncode != 0:  # a program of Debian 12 wants libraries that Debian 13 does not have
        raise MissingPrerequisite(f"it does not run here: {tried.stderr.strip()}")
    return Program(str(folder / name), {"QEMU_MODULE_DIR": str(modules)})
