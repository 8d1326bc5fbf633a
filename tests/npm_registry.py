"""What tests take from npm's registry, by its own client. It is kept in the cache, so npm is asked once;
where the registry does not answer, the test is skipped."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from qtrace.cache import atomic_file, cache_dir

_QUIET = ("--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1")


def packed_file(package: str, version: str, member: str) -> Path:
    """One file of a package."""
    folder = cache_dir("npm")
    kept = folder / f"{package.replace('/', '-')}-{version}-{Path(member).name}"
    if not kept.exists():
        with _work() as work:
            _npm(["pack", "--silent", "--fetch-retries=1", f"{package}@{version}"], work)
            (archive,) = work.glob("*.tgz")
            with tarfile.open(archive) as packed, atomic_file(kept) as beside:
                found = packed.extractfile(f"package/{member}")
                assert found, member
                beside.write_bytes(found.read())
    return kept


def installed_packages(name: str, wanted: Mapping[str, str]) -> Path:
    """The folder node_modules with these packages (name -> version) and what they need; none of their
    scripts is run."""
    words = json.dumps({"private": True, "dependencies": dict(sorted(wanted.items()))})
    folder = cache_dir("npm") / f"{name}-{hashlib.sha256(words.encode()).hexdigest()[:12]}"
    if not folder.exists():
        with _work() as work:
            (work / "package.json").write_text(words)
            _npm(["install", *_QUIET], work)
            with contextlib.suppress(OSError):  # another process was first
                work.rename(folder)
    return folder / "node_modules"


@contextlib.contextmanager
def _work() -> Iterator[Path]:
    """An empty folder in the cache, removed unless it was renamed."""
    work = Path(tempfile.mkdtemp(prefix="work-", dir=cache_dir("npm")))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _npm(words: list[str], folder: Path) -> None:
    try:
        subprocess.run(["npm", *words], cwd=folder, check=True, timeout=300, capture_output=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as exc:
        pytest.skip(f"npm's registry does not answer: {exc}")
