"""The meson.build files of a tree: the condition of each C file, and whether it is compiled once for each
target.

Read as text, in the only form that QEMU uses: `x_ss.add(when: 'CONFIG_Y', if_true: files('a.c'))`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

__all__ = ["conditions", "named", "once_a_target"]

_ADDED = re.compile(r"^\s*(\w+_ss)\.add(?:_all)?\(((?:[^()]|\([^()]*\))*)\)", re.MULTILINE)
_FILE = re.compile(r"'([\w./-]+\.c)'")
_SET = re.compile(r"\b(\w+_ss)\b")
_SYMBOL = re.compile(r"'(CONFIG_\w+)'")
_ARCHITECTURE = re.compile(r"^hw_arch \+= \{'(\w+)'\s*:\s*(\w+_ss)\}", re.MULTILINE)
_BUILT = re.compile(r"when\s*:(.*?)if_true\s*:(.*?)(?:if_false|$)", re.DOTALL)


def named(root: Path, folder: str) -> list[str]:
    """Every C file of the folder that its meson.build names, in order."""
    return sorted(set(_FILE.findall(_text(root, folder))))


def once_a_target(root: Path, folder: str) -> dict[str, str]:
    """The files that are compiled once for each target -> the one architecture that has them, as the name of
    its folder in target/; empty if several may have them.

    They are the files of the source sets that end up in `specific_ss`, or in a set of `hw_arch`.
    """
    text = _text(root, folder)
    members: dict[str, set[str]] = defaultdict(set)
    inside: dict[str, set[str]] = defaultdict(set)
    for name, rest in _ADDED.findall(text):
        members[name].update(_FILE.findall(rest))
        inside[name].update(_SET.findall(rest))
    owner = {name: architecture for architecture, name in _ARCHITECTURE.findall(text)}
    owner |= dict.fromkeys((name for name in {*members, *inside} if name.startswith("specific_")), "")
    todo = list(owner)
    while todo:
        name = todo.pop()
        new = inside[name] - owner.keys()
        owner |= dict.fromkeys(new, owner[name])
        todo += new
    return {f"{folder}/{file}": owner[name] for name in owner for file in members[name]}


def conditions(root: Path, folder: str) -> dict[str, str]:
    """File -> its configuration symbols, joined by `or` if it is named several times."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for _, rest in _ADDED.findall(_text(root, folder)):
        built = _BUILT.search(rest)
        if built and (needs := " and ".join(_SYMBOL.findall(built[1]))):
            for file in _FILE.findall(built[2]):
                found[f"{folder}/{file}"].setdefault(needs)
    return {file: " or ".join(needs) for file, needs in found.items()}


def _text(root: Path, folder: str) -> str:
    path = root / folder / "meson.build"
    return path.read_text(errors="replace") if path.is_file() else ""
