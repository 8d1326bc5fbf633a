"""Every eBPF program compiles with the kernel headers of each Debian release, by the bcc that is installed;
and the trial tells what did not compile or was refused from the rest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import pytest
from headers import HEADERS, Cell, Given, every_program, headers_of, table

from qtrace.errors import MissingPrerequisite
from qtrace.trace.bpf.prerequisites import ensure_headers

pytestmark = pytest.mark.needs("root", "bcc")
HERE = Path(__file__).parent
# What a suite that moves has tomorrow is not for CI to find out.
PARTS = {"trixie": pytest.mark.slow, "bookworm": pytest.mark.long}
BASE = "int on_base(void *ctx) { return 0; }\n"
GOOD = "int on_good(void *ctx) { return 1; }\n"
BROKEN = "int on_broken(void *ctx) { return missing; }\n"
REFUSED = """
BPF_HASH(seen, u32, u64, 16);
int on_refused(void *ctx) { u32 key = 7; u64 *value = seen.lookup(&key); *value += 1; return 0; }
"""


def tried(given: Given, headers: Path, folder: Path) -> Cell:
    """What the installed bcc makes of them, with a cache of its own."""
    (folder / "given").write_text(json.dumps(asdict(given)))
    words = [str(HERE / "compiled_programs.py"), str(headers), str(folder / "given"), str(folder / "answer")]
    env = os.environ | {"QTRACE_CACHE": str(folder / "cache")}
    subprocess.run([sys.executable, *words], env=env, check=True)
    return Cell(**json.loads((folder / "answer").read_text()))


@pytest.mark.parametrize(
    "suite",
    [pytest.param(one, marks=PARTS.get(one, pytest.mark.longest)) for one in HEADERS],
)
def test_every_program_compiles_with_the_headers_of(
    suite: str, tmp_path: Path, skip_or_fail: Callable[[str], NoReturn]
) -> None:
    try:
        headers = headers_of(suite)
    except MissingPrerequisite as exc:
        skip_or_fail(f"{exc} {exc.hint}")
    given = every_program()
    assert {"on_function", "on_sys_exit", "on_cpu_clock"} < set(given.programs)
    found = tried(given, headers, tmp_path)
    assert found.reasons == []
    assert found.compiled == found.loaded == sorted(given.programs)


def test_what_does_not_compile_or_is_refused_is_named(tmp_path: Path) -> None:
    headers = ensure_headers()
    if headers is None:
        headers = Path(f"/lib/modules/{os.uname().release}/build")
    parts = {"good": BASE + GOOD, "broken": BASE + BROKEN, "refused": BASE + REFUSED}
    programs = dict.fromkeys(("on_base", "on_good", "on_broken", "on_refused"), "kprobe")
    found = tried(Given(programs, BASE + GOOD + BROKEN + REFUSED, BASE, parts), headers, tmp_path)
    assert found.compiled == ["on_base", "on_good", "on_refused"]
    assert found.loaded == ["on_base", "on_good"]
    broken, refused = found.reasons
    assert broken.startswith("broken: ") and "undeclared identifier 'missing'" in broken
    assert refused.startswith("the kernel refuses the program on_refused: ")
    rows = table({"here": {"own": found}}, {"own": headers}, len(programs)).splitlines()
    assert rows[2].endswith("| 3 of 4, 2 taken |")
    assert (
        rows[4].endswith("undeclared identifier 'missing' (and 1 more)") and " of here: broken: " in rows[4]
    )
    assert str(tmp_path) not in "\n".join(rows)


def test_the_headers_that_are_given_are_read(tmp_path: Path) -> None:
    found = tried(Given({"on_base": "kprobe"}, BASE, BASE, {}), tmp_path / "none", tmp_path)
    assert found.compiled == found.loaded == []
    assert len(found.reasons) == 1 and found.reasons[0].startswith("every program: ")
    assert "| 0 of 1 |" in table({"here": {"own": found}}, {"own": tmp_path}, 1)
