"""The on-board NIC of other targets' boards, from the board's files in hw/: versatilepb's smc91c111.

A board's files are its own and those of the chips that it includes (hw/arm/raspi.c includes bcm2836.h, so
bcm2836.c is one). Where a condition of the board's own decides, the NIC is unknown. It is needed only for
-nic and -net nic. Buses and slots of these machines are unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

__all__ = ["NO_NIC", "board_file", "board_nic"]

NO_NIC = "none"  # of a board whose files make no NIC for -nic
# Target -> its folder of hw/.
_FOLDERS = {
    **dict.fromkeys(("arm", "aarch64"), "arm"),
    **dict.fromkeys(("riscv32", "riscv64"), "riscv"),
    **dict.fromkeys(("ppc", "ppc64"), "ppc"),
    **dict.fromkeys(("mips", "mipsel", "mips64", "mips64el"), "mips"),
    **dict.fromkeys(("sh4", "sh4eb"), "sh4"),
    **dict.fromkeys(("xtensa", "xtensaeb"), "xtensa"),
    **dict.fromkeys(("microblaze", "microblazeel"), "microblaze"),
    **{name: name for name in ("alpha", "hppa", "m68k", "s390x", "sparc", "sparc64")},
    "loongarch64": "loongarch",
    "or1k": "openrisc",
}
_NAME = r'(?:"([\w.-]+)"|(TYPE_\w+))'
# The code with which a board names its NIC, the surest first; in each the first match counts.
_NICS = (
    re.compile(r'default_nic = "([\w.-]+)"()'),
    re.compile(r'!nd->model \|\|\s*strcmp\(nd->model, "([\w.-]+)"()'),
    re.compile(r'nd->model = g_strdup\("([\w.-]+)"\)()'),
    re.compile(rf"qemu_(?:find_nic_info|create_nic_device)\({_NAME}"),
    re.compile(rf"qemu_check_nic_model\(&nd_table\[\w+\], {_NAME}"),
    re.compile(r"\b(\w+)_init\((?:&nd_table\[0\]|nd\b)()"),
    re.compile(r'pci_init_nic_(?:in_slot|devices)\([^,;]+, "([\w.-]+)"()'),
    re.compile(r'pci_nic_init_nofail\([^;"]*"([\w.-]+)"()'),
)
# What a board that makes a NIC for -nic has in its files at least.
_MAKES = re.compile(r"\bnd_table\b|\bqdev_set_nic_properties\b|\b(?:qemu|pci)_\w*nic\w*\(|\bdefault_nic\b")
_INCLUDED = re.compile(r'^#include "hw/(\w+)/([\w.-]+)\.h"', re.MULTILINE)
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_FUNCTION = re.compile(r"^[a-zA-Z][\w \t*]*?\b(\w+)\([^;{}]*\)\s*\n\{(.*?)^\}", re.MULTILINE | re.DOTALL)
_INIT = r"->init = (\w+);"
_ASKS = re.compile(r"\b(?:nd|nd_table|nic|used)\b|nic_|bus\b")
_TYPE = re.compile(r'^#define (TYPE_\w+)\s+"([\w.-]+)"', re.MULTILINE)


def board_nic(root: Path, target: str, machine: str) -> str:
    """The type of the board's own NIC; `NO_NIC` if it makes none, empty if its files do not tell."""
    path = board_file(root, target, machine)
    if path is None:
        return ""
    texts = [_of_machine(_text(path), machine), *_of_chips(root, path)]
    types = _nic_types(root)
    used = {types[word] for text in texts for word in set(re.findall(r"\bTYPE_\w+", text)) if word in types}
    if not any(map(_MAKES.search, texts)):
        return "" if used else NO_NIC
    for rule in _NICS:
        found = [(text, match) for text in texts for match in rule.finditer(text)]
        names = {_type_of(types.get(match[2], match[1]), types) for _, match in found} - {""}
        if names:
            sure = len(names) == 1 and not all(_depends(text, match.start()) for text, match in found)
            return names.pop() if sure else ""
    return used.pop() if len(used) == 1 else ""


def _type_of(name: str | None, types: Mapping[str, str]) -> str:
    """The type that a name of a model means: itself, an alias of -nic, or the only type that begins so."""
    known = set(types.values())
    if not name or name in known or name.startswith(("virtio", "spapr")):
        return name or ""
    longer = [one for one in known if one.startswith(f"{name}_")]
    return longer[0] if len(longer) == 1 else ""


def _of_machine(text: str, machine: str) -> str:
    """A board's file without what runs for its other machines only: functions that their inits call, and
    this machine's does not."""
    functions = {match[1]: match for match in _FUNCTION.finditer(text)}
    name = re.escape(machine)
    setup = re.search(
        rf'MACHINE_(?:VER_)?TYPE_NAME\("{name}-?"\).*?class_init\s*=\s*(\w+)'
        rf'|DEFINE_MACHINE\w*\("{name}", (\w+)\)',
        text,
        re.DOTALL,
    )
    body = functions.get((setup[1] or setup[2]) if setup else "")
    own = re.search(_INIT, body[2]) if body else None
    if own is None or own[1] not in functions:
        return text
    mine = _reached(own[1], functions)
    others = set[str]().union(*(_reached(init, functions) for init in re.findall(_INIT, text)))
    for match in sorted((functions[one] for one in others - mine), key=lambda match: -match.start()):
        text = text[: match.start()] + text[match.end() :]
    return text


def _reached(start: str, functions: Mapping[str, re.Match[str]]) -> set[str]:
    """The functions of a file that one of them names, directly or not, with itself."""
    waiting, seen = [start], {start}
    while waiting:
        match = functions.get(waiting.pop())
        called = {word for word in re.findall(r"\w+", match[2]) if word in functions} if match else set()
        waiting += called - seen
        seen |= called
    return seen & functions.keys()


def _depends(text: str, place: int) -> bool:
    """Whether the code there runs on a condition of the board's own, and not for each -nic."""
    lines = text[: text.find("\n", place)].split("\n")
    indent = len(lines[-1]) - len(lines[-1].lstrip())
    for line in reversed(lines[:-1]):
        inner = len(line) - len(line.lstrip())
        if line.strip() and inner < indent:
            indent = inner
            if re.match(r"\s*(?:\} else )?if \(|\s*\} else", line) and not _ASKS.search(line):
                return True
        if not indent:
            break
    return False


def _of_chips(root: Path, path: Path) -> Iterator[str]:
    """The text of the files of the chips that a board's file includes, each once."""
    waiting, seen = [path], {path}
    while waiting:
        at = waiting.pop(0)
        text = _text(at)
        if at != path:
            yield text
        for folder, name in _INCLUDED.findall(text):
            if folder != path.parent.name:
                continue
            header = root / "include" / "hw" / folder / f"{name}.h"
            for other in (path.with_name(f"{name}.c"), header):
                if other not in seen and other.is_file():
                    seen.add(other)
                    waiting.append(other)


@lru_cache(maxsize=4)
def _nic_types(root: Path) -> Mapping[str, str]:
    """The macro of each NIC's type -> the type; a type without a macro stands for itself."""
    files = [*sorted((root / "include/hw/net").glob("*.h")), *sorted((root / "hw/net").glob("*.[ch]"))]
    texts = [_text(file) for file in files if "can" not in file.stem.split("-")]
    found = {name: name for text in texts for name in re.findall(r'\.name\s*=\s*"([\w.-]+)"', text)}
    return found | {macro: name for text in texts for macro, name in _TYPE.findall(text)}


def board_file(root: Path, target: str, machine: str) -> Path | None:
    """The file of hw/ that defines a machine: by its name, or by its versions' name (virt-7.2)."""
    family = re.sub(r"-\d[\w.]*$", "", machine)
    for path, text in _sources(root / "hw" / _FOLDERS.get(target, "-")):
        for name in filter(None, dict.fromkeys((machine, family))):
            written = re.escape(name)
            made = rf'(?:MACHINE_TYPE_NAME|DEFINE_MACHINE)\w*\("{written}-?"|alias = "{written}"'
            if re.search(rf'{made}|MACHINE_VER_TYPE_NAME\("{written}"', text):
                return path
    return None


@lru_cache(maxsize=8)
def _sources(folder: Path) -> list[tuple[Path, str]]:
    return [(path, _text(path)) for path in sorted(folder.glob("*.c"))]


@lru_cache(maxsize=512)
def _text(path: Path) -> str:
    """Without its comments."""
    return _COMMENT.sub(" ", path.read_text(errors="replace"))
