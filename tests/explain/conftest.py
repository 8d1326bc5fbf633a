"""The reader of the installed QEMU's own index, and a folder that lines are started in."""

from __future__ import annotations

from pathlib import Path

import pytest
from corpus import FILES

from qtrace.explain.explanation import Reader
from qtrace.store.index import Index


@pytest.fixture(scope="session")
def reader(index: Index) -> Reader:
    return Reader(index)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lines")
    for name, text in FILES.items():
        (path / name).write_text(text)
    for folder in (path, *path.parents[:2]):
        folder.chmod(0o777)
    return path
