"""The folder for downloads and derived files, and the locks with which several processes share it.

Everything under `cache_dir()` can be deleted at any time and is made again when needed. `XDG_CACHE_HOME` and
`QTRACE_CACHE` choose another place.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from qtrace.errors import MissingPrerequisite

__all__ = [
    "atomic_dir",
    "atomic_file",
    "cache_dir",
    "exclusive",
    "free_space",
    "hold",
    "locked",
    "need_space",
]


def cache_dir(*parts: str) -> Path:
    """The folder `parts` inside the cache, created if it does not exist."""
    given, shared = os.environ.get("QTRACE_CACHE"), os.environ.get("XDG_CACHE_HOME", "").strip()
    try:
        root = Path(given) if given else Path(shared or Path.home() / ".cache", "qtrace")
    except RuntimeError as exc:  # a user without a home folder
        raise MissingPrerequisite(str(exc), hint="set QTRACE_CACHE to a folder you can write to") from exc
    path = root.joinpath(*parts)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise MissingPrerequisite(
            f"cannot make the cache folder {path}: {exc.strerror}",
            hint="set QTRACE_CACHE to a folder you can write to",
        ) from exc
    return path


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the cache's lock `name`; a second process waits. The kernel releases it if this process dies."""
    with _lock_file(name) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def exclusive(name: str, waiting: Callable[[], None]) -> Iterator[None]:
    """As `locked`, but calls `waiting` once if another process holds it."""
    with _lock_file(name) as handle:
        if not hold(handle.fileno()):
            waiting()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def hold(descriptor: int) -> bool:
    """Lock an open file against everybody who opens it by itself; False where another has locked it.

    The lock ends when the last copy of the descriptor is closed, in this process and its children.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_file(name: str) -> TextIO:
    path = cache_dir("locks") / f"{name}.lock"
    try:
        return path.open("w")
    except OSError as exc:
        raise MissingPrerequisite(
            f"cannot write {path}: {exc.strerror}",
            hint="set QTRACE_CACHE to a folder you can write to",
        ) from exc


@contextlib.contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """A temporary name beside `target`: the file becomes `target` if the block succeeds, else it is
    removed."""
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        yield beside
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_dir(target: Path) -> Iterator[Path]:
    """A folder to fill; it becomes `target` if the block succeeds, else it is removed.

    So `target` is either complete or absent, even after an interruption.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    work.chmod(0o755)
    try:
        yield work
        if target.exists():
            shutil.rmtree(target)
        work.rename(target)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def free_space(path: Path) -> int:
    """Free space in MiB on the file system of `path`."""
    return shutil.disk_usage(path).free // 2**20


def need_space(path: Path, megabytes: int, what: str) -> None:
    """Raise MissingPrerequisite unless `path`'s file system has `megabytes` free for `what`."""
    free = free_space(path)
    if free < megabytes:
        raise MissingPrerequisite(
            f"{path} has {free} MB free; {what} needs {megabytes} MB",
            hint="free some space, or set QTRACE_CACHE to a folder on a larger disk",
        )
