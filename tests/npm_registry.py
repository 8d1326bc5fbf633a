"""What tests take from npm's registry, by its own client. It is kept in the cache, so npm is asked once;
where the registry does not answer, the test is skipped."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from qtrace.cache import atomic_file, cache_dir

_QUIET = ("--silent", "--no-audit", "--no-fund", "--ignore-scripts")


def packed_file(package: str, version: str, member: str) -> Path:
    """One file of a package."""
    folder = cache_dir("npm")
    kept = folder / f"{package.replace('/', '-')}-{version}-{Path(member).name}"
    if not kept.exists():
        work = _work(kept)
        _npm(["pack", "--silent", f"{package}@{version}"], work)
        (archive,) = work.glob("*.tgz")
        with tarfile.open(archive) as packed, atomic_file(kept) as beside:
            found = packed.extractfile(f"package/{member}")
            assert found, member
            beside.write_bytes(found.read())
        shutil.rmtree(work)
    return kept


def installed_packages(name: str, wanted: Mapping[str, str]) -> Path:
    """The folder node_modules with these packages (name -> version) and what they need; none of their
    scripts is run."""
    words = " ".join(f"{package}@{version}" for package, version in sorted(wanted.items()))
    folder = cache_dir("npm") / name
    said = folder / "wanted"
    if not said.exists() or said.read_text() != words:
        work = _work(folder)
        (work / "package.json").write_text(json.dumps({"private": True, "dependencies": dict(wanted)}))
        _npm(["install", *_QUIET], work)
        (work / "wanted").write_text(words)
        shutil.rmtree(folder, ignore_errors=True)
        work.rename(folder)
    return folder / "node_modules"


def _work(target: Path) -> Path:
    """An empty folder beside `target`."""
    work = target.with_name(f"{target.name}.work")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    return work


def _npm(words: list[str], folder: Path) -> None:
    try:
        subprocess.run(["npm", *words], cwd=folder, check=True, timeout=300, capture_output=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as exc:
        pytest.skip(f"npm's registry does not answer: {exc}")
