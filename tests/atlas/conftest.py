from __future__ import annotations

from pathlib import Path

import pytest

from qtrace.atlas.builder import Built, build_atlas
from qtrace.lab.guest.guest import find_qemu
from qtrace.lab.guest.program_parts import ask_program
from qtrace.store.index import Index


@pytest.fixture(scope="session")
def atlas(installed: Index, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The atlas of the installed QEMU's index."""
    program = ask_program(find_qemu())
    return build_atlas([installed.path], tmp_path_factory.mktemp("site") / "atlas", program=program)


@pytest.fixture(scope="session")
def pages(atlas: Built) -> Path:
    """The folder of its release."""
    return atlas.folder / atlas.releases[0]
