"""Queries to dpkg and apt about this machine's packages."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from collections.abc import Sequence

__all__ = ["compare", "installed_packages", "newest_of", "query"]


def newest_of(pattern: str) -> str:
    """The installed package that matches this pattern, else the newest in apt's own lists; `clang`, which
    depends on one, if neither exists."""
    have = [name for name in installed_packages() if re.fullmatch(pattern, name)]
    found = have or _listed(pattern)

    def number(name: str) -> int:
        return int("".join(filter(str.isdigit, name)))

    return max(found, key=number, default="clang")


@functools.cache
def installed_packages() -> dict[str, str]:
    """Every installed package and its version."""
    said = query(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version}\n"])
    lines = (line.split() for line in said.splitlines())
    return {words[1]: words[2] for words in lines if words[0] == "installed"}


def _listed(pattern: str) -> list[str]:
    lines = query(["apt-cache", "search", "--names-only", f"^{pattern}$"]).splitlines()
    return [line.split()[0] for line in lines]


def compare(one: str, other: str) -> int:
    """1, 0 or -1, in dpkg's order of versions."""
    if one == other:
        return 0
    return 1 if subprocess.run(["dpkg", "--compare-versions", one, "gt", other]).returncode == 0 else -1


def query(command: Sequence[str]) -> str:
    """A tool's output; empty if the tool is missing or fails."""
    if not shutil.which(command[0]):
        return ""
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return done.stdout.strip() if done.returncode == 0 else ""
