"""A record of everything that this process makes outside itself, so that the next start can remove it.

A context manager removes its own thing; the record is for a process that could not (kill -9, a crash).
Each process has a folder under /run/qtrace named by its pid and start time; a file in it names one
namespace, mount or folder. Only recorded things are ever removed, and only when their owner is dead.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from qtrace.distribution.identity import distribution
from qtrace.errors import LabError, MissingPrerequisite
from qtrace.lab.host.host_rights import CONTAINER_HINT

__all__ = [
    "LABS",
    "STATE",
    "ip",
    "lab_owner",
    "mortal",
    "own",
    "owner_name",
    "private_dir",
    "remove_leftovers",
    "start_time",
    "unique_name",
]

STATE = Path("/run/qtrace")
LABS = STATE / "labs"
_counter = itertools.count(1)


def unique_name() -> str:
    """A name for a namespace that only qtrace uses, and only once: `qt-<pid in hex>-<n>`."""
    return f"qt-{os.getpid():x}-{next(_counter)}"


def mortal(argv: Sequence[str]) -> list[str]:
    """A command that is killed when this process dies: what it makes after that would be nobody's.

    Raises MissingPrerequisite if there is no such program.
    """
    for name in (argv[0], "setpriv"):
        if shutil.which(name) is None:
            raise MissingPrerequisite(f"the program {name!r} is missing", hint=distribution().hint(name))
    return ["setpriv", "--pdeathsig=KILL", "--", *argv]


def ip(*args: str) -> str:
    """Run iproute2's `ip`. Raises LabError with its output, MissingPrerequisite."""
    try:
        said = subprocess.run(
            mortal(["ip", *args]), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120
        )
    except subprocess.TimeoutExpired as exc:
        raise LabError(f"'ip {' '.join(args)}' did not end within {exc.timeout:.0f} s") from exc
    if said.returncode != 0:
        refused = "not permitted" in said.stderr
        raise LabError(
            f"'ip {' '.join(args)}' failed: {said.stderr.strip()}", hint=CONTAINER_HINT if refused else ""
        )
    return said.stdout


@contextlib.contextmanager
def own(kind: str, name: str) -> Iterator[None]:
    """Keep a record of `name` (`netns`, `mount` or `dir`) as long as the block lasts.

    A thing that could not be removed keeps its record, so that the next start finds it. A lab's folder names
    its owner: if another process has taken the name, its lab is neither recorded nor removed.
    """
    record = _home() / f"{kind}-{next(_counter)}"
    try:
        record.write_text(name)
        yield
    finally:
        if not _exists(kind, name, record.parent.name):
            record.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            record.parent.rmdir()


@contextlib.contextmanager
def private_dir(uid: int | None = None, place: Path | None = None) -> Iterator[Path]:
    """A temporary folder (in `place` if it is given) for `uid` and root only; removed at the end."""
    path = Path(place or tempfile.gettempdir(), f"qtrace-{secrets.token_hex(8)}")
    with own("dir", str(path)):
        try:
            path.mkdir(mode=0o700)
            if uid is not None:
                os.chown(path, uid, -1)
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


def remove_leftovers() -> list[str]:
    """Remove things that dead owners left behind; returns their names."""
    removed: list[str] = []
    for home in STATE.glob("*-*"):
        if _alive(home.name):
            continue
        for record in sorted(home.iterdir(), reverse=True):
            kind, name = record.name.split("-")[0], record.read_text()
            if _remove(kind, name, home.name):
                removed.append(f"{kind} {name}")
            record.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            home.rmdir()
    return removed


def _exists(kind: str, name: str, owner: str) -> bool:
    if kind == "netns":
        return Path("/run/netns", name).exists()
    if kind == "mount":
        return os.path.ismount(name)
    return Path(name).exists() and _is_of(Path(name), owner)


def _remove(kind: str, name: str, owner: str) -> bool:
    if kind == "netns" and Path("/run/netns", name).exists() and name.startswith("qt-"):
        with contextlib.suppress(LabError):
            ip("netns", "delete", name)
            return True
    if kind == "mount" and os.path.ismount(name):
        return subprocess.run(["umount", name], capture_output=True).returncode == 0
    if kind == "dir" and _is_of(Path(name), owner) and Path(name).is_dir():
        shutil.rmtree(name, ignore_errors=True)
        return True
    return False


def _is_of(folder: Path, owner: str) -> bool:
    # A random name is unique; a lab's name may belong to another process by now.
    return folder.name.startswith("qtrace-") or (folder.parent == LABS and lab_owner(folder) == owner)


def lab_owner(folder: Path) -> str:
    """The owner of a lab (see `owner_name`), empty if there is no lab."""
    try:
        return (folder / "owner").read_text()
    except OSError:
        return ""


def owner_name() -> str:
    """The name of this process in its records and its labs."""
    return f"{os.getpid()}-{start_time(os.getpid())}"


def _home() -> Path:
    path = STATE / owner_name()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise MissingPrerequisite(f"cannot write to {STATE}: {exc.strerror}", hint="run as root") from exc
    return path


def start_time(pid: int) -> str:
    """Clock ticks since boot at which `pid` started, empty if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _alive(name: str) -> bool:
    pid, _, started = name.partition("-")
    return pid.isdigit() and start_time(int(pid)) == started
