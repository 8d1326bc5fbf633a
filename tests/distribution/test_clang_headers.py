"""The headers of the newest clang are taken, by number and not by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from qtrace.distribution.clang_headers import newest_resource_dir, resource_dir


def make(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name / "include").mkdir(parents=True)
        (folder / name / "include" / "stddef.h").touch()
    return [folder / name for name in names]


def test_nineteen_is_newer_than_nine_and_fourteen(tmp_path: Path) -> None:
    found = make(tmp_path, "9", "19", "14.0.6")
    assert newest_resource_dir(found) == tmp_path / "19"
    assert newest_resource_dir(make(tmp_path / "more", "19", "19.1.7")) == tmp_path / "more/19.1.7"


def test_a_folder_without_headers_is_none(tmp_path: Path) -> None:
    (tmp_path / "21").mkdir()
    assert newest_resource_dir([tmp_path / "21"]) is None
    assert newest_resource_dir([tmp_path / "21", *make(tmp_path, "15")]) == tmp_path / "15"


@pytest.mark.needs("qemu-system-x86_64")
def test_this_machine_has_them() -> None:
    assert (resource_dir() / "include" / "stdarg.h").is_file()
