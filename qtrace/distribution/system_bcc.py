"""The distribution's bcc, made visible in a virtual environment without the distribution's other packages.

PyPI's `bcc` is an unrelated package, so bcc always comes from the distribution.
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
    """Finds the package `bcc` in `folder`, and no other package in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return PathFinder.find_spec(fullname, [str(self.folder)], target) if fullname == "bcc" else None


def find_bcc() -> bool:
    """Make `import bcc` work, if possible, and tell whether it does: from this Python's own packages, or from
    the distribution's packages if they are for the same Python version."""
    if _has_bcc():
        return True
    folder = _folder_of_distribution()
    if folder is None or _system_version() != _version():
        return False
    finder = _OnlyBcc(folder)
    sys.meta_path.insert(0, finder)  # before PyPI's bcc, if that is installed
    importlib.invalidate_caches()
    if "bcc" not in sys.modules and _has_bcc():
        return True
    sys.meta_path.remove(finder)
    return False


def bcc_mend() -> tuple[str, str]:
    """The reason why bcc is missing, and the one command that installs it."""
    return mend_for(_folder_of_distribution(), _system_version(), _version())


def mend_for(folder: Path | None, theirs: str, ours: str) -> tuple[str, str]:
    """`bcc_mend`, where the distribution's bcc is in `folder` for Python `theirs`, and this Python is
    `ours`."""
    if folder is None:
        return "bcc, a package of the distribution, is not installed", distribution().hint("bcc")
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
    """Whether bcc with libbcc is importable; PyPI's package of the same name has no libbcc."""
    spec = importlib.util.find_spec("bcc")
    folders = spec.submodule_search_locations if spec else None
    return any(Path(folder, "libbcc.py").is_file() for folder in folders or ())


def _folder_of_distribution() -> Path | None:
    """The distribution's folder of Python packages, if it contains bcc."""
    places = [Path("/usr/lib/python3/dist-packages")]
    places += sorted(Path("/usr").glob("lib*/python3.*/site-packages"), reverse=True)
    return next((place for place in places if (place / "bcc" / "libbcc.py").is_file()), None)


def _system_version() -> str:
    """The version of the distribution's python3, `3.13`, from the name of the program that it links to."""
    try:
        return _SYSTEM.resolve().name.removeprefix("python")
    except OSError:
        return ""


def _version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"
