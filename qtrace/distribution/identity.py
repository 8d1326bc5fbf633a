"""The distribution of this machine: os-release(5), matched with the distributions' files."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import shlex
from collections.abc import Mapping
from pathlib import Path

import qtrace.distribution
from qtrace.distribution.base import Distribution
from qtrace.distribution.unknown import Unknown

__all__ = ["distribution", "distributions", "identify"]

_OS_RELEASE = (Path("/etc/os-release"), Path("/usr/lib/os-release"))


@functools.cache
def distribution() -> Distribution:
    """The distribution of this machine."""
    for path in _OS_RELEASE:
        try:
            return identify(path.read_text(errors="replace"))
        except OSError:
            continue
    return Unknown("this system")


def identify(os_release: str) -> Distribution:
    """The distribution named by this text of an os-release: by its ID, else by the first known ID_LIKE, else
    `Unknown`."""
    fields = _fields(os_release)
    name = fields.get("PRETTY_NAME") or fields.get("NAME") or "this system"
    known = distributions()
    for word in (fields.get("ID", ""), *fields.get("ID_LIKE", "").split()):
        if word in known:
            return known[word](name)
    return Unknown(name)


@functools.cache
def distributions() -> Mapping[str, type[Distribution]]:
    """os-release's ID -> the class for it, from every file beside this one."""
    found: dict[str, type[Distribution]] = {}
    for item in pkgutil.iter_modules(qtrace.distribution.__path__):
        module = importlib.import_module(f"qtrace.distribution.{item.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Distribution) and "ids" in vars(value):
                found |= dict.fromkeys(value.ids, value)
    return found


def _fields(text: str) -> dict[str, str]:
    """os-release's assignments; values are quoted like words of a shell."""
    found = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and not key.startswith("#"):
            try:
                found[key] = "".join(shlex.split(value))
            except ValueError:  # no closing quote
                found[key] = value
    return found
