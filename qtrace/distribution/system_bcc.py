"""The distribution's bcc, seen from a virtual environment that sees no other package of the distribution.

PyPI's `bcc` is something else, so bcc is always the distribution's.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from qtrace.distribution.identity import distribution

__all__ = ["bcc_mend", "find_bcc", "mend_for"]

_SYSTEM = Path("/usr/bin/python3")


class _OnlyBcc(MetaPathFinder):
    """Finds the package `bcc` in `folder`, and nothing else that is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return PathFinder.find_spec(fullname, [str(self.folder)], target) if fullname == "bcc" else None


def find_bcc() -> bool:
    """Whether `import bcc` gives bcc from now on: this Python's own packages have it, or the distribution's
    have, for the same Python version."""
    if _has_bcc():
        return True
    folder = _folder_of_distribution()
    if folder is None or _system_version() != _version():
        return False
    finder = _OnlyBcc(folder)
    sys.meta_path.insert(0, finder)  # before PyPI's, should that be here
    importlib.invalidate_caches()
    if "bcc" not in sys.modules and _has_bcc():
        return True
    sys.meta_path.remove(finder)
    return False


def bcc_mend() -> tuple[str, str]:
    """Why there is no bcc, and the one command that mends it."""
    return mend_for(_folder_of_distribution(), _system_version(), _version())


def mend_for(folder: Path | None, theirs: str, ours: str) -> tuple[str, str]:
    """As `bcc_mend`, where the distribution's bcc is in `folder` for Python `theirs`, and this is `ours`."""
    if folder is None:
        return "bcc, which only the distribution has, is not installed", distribution().hint("bcc")
    if theirs != ours:
        return (
            f"bcc is installed for Python {theirs} ({folder}), and this is Python {ours}",
            f"run: {_SYSTEM} -m venv --system-site-packages VENV, and install qtrace there",
        )
    return (
        f"bcc is installed ({folder}), and this Python does not see it",
        f"run: {_SYSTEM} -m venv --system-site-packages --upgrade {sys.prefix}",
    )


def _has_bcc() -> bool:
    """PyPI's package of the same name has no libbcc in it."""
    spec = importlib.util.find_spec("bcc")
    folders = spec.submodule_search_locations if spec else None
    return any(Path(folder, "libbcc.py").is_file() for folder in folders or ())


def _folder_of_distribution() -> Path | None:
    """Where the distribution keeps Python packages, if bcc is among them."""
    places = [Path("/usr/lib/python3/dist-packages")]
    places += sorted(Path("/usr").glob("lib*/python3.*/site-packages"), reverse=True)
    return next((place for place in places if (place / "bcc" / "libbcc.py").is_file()), None)


def _system_version() -> str:
    """`3.13`, as the name of the program says that the distribution's python3 is a link to."""
    try:
        return _SYSTEM.resolve().name.removeprefix("python")
    except OSError:
        return ""


def _version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"
