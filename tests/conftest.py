"""What tests may need, and what happens where it is missing.

A test that needs root, bcc, a QEMU tree or the lab machine asks for it with `needs(...)`; where it is
missing the test is skipped with the reason. `QTRACE_NO_SKIP=1` (CI sets it) turns every such skip into
a failure.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from qtrace.cache import cache_dir
from qtrace.source.build import ensure_index
from qtrace.store.index import Index


def _missing(what: str) -> str | None:
    """Why `what` is not to be had here, or None where it is."""
    if what == "root":
        return None if os.geteuid() == 0 else "needs root"
    if what == "bcc":
        return None if importlib.util.find_spec("bcc") else "needs bcc (python3-bpfcc)"
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


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*what): root, bcc, tun, or the name of a program")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for what in mark.args:
            reason = _missing(what)
            if reason is None:
                continue
            skip_or_fail(reason)


@pytest.fixture(scope="module")
def side_cache(index: Index, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of the module's own for indexes of copies, so that none is left in the user's. What is fetched
    or kept by content is shared."""
    folder = tmp_path_factory.mktemp("cache")
    for name in ("apt", "facts", "generated", "packages", "sources"):
        (folder / name).symlink_to(cache_dir(name))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QTRACE_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def index() -> Index:
    """The index of the installed QEMU's own source, made once and kept in the cache."""
    return ensure_index()[0]
