"""compile_commands.json of a configured QEMU tree: the compiler flags of a real build."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtrace.errors import SourceError
from qtrace.index.generate import TARGETS
from qtrace.index.inputs import Input, Inputs
from qtrace.index.tree import Tree

__all__ = ["Commands"]

# Flags that change the meaning of a file; all others (warnings, code generation, outputs) are left out.
_WITH_VALUE = ("-I", "-D", "-U", "-isystem", "-iquote", "-idirafter", "-include")
_ALONE = ("-std=", "-m64", "-m32", "-mcx16", "-pthread", "-nostdinc")


@dataclass(frozen=True, slots=True)
class Commands:
    """`flags`: name -> arguments, one name for all files with equal flags; `files`: file -> name.

    `source` is the compile_commands.json from which they were read.
    """

    flags: Mapping[str, tuple[str, ...]]
    files: Mapping[str, str]
    source: Input

    @classmethod
    def of(cls, build: Path, tree: Tree) -> Commands:
        """Read `build`/compile_commands.json. Raises SourceError, also if it belongs to another tree."""
        path = build / "compile_commands.json"
        hint = "give a folder in which this tree was configured: qtrace index --source TREE --build DIR"
        try:
            entries = json.loads(path.read_text())
            found = dict(_chosen(entries, tree))
        except OSError as exc:
            raise SourceError(f"{path} cannot be read: {exc.strerror}", hint=hint) from exc
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise SourceError(f"{path} is no compilation database: {exc}", hint=hint) from exc
        if not found:
            raise SourceError(f"{path} compiles no file of {tree.root}", hint=hint)
        names: dict[tuple[str, ...], str] = {}
        files = {file: names.setdefault(words, f"build {len(names) + 1}") for file, words in found.items()}
        source = Inputs(tree.root, tree.root).get(str(path))
        return cls({name: words for words, name in names.items()}, files, source)


def _chosen(entries: Sequence[dict[str, Any]], tree: Tree) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(file of the tree, its flags); a file that is compiled several times has the flags of its first
    target."""
    order = [name for name, _ in TARGETS]
    wanted = set(tree.files)
    best: dict[str, tuple[int, tuple[str, ...]]] = {}
    for entry in entries:
        folder = Path(entry["directory"])
        path = Path(folder, entry["file"]).resolve()
        if not path.is_relative_to(tree.root):
            continue
        file = str(path.relative_to(tree.root))
        if file not in wanted:
            continue
        words = entry["arguments"] if "arguments" in entry else shlex.split(entry["command"])
        rank = next((n for n, name in enumerate(order) if name in entry.get("output", "")), len(order))
        if file not in best or rank < best[file][0]:
            best[file] = rank, tuple(_meaningful(words, folder))
    return iter(sorted((file, words) for file, (_, words) in best.items()))


def _meaningful(words: Sequence[str], folder: Path) -> Iterator[str]:
    """The flags that change the meaning of a file, with absolute folders."""
    rest = iter(words)
    for word in rest:
        option = next((name for name in _WITH_VALUE if word.startswith(name)), "")
        if option:
            value = word[len(option) :] or next(rest, "")
            if option in ("-D", "-U"):
                yield option + value
            elif option == "-include":
                yield from (option, value)
            else:
                yield from (option, str(Path(folder, value)))
        elif word.startswith(_ALONE):
            yield word
