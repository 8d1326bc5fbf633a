"""The formats of a walk: one file of `formats/` for each, `walk_NAME.py` with `write(walked)`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

import qtrace.report.formats
from qtrace.report.walked import Walked

__all__ = ["walk_formats", "write_walk"]

_PREFIX = "walk_"


def walk_formats() -> list[str]:
    """Their names, in order. No format is imported: a walk as text must start without delay."""
    found = (info.name for info in pkgutil.iter_modules(qtrace.report.formats.__path__))
    return sorted(name.removeprefix(_PREFIX) for name in found if name.startswith(_PREFIX))


def write_walk(walked: Walked, form: str) -> str:
    """The walk in the format `form`, one of `walk_formats()`; it ends with a new line."""
    module = importlib.import_module(f"qtrace.report.formats.{_PREFIX}{form}")
    write: Callable[[Walked], str] = module.write
    return write(walked)
