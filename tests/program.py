"""A QEMU program that tests ask: the installed one, or another release's that is unpacked only."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field

__all__ = ["Program"]


@dataclass(frozen=True)
class Program:
    """A qemu-system-x86_64 and what its environment must have besides."""

    path: str
    environment: dict[str, str] = field(default_factory=dict)

    def said(self, *words: str) -> str:
        """What it prints for these words."""
        environment = os.environ | self.environment
        done = subprocess.run(
            [self.path, *words], capture_output=True, text=True, env=environment, timeout=60
        )
        return done.stdout
