"""The C files of a tree that define each function of external linkage, read as text without a compiler: the
whole tree in a second or two, including files that no index contains."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["defined_functions", "tcg_helper_names"]

# A definition in QEMU's style: the brace of its body begins a line. `static` functions have no external
# linkage.
_DEFINITION = re.compile(
    r"^(?!static\b|typedef\b|else\b|return\b)((?:[A-Za-z_][\w \t*]*[ \t*])?)(?!__attribute__)(\w+)"
    r"\((?:[^;{}()]|\((?:[^;{}()]|\([^;{}()]*\))*\))*\)[^;{}()]*\n\{",
    re.MULTILINE,
)
_STATIC = re.compile(r"static\b[^;{}()]*$")
_INCLUDED = re.compile(r'^#\s*include\s+"([^"]+\.c)"', re.MULTILINE)
_HELPER = re.compile(r"\bDEF_HELPER(?:_FLAGS)?_\d\(\s*(\w+)\s*,")
# No file in these folders is linked into a system emulator.
_APART = frozenset(
    [
        "bsd-user",
        "build",
        "contrib",
        "debian",
        "docs",
        "linux-user",
        "pc-bios",
        "python",
        "roms",
        "scripts",
        "tests",
    ]
)
_HELPERS = ("accel/tcg/*.h*", "target/**/*.h*")  # files that use the macros of include/exec/helper-head.h


def defined_functions(tree: Path) -> Mapping[str, frozenset[str]]:
    """Function -> the C files that define it; several if a build chooses one of them, or if another C file
    includes the file. Functions made by macros or generators are missing. Empty without such a tree."""
    found: dict[str, set[str]] = defaultdict(set)
    includers: dict[str, set[str]] = defaultdict(set)
    for path in _files(tree, "**/*.c"):
        text = _text(path)
        for included in _INCLUDED.findall(text):
            for file in (included, str((path.parent / included).relative_to(tree))):
                includers[file].add(str(path.relative_to(tree)))
        for match in _DEFINITION.finditer(text):
            begin = match.start()
            # The return type, or a part of it, may have a line of its own.
            before = text[text.rfind("\n", 0, max(begin - 1, 0)) + 1 : begin]
            if not _STATIC.match(before):
                found[match[2]].add(str(path.relative_to(tree)))
    return {
        name: frozenset(files.union(*(includers.get(file, ()) for file in files)))
        for name, files in found.items()
    }


def tcg_helper_names(tree: Path) -> frozenset[str]:
    """Names of the TCG helpers that the tree declares, without `helper_`: include/exec/helper-head.h."""
    return frozenset(
        name
        for pattern in _HELPERS
        for path in _files(tree, pattern)
        for name in _HELPER.findall(_text(path))
    )


def _files(tree: Path, pattern: str) -> Iterator[Path]:
    for path in tree.glob(pattern):
        first = path.relative_to(tree).parts[0]
        if first not in _APART and not first.startswith(".") and path.is_file():
            yield path


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
