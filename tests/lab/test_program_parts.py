"""What the installed QEMU says that it has."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from qtrace.binary.file.version import qemu_version
from qtrace.errors import LabError
from qtrace.lab.guest.guest import find_qemu
from qtrace.lab.guest.program_parts import ask_program


def test_a_program_says_its_release_back_ends_and_types() -> None:
    program = find_qemu()
    parts = ask_program(program)
    assert qemu_version(program).split()[0] == parts.version
    assert {"user", "tap", "socket", "hubport"} <= parts.backends and not parts.backends & {"netmap", "help"}
    listed = subprocess.run([program, "-device", "help"], capture_output=True, text=True, check=True).stdout
    pluggable = set(re.findall(r'^name "([^"]+)"', listed, re.MULTILINE))
    assert len(pluggable) > 100 and pluggable <= parts.types


@pytest.mark.parametrize("body", ["exit 0", "exit 3", "echo '{\"return\": [1]}'", "printf '\\377\\n'"])
def test_what_is_no_qemu_is_said(tmp_path: Path, body: str) -> None:
    program = tmp_path / "qemu"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    with pytest.raises(LabError, match=str(program)):
        ask_program(program)


def test_a_file_that_cannot_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="cannot be asked"):
        ask_program(tmp_path / "none")
