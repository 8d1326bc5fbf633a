"""A reader that has gone, as in `qtrace … 2>&1 | head`, ends no work."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from qtrace.store.index import Index


@pytest.fixture
def broken() -> int:
    """The end of a pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    return write


def test_progress_that_nobody_reads_is_no_error(index: Index, broken: int) -> None:
    argv = [sys.executable, "-m", "qtrace", "index", "--format", "json"]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=broken, timeout=300)
    os.close(broken)
    assert done.returncode == 0 and json.loads(done.stdout)["qemu"]


def test_an_answer_that_nobody_reads_is_no_error(index: Index, broken: int) -> None:
    argv = [sys.executable, "-m", "qtrace", "map"]
    done = subprocess.run(argv, stdout=broken, stderr=subprocess.PIPE, timeout=300)
    os.close(broken)
    assert done.returncode == 0 and b"Traceback" not in done.stderr and b"Broken" not in done.stderr
