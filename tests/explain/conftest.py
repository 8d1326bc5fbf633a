"""The readers of both releases, the programs that bear witness, and a folder that lines are started in."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from corpus import FILES
from witness import INSTALLED, Release, Witnesses

from qtrace.explain.explanation import Reader
from qtrace.store.index import Index


@pytest.fixture(scope="session")
def reader(index: Index) -> Reader:
    return Reader(index)


@pytest.fixture(scope="session")
def earlier_reader(earlier: Index) -> Reader:
    """Of Debian 12's release."""
    return Reader(earlier)


@pytest.fixture(scope="session")
def newer_reader(newer: Index) -> Reader:
    """Of the next Debian's release."""
    return Reader(newer)


@pytest.fixture(scope="session", params=["installed", "newer"])
def release(request: pytest.FixtureRequest, reader: Reader) -> Release:
    """The installed QEMU; and Debian 13's, of which a program of the same series is unpacked."""
    if request.param == "installed":
        return Release(reader, INSTALLED)
    return Release(request.getfixturevalue("newer_reader"), request.getfixturevalue("newer_program"))


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lines")
    for name, text in FILES.items():
        (path / name).write_text(text)
    for folder in (path, *path.parents[:2]):
        folder.chmod(0o777)
    return path


@pytest.fixture(scope="session")
def witnesses(home: Path) -> Iterator[Witnesses]:
    with ThreadPoolExecutor(2) as pool:
        yield Witnesses(home, pool)
        pool.shutdown(cancel_futures=True)
