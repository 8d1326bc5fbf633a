"""explain says of a `vhost=on` that cannot be had what each release then really does."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from absent_vhost import LINES, try_line
from program import Program

from qtrace.explain.explanation import Reader
from qtrace.explain.host import Host
from qtrace.store.index import Index

pytestmark = pytest.mark.needs("qemu-system-x86_64", "unshare", "tun")


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("release", ["installed", "newer"])
def test_explain_says_what_the_release_does(
    request: pytest.FixtureRequest, index: Index, tmp_path: Path, release: str, line: str
) -> None:
    known, program = index, Program("qemu-system-x86_64")
    if release == "newer":
        known, program = (request.getfixturevalue(name) for name in ("newer", "newer_program"))
    outcome = try_line(program, line)
    found = Reader(known, Host(tmp_path)).explain(["qemu-system-x86_64", *shlex.split(line)])["warnings"]
    said = [row["text"] for row in found if row["kind"] == "vhost-missing"]
    assert bool(outcome.ended) == bool(said), outcome
    assert any("aborts" in text for text in said) == ("SIGABRT" in outcome.ended), outcome
