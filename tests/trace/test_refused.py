"""Programs that the kernel or the compiler refuses: one message, naming a file with all that they say."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from modules import Make

from qtrace.distribution.debian import Debian, depends_on
from qtrace.distribution.identity import distribution
from qtrace.distribution.unpacked import overlay_headers
from qtrace.errors import MissingPrerequisite, TraceError
from qtrace.measure.instrument_registry import instruments
from qtrace.probes import families, program_text
from qtrace.progress import SILENT
from qtrace.trace.bpf.kernel_calls import KPROBE, PERF_EVENT, RAW_TRACEPOINT

pytestmark = pytest.mark.needs("root", "bcc")

RELEASES = ("bookworm", "bookworm-backports", "trixie", "sid")
SOURCES = [entry.source for entry in instruments().values()]
FAMILIES = [*families(), *(entry.family for entry in instruments().values())]
KINDS = {"perf_event": PERF_EVENT, "raw_tracepoint": RAW_TRACEPOINT}
# A register read by half, as the kernel does not allow.
HALF = """
#include <uapi/linux/ptrace.h>
int on_half(struct pt_regs *ctx) { return *(volatile u16 *)&ctx->cs & 3; }
"""
# An unnamed member of a named struct, as headers have since Linux 6.19.
UNNAMED = """
struct inner { u64 first; };
struct outer { struct inner; u64 second; };
BPF_ARRAY(outers, struct outer, 1);
int on_any(void *ctx) {
    u32 zero = 0;
    struct outer *found = outers.lookup(&zero);
    if (found)
        found->first = sizeof(*found);
    return 0;
}
"""


def _all_that_it_says(message: str) -> str:
    found = re.search(r"; (\S+) has all that it says$", message)
    assert found, message
    return Path(found[1]).read_text()


@pytest.mark.parametrize("kept", [False, True])
def test_a_refused_program_is_one_message(
    make: Make, headers: Path | None, kept: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    if kept:
        make(HALF, headers)
    module, was_kept = make(HALF, headers)
    assert was_kept is kept
    for _ in range(2):
        with pytest.raises(TraceError) as refused:
            module.load_func(b"on_half", PERF_EVENT)
        message = str(refused.value)
        assert message.startswith("the kernel refuses the program on_half: invalid bpf_context access off=")
        assert "\n" not in message
        assert "processed " in _all_that_it_says(message)
    assert capfd.readouterr() == ("", "")


def test_what_does_not_compile_is_one_message(
    make: Make, headers: Path | None, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TraceError) as refused:
        make(program_text().replace("COUNTS_CALLS)", "COUNTS_NOBODY)"), headers)
    message = str(refused.value)
    assert message.startswith("the eBPF programs do not compile: probes/syscalls.bpf.c:")
    assert "use of undeclared identifier 'COUNTS_NOBODY'" in message and "\n" not in message
    assert "COUNTS_NOBODY" in _all_that_it_says(message)
    assert capfd.readouterr() == ("", "")


def test_headers_with_unnamed_members_of_named_structs_compile(make: Make, headers: Path | None) -> None:
    module, _ = make(UNNAMED, headers)
    assert module.load_func(b"on_any", KPROBE).fd > 0


@pytest.fixture(name="headers_of_release", params=RELEASES)
def _headers_of_release(
    request: pytest.FixtureRequest,
    skip_or_fail: Callable[[str], NoReturn],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Of the newest kernel of a Debian release, and then a cache of this test's own."""
    here, suite = distribution(), request.param
    if not isinstance(here, Debian):
        skip_or_fail("the headers of Debian's kernels are fetched on Debian")

    def needs(package: str) -> dict[str, str | None]:
        return depends_on(here._apt(suite).ask(SILENT, "apt-cache", "show", "--no-all-versions", package))

    try:
        own = next(name for name in needs("linux-headers-amd64") if re.match(r"linux-headers-[0-9]", name))
        common = next(name for name in needs(own) if name.endswith("-common"))
        packages = [here.fetch_package(name, suite=suite) for name in (common, own)]
    except MissingPrerequisite as exc:
        skip_or_fail(f"the headers of Debian {suite} are not to be had: {exc}")
    target = tmp_path / "headers"
    overlay_headers(packages, target)
    monkeypatch.setenv("QTRACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BCC_KERNEL_SOURCE", str(target))
    return target


def test_every_program_is_accepted_with_the_headers_of_each_release(
    make: Make, headers_of_release: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Linux 6.9 made `cs` of the registers a part of a word, 6.19 has unnamed members of named structs."""
    module, _ = make(program_text(SOURCES), headers_of_release)
    programs = {
        program: kind for family in FAMILIES for point in family.points for kind, program in point.programs
    }
    assert len(programs) > 15
    for name, kind in programs.items():
        assert module.load_func(name.encode(), KINDS.get(kind, KPROBE)).fd > 0
    assert capfd.readouterr() == ("", "")
