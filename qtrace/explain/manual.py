"""qemu-options.hx of a tree: the list of options, and the documentation of each back end's options.

Used if the schema has no documentation or no default. Macros in a default are looked up in the tree.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from qtrace.errors import SourceError

__all__ = ["Manual", "read_manual"]

_DEF = re.compile(r'^DEF\("([^"]+)",\s*(0|HAS_ARG)', re.MULTILINE)
_TERM = re.compile(r"^( *)``(.+?)``\s*$")
_PIECE = re.compile(r'"((?:[^"\\]|\\.)*)"|([A-Z][A-Z0-9_]+)')
_REMOVED = "docs/about/removed-features.rst"
_HEADERS = ("include/net/net.h", "net/tap.h", "net/tap-linux.h", "include/net/tap.h", "net/tap_int.h")
# The values of the build's macros if the packager changed nothing.
_USUAL = {"CONFIG_SYSCONFDIR": "/etc", "CONFIG_QEMU_HELPERDIR": "/usr/lib/qemu"}


class Manual:
    """`options`: name -> whether a value follows."""

    def __init__(self, root: Path, text: str) -> None:
        self._root = root
        self._text = text
        self.options = {name: kind == "HAS_ARG" for name, kind in _DEF.findall(text)}
        self._terms: dict[str, dict[str, tuple[str, int]]] = {}
        self._usage: dict[str, str] = {}

    def removed(self, option: str) -> str:
        """FILE:LINE where the tree documents the removal of an option and its replacement; else empty."""
        path = self._root / _REMOVED
        text = path.read_text(errors="replace") if path.is_file() else ""
        found = re.search(rf"^``-{re.escape(option)}``", text, re.MULTILINE)
        return f"{_REMOVED}:{text.count(chr(10), 0, found.start()) + 1}" if found else ""

    def section(self, option: str) -> tuple[int, int]:
        """Begin and end of an option's usage text in qemu-options.hx, in characters."""
        begin = self._text.find(f'DEF("{option}", ')
        end = self._text.find("\nDEF(", begin + 1)
        return (begin, end if end > 0 else len(self._text)) if begin >= 0 else (0, 0)

    def usage(self, netdev: str) -> str:
        """The usage text of `-netdev NETDEV`, macros between «»."""
        if netdev not in self._usage:
            begin, end = self.section("netdev")
            lines = [line for line in self._text[begin:end].split("\n") if not line.startswith("#")]
            said = "".join(
                quoted.replace("\\n", "\n") if not macro else f"«{macro}»"
                for quoted, macro in _PIECE.findall("\n".join(lines[1:]).partition("\nSRST")[0])
            )
            blocks = re.split(r"^(?=-netdev )", said, flags=re.MULTILINE)
            mine = [block for block in blocks if re.match(rf"-netdev {re.escape(netdev)}[,\[ \n]", block)]
            self._usage[netdev] = "".join(mine)
        return self._usage[netdev]

    def meaning(self, netdev: str, option: str) -> tuple[str, int]:
        """(documentation of an option, its line); empty if there is none."""
        if netdev not in self._terms:
            self._terms[netdev] = self._read_terms(netdev)
        if option in self._terms[netdev]:
            return self._terms[netdev][option]
        for statement in re.split(r"\n\s*use ", self.usage(netdev))[1:]:
            named = re.match(r"['`]*(?:\[\w+\])?([\w.-]+)=", statement)
            if named and named[1] == option:
                text = " ".join(self._expand(statement).replace("'", "").split())
                return f"use {text}", self._line(f"use {statement.split(chr(10))[0][:30]}")
        return "", 0

    def default(self, netdev: str, option: str) -> str:
        """The default in the usage text, beside the option's placeholder."""
        usage = self.usage(netdev)
        placeholder = re.search(rf"[\[,]{re.escape(option)}=([\w]+)", usage)
        if not placeholder:
            return ""
        named = re.search(
            rf"(?:'{placeholder[1]}\b'?|a {option_word(option)}\b)"
            r"[^()]{0,30}\(default=([^)]*)\)",
            usage,
        )
        return self._expand(named[1]) if named else ""

    def _expand(self, text: str) -> str:
        return re.sub(r"«(\w+)»", lambda match: self._macro(match[1]), text)

    def _macro(self, name: str, depth: int = 0) -> str:
        if name in _USUAL:
            return _USUAL[name]
        for header in _HEADERS:
            path = self._root / header
            text = path.read_text(errors="replace") if path.is_file() else ""
            found = re.search(rf"^#\s*define {name} (.+)$", text, re.MULTILINE)
            if found and depth < 4:
                return "".join(
                    quoted if not macro else self._macro(macro, depth + 1)
                    for quoted, macro in _PIECE.findall(found[1])
                )
        return name

    def _read_terms(self, netdev: str) -> dict[str, tuple[str, int]]:
        """Option -> (text, line) of the definition list below ``-netdev NETDEV,…``."""
        found: dict[str, tuple[str, int]] = {}
        lines = self._text.split("\n")
        inside = False
        number = 0
        while number < len(lines):
            term = _TERM.match(lines[number])
            if term and not term[1]:
                inside = bool(re.match(rf"-netdev {re.escape(netdev)}[,\[]", term[2]))
            elif term and inside and len(term[1]) == 4:
                body, end = [], number + 1
                while end < len(lines) and (lines[end].startswith(" " * 8) or not lines[end].strip()):
                    body.append(lines[end].strip())
                    end += 1
                text = " ".join(" ".join(body).partition(" .. ")[0].partition("Example:")[0].split())
                for name in re.findall(r"([\w.-]+)=", term[2].replace("[", "=")):
                    found.setdefault(name, (text.replace("``", ""), number + 1))
            number += 1
        return found

    def _line(self, text: str) -> int:
        place = self._text.find(text[:24])
        return self._text.count("\n", 0, place) + 1 if place > 0 else 0


def option_word(option: str) -> str:
    """The usage text's word for an option without a placeholder of its own."""
    return {"br": "bridge"}.get(option, option)


@lru_cache(maxsize=4)
def read_manual(root: Path) -> Manual:
    """The option table of a tree. Raises SourceError if it cannot be read."""
    path = root / "qemu-options.hx"
    try:
        return Manual(root, path.read_text(errors="replace"))
    except OSError as exc:
        raise SourceError(
            f"the indexed tree no longer exists: {path}: {exc.strerror}",
            hint="make the index again: qtrace index",
        ) from exc
