"""What tests take from npm's registry, by its own client. It is kept in the cache, so npm is asked once;
where the registry does not answer, the test is skipped. Anything else that npm cannot do is a failure."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from qtrace.cache import atomic_file, cache_dir

_WORDS = ("--loglevel=error", "--fetch-retries=1")
# npm's codes for a registry that cannot be reached. What it does not have is E404 or ETARGET.
_AWAY = re.compile(
    r"\b(ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|E5\d\d)\b"
)


def packed_file(package: str, version: str, member: str) -> Path:
    """One file of a package."""
    folder = cache_dir("npm")
    kept = folder / f"{package.replace('/', '-')}-{version}-{Path(member).name}"
    if not kept.exists():
        with _work() as work:
            _npm(["pack", *_WORDS, f"{package}@{version}"], work)
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
            _npm(["install", *_WORDS, "--no-audit", "--no-fund", "--ignore-scripts"], work)
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
        done = subprocess.run(["npm", *words], cwd=folder, timeout=300, capture_output=True, text=True)
    except subprocess.TimeoutExpired as exc:
        pytest.skip(f"npm's registry does not answer: {exc}")
    if away := _AWAY.search(done.stderr):
        pytest.skip(f"npm's registry does not answer: {away[0]}")
    assert done.returncode == 0, done.stderr[-1000:]
