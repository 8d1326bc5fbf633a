"""A QEMU command that another program shows, in its log or on its terminal.

Programs print a command in the notation of their language: Go and Python a list in brackets, some of it
quoted and some not, Rust a struct; others a label before a shell's words; a log has all of that within quotes
of its own. What stands just before the command may tell who wrote it (`dialects`). Nothing is executed.
"""

from __future__ import annotations

import itertools
import json
import re
import shlex
from dataclasses import dataclass

from qtrace.explain.dialect import dialects
from qtrace.explain.words import PROGRAMS

__all__ = ["Shown", "find_shown", "written_by"]

# No pattern may look far ahead from many places: a text has up to 131,072 characters.
_FAR = 400  # characters of a path, and of what stands before a command and says that it is one
_MENTIONS = 64  # so many times a line may name QEMU before its command
# A program's name: not the one in "qemu-system-x86_64: error".
_CALLED = re.compile(rf"""(?<![\w-])(?:{PROGRAMS})(?=[\s"'\],]|:\s?(?:\[\]string)?[\[{{]|\Z)""")
_PATH = re.compile(r"""[^\s"'\[\]{},=]*\Z""")
_LISTED = re.compile(r"""\s*(?:\[\]string)?[\[{]\s*""")
_TEXT = re.compile(r"""\s*,?\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""", re.DOTALL)
# Between the program and a list of its arguments: ` with: [-name`, `: []string{"-name"`.
_BETWEEN = re.compile(r"""["']?\s?(?:with)?:\s?(?=(?:\[\]string)?[\[{])""")
# A label before arguments without a program.
_ARGUMENTS = re.compile(
    r"""(?:^|(?<=[\s"']))(?:Running|args|arguments|cmdline|params)["']?:\s{1,8}(?=-[a-zA-Z])"""
)
# Words before a command that is shown, where no writer is known by it.
_LABEL = re.compile(
    r"(?:\bwith|\bRunning|\bLaunching|\bExecuting|\bStarting|\bcmd|\bcommand(?:[ _-]line)?|\bcmdline)"
    r"""["']?(?: is)? ?:? {0,8}["'\[{]{0,4}\Z""",
    re.IGNORECASE,
)
# What a struct's notation adds behind a command's words.
_ENDED = re.compile(r""",\s?(?:kill_on_drop|envs?|current_dir)\b.*\Z|\}\Z""")
_NAMED = re.compile(r"\b(qemu-(?:system-)?\w{1,20}?(?:-softmmu)?):")
_OPENED = re.compile(r"\[\]string\{[^}]*\Z")


@dataclass(frozen=True, slots=True)
class Shown:
    """`words` of the command; `writer` is the dialect's name that its log tells, or empty."""

    words: list[str]
    writer: str = ""


def find_shown(text: str) -> Shown | None:
    """The last command that is shown in a text; None where there is none."""
    found = None
    for line in _lines(text):
        found = _of_line(line) or found
    if found is not None and found.words[0].startswith("-") and (named := _NAMED.search(text)):
        found = Shown([named[1], *found.words], found.writer)
    return found


def _lines(text: str) -> list[str]:
    """Lines; those that Go's notation of a list goes on over are one."""
    found: list[str] = []
    opened: list[str] = []
    for line in text.splitlines():
        if opened:
            opened.append(line)
        if "}" in line and opened:
            found.append(" ".join(opened))
            opened = []
        elif not opened and _OPENED.search(line):
            opened = [line]
        elif not opened:
            found.append(line)
    return [*found, " ".join(opened)] if opened else found


def _of_line(line: str) -> Shown | None:
    line = _message(line)
    for program in itertools.islice(_CALLED.finditer(line), _MENTIONS):
        if words := _from_program(line, program):
            return Shown(words, written_by(line))
    if label := _ARGUMENTS.search(line):
        return Shown(_blanks_or_shell(line[label.end() :]), written_by(line))
    return None


def _message(line: str) -> str:
    """A log's message: the text in `msg` of a line of JSON, or behind `msg=` in quotes."""
    if line.lstrip().startswith("{"):
        try:
            data = json.loads(line)
        except (ValueError, RecursionError):
            data = None
        for name in ("msg", "message") if isinstance(data, dict) else ():
            if isinstance(data.get(name), str):
                return str(data[name])
    if match := re.search(r'\bmsg="((?:[^"\\]|\\.)*)"', line):
        return re.sub(r"\\(.)", r"\1", match[1])
    return line


def _from_program(line: str, match: re.Match[str]) -> list[str]:
    """The words of a command whose program stands there; empty where it is only mentioned."""
    path = _PATH.search(line[max(0, match.start() - _FAR) : match.start()])
    start = match.start() - len(path[0] if path else "")
    before, rest = line[max(0, start - _FAR) : start], line[match.end() :]
    if (between := _BETWEEN.match(rest)) is not None:
        return _list(rest[between.end() :], line[start : match.end()])
    quote = before[-1:] if before[-1:] in ("'", '"') else ""
    outside = before.removesuffix(quote).rstrip()
    if outside.endswith(("[", "{")):
        return _list(f"[{quote}{line[start:]}", "")
    if quote and re.match(rf"{quote}\s{{1,8}}{quote}", rest):  # "program" "argument" …
        return _shell(line[start - 1 :])
    if not _LABEL.search(before):
        return []
    if quote:  # the whole command is quoted
        whole = re.match(rf"((?:[^{quote}\\]|\\.)*){quote}", line[start:])
        return _shell(whole[1]) if whole else []
    return _shell(line[start:])


def _list(text: str, program: str) -> list[str]:
    """Words in brackets, quoted or parted by blanks only; `program` comes before them if it is not empty."""
    start = _LISTED.match(text)
    if start is None:
        return []
    place, words = start.end(), [program] if program else []
    if not _TEXT.match(text, place):
        closed = text.rfind("]")
        inside = text[place:closed] if closed >= place else text[place:]
        return [*words, *inside.split()]
    while (item := _TEXT.match(text, place)) is not None:
        words.append(_unquoted(item[1]))
        place = item.end()
    return words


def _unquoted(text: str) -> str:
    if text.startswith('"'):
        try:
            return str(json.loads(text))
        except ValueError:
            pass
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def _shell(text: str) -> list[str]:
    """A shell's words, up to what a struct's notation adds."""
    return _blanks_or_shell(_ENDED.sub("", text.rstrip()))


def _blanks_or_shell(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # JSON that is not quoted, as a join with blanks leaves it
        return text.split()


def written_by(text: str) -> str:
    """The dialect whose program shows a command in this text, or empty."""
    return next((one.name for one in dialects() if one.log is not None and one.log.search(text)), "")
