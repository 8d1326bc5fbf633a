"""What an installed QEMU has: its back ends and its types of devices, as the program itself lists them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtrace.errors import LabError

__all__ = ["ProgramParts", "ask_program"]

_SECONDS = 120  # until a program that says nothing is given up
_ALONE = ("-machine", "none", "-nodefaults", "-no-user-config", "-display", "none")
_COMMANDS: tuple[dict[str, Any], ...] = (
    {"execute": "qmp_capabilities"},
    {"execute": "query-version"},
    {"execute": "qom-list-types", "arguments": {"implements": "device"}},
    {"execute": "quit"},
)


@dataclass(frozen=True, slots=True)
class ProgramParts:
    """`version` is `7.2.22`, `package` the packager's suffix; `backends` by the names that -netdev takes,
    `types` every QOM type of a device, also one that only a board makes."""

    file: Path
    version: str
    package: str
    backends: frozenset[str]
    types: frozenset[str]


def ask_program(file: Path) -> ProgramParts:
    """Run the user's own QEMU without a machine, twice, and read what it has. Raises LabError."""
    answers = list(_answers(_said(file, [*_ALONE, "-qmp", "stdio"], "".join(map(_line, _COMMANDS)))))
    versions = [answer for answer in answers if isinstance(answer, dict) and "qemu" in answer]
    lists = [answer for answer in answers if isinstance(answer, list)]
    # The first line is a heading.
    backends = _said(file, ["-netdev", "help"], "").split("\n")[1:]
    try:
        number = versions[0]["qemu"]
        version = ".".join(str(int(number[part])) for part in ("major", "minor", "micro"))
        types = frozenset(str(row["name"]) for row in lists[0])
        package = str(versions[0]["package"])
    except (IndexError, KeyError, TypeError, ValueError) as exc:
        raise LabError(f"{file} does not say which devices it has") from exc
    return ProgramParts(file, version, package, frozenset(word.strip() for word in backends) - {""}, types)


def _line(command: dict[str, Any]) -> str:
    return json.dumps(command) + "\n"


def _said(file: Path, words: list[str], asked: str) -> str:
    try:
        done = subprocess.run(
            [str(file), *words],
            input=asked,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise LabError(f"{file} cannot be asked what it has: {exc}") from exc
    if done.returncode:
        raise LabError(f"{file} ended with status {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout


def _answers(text: str) -> Iterator[Any]:
    """What the commands returned, in their order."""
    for line in text.splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict) and "return" in said:
            yield said["return"]
