"""What tests may need, and what happens where it is missing.

A test that needs root, bcc, a QEMU tree or the lab machine asks for it with `needs(...)`; where it is
missing the test is skipped with the reason. `QTRACE_NO_SKIP=1` (CI sets it) turns every such skip into
a failure.

The parts, each with what may run beside it:

- `quick`: what any user can run in two minutes. No root, no bcc, no guest, nothing marked `slow`, and of QEMU
  only an index that is already there. Several at a time (`-n`).
- `slow`: no guest of a lab and no tracing either, but seconds each. Several at a time.
- `rest`: labs, guests and tracing, which hold the host to be as they left it: one at a time.
- `long`: what is marked so, half a minute to minutes each. One at a time.
- `longest`: what is marked so. CI has no time for it.

Several parts may be named.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from hypothesis import HealthCheck, settings
from program import BUILT, Program, unpack_program

from qtrace.cache import cache_dir
from qtrace.distribution.identity import distribution
from qtrace.distribution.system_bcc import find_bcc
from qtrace.errors import MissingPrerequisite
from qtrace.index.build import ensure_index, release_tree
from qtrace.lab.guest.guest import find_qemu
from qtrace.store.index import Index

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# A busy machine makes no law wrong, nor its draws too slow. In CI each law is tried with the same draws every
# time: a new example is for whoever works on the law, and not for whose landing comes next.
_CI = bool(os.environ.get("QTRACE_NO_SKIP"))
settings.register_profile(
    "laws", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=_CI
)
settings.load_profile("laws")
PARTS = ("quick", "slow", "rest", "long", "longest")
_ALONE = {"root", "bcc", "tun"}
# Fixtures that fetch a release, or index a tree.
_LONG = {"newer", "newest", "newer_program", "side_cache"}
# Whose QEMU is read, whichever this machine runs: what a test knows of a release it asks that release.
EARLIER, NEXT = "bookworm", "trixie"
if platform.freedesktop_os_release().get("VERSION_CODENAME") != EARLIER:
    _LONG |= {"earlier", "earlier_file"}
NEWEST = "sid"  # of which the newest that can be had is


def _missing(what: str) -> str | None:
    """Why `what` is not to be had here, or None where it is."""
    if what == "root":
        return None if os.geteuid() == 0 else "needs root"
    if what == "bcc":
        return None if find_bcc() else "needs bcc (python3-bpfcc)"
    if what == "tun":
        return None if Path("/dev/net/tun").exists() else "needs /dev/net/tun"
    return None if shutil.which(what) else f"needs the program {what}"


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the test, or fail it where every skip is to be a failure."""
    if os.environ.get("QTRACE_NO_SKIP"):
        pytest.fail(f"{reason} (QTRACE_NO_SKIP is set)", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session", name="skip_or_fail")
def _skip_or_fail() -> Callable[[str], NoReturn]:
    return skip_or_fail


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        skip_or_fail("needs the Python package playwright")
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"], timeout=120_000
        )
        yield browser
        browser.close()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--part",
        choices=PARTS,
        action="append",
        default=[],
        help="see tests/conftest.py; without it everything",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    parts = config.getoption("part")
    if not parts:
        return
    other = [item for item in items if _part(item) not in parts]
    config.hook.pytest_deselected(items=other)
    items[:] = [item for item in items if item not in set(other)]


def _part(item: pytest.Item) -> str:
    for name in ("longest", "long"):
        if item.get_closest_marker(name):
            return name
    needed = {what for mark in item.iter_markers("needs") for what in mark.args}
    if needed & _ALONE:
        return "rest"
    slow = item.get_closest_marker("slow") or "qemu-system-x86_64" in needed
    return "slow" if slow or set(getattr(item, "fixturenames", ())) & _LONG else "quick"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*what): root, bcc, tun, or the name of a program")
    config.addinivalue_line("markers", "slow: takes seconds; no part of --part quick")
    config.addinivalue_line("markers", "long: takes half a minute or more; part of --part long alone")
    config.addinivalue_line("markers", "longest: takes minutes; part of --part longest alone, not of CI")
    # A shell's background job ignores Ctrl-C, and so would the commands that tests start and interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # below nohup
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for what in mark.args:
            reason = _missing(what)
            if reason is None:
                continue
            skip_or_fail(reason)


@contextlib.contextmanager
def _side_cache(folder: Path) -> Iterator[Path]:
    for name in ("apt", "facts", "generated", "packages", "sources"):
        (folder / name).symlink_to(cache_dir(name))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QTRACE_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def side_cache(index: Index, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of the module's own for indexes of copies, so that none is left in the user's. What is fetched
    or kept by content is shared."""
    with _side_cache(tmp_path_factory.mktemp("cache")) as folder:
        yield folder


@pytest.fixture(scope="session")
def installed(request: pytest.FixtureRequest) -> Index:
    """The index of the installed QEMU's own source, made once and kept in the cache."""
    if request.config.getoption("part") == ["quick"] and not any(cache_dir("indexes").glob("qemu-*.sqlite")):
        skip_or_fail("needs the index of the installed QEMU in the cache: run 'qtrace index' first")
    return ensure_index()[0]


@pytest.fixture(scope="session")
def index(installed: Index) -> Index:
    """The installed QEMU's; a module that knows one release by heart has that release's under this name."""
    return installed


def _index_of(suite: str, folder: Path) -> Index:
    with _side_cache(folder):
        try:
            tree = release_tree(suite)
        except MissingPrerequisite as exc:
            skip_or_fail(f"the source of QEMU in Debian {suite} is not to be had: {exc}")
        return ensure_index(source=tree)[0]


def series(index: Index) -> list[str]:
    """A release's first two numbers."""
    return index.meta["qemu"].split(".")[:2]


def _is_earlier(index: Index) -> bool:
    return series(index) == ["7", "2"]


@pytest.fixture(scope="session")
def earlier(installed: Index, tmp_path_factory: pytest.TempPathFactory) -> Index:
    """The index of Debian 12's QEMU: the installed one's where that is it."""
    return installed if _is_earlier(installed) else _index_of(EARLIER, tmp_path_factory.mktemp("earlier"))


@pytest.fixture(scope="session")
def earlier_file(installed: Index) -> Path:
    """Debian 12's qemu-system-x86_64, to be read: the installed one, or unpacked only."""
    if _is_earlier(installed):
        return find_qemu()
    try:
        return distribution().fetch_package("qemu-system-x86", suite=EARLIER) / "usr/bin/qemu-system-x86_64"
    except MissingPrerequisite as exc:
        skip_or_fail(f"the QEMU of Debian {EARLIER} is not to be had: {exc}")


@pytest.fixture(scope="session")
def newer(installed: Index, tmp_path_factory: pytest.TempPathFactory) -> Index:
    """The index of Debian 13's QEMU, fetched by the project; not left in the user's cache."""
    return _index_of(NEXT, tmp_path_factory.mktemp("newer"))


@pytest.fixture(scope="session")
def newest(installed: Index, tmp_path_factory: pytest.TempPathFactory) -> Index:
    """The index of the newest QEMU whose source can be had."""
    return _index_of(NEWEST, tmp_path_factory.mktemp("newest"))


@pytest.fixture(scope="session")
def newer_program(installed: Index, newer: Index) -> Iterator[Program]:
    """A QEMU of the newer series: the installed one where that is it, else one that was built for this
    release, unpacked only, where anybody may run it."""
    if series(installed) == series(newer):
        yield Program(str(find_qemu()))
        return
    with tempfile.TemporaryDirectory(prefix="qtrace-qemu-") as name:
        folder = Path(name)
        with _side_cache(folder):
            try:
                program = unpack_program(folder)
            except MissingPrerequisite as exc:
                skip_or_fail(f"Debian {BUILT} has no QEMU to ask: {exc}")
        yield program
