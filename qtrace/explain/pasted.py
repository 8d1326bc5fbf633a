"""Extracts the words of a QEMU command from pasted text, and the descriptors that its shell opens.

The text may be a shell script, a libvirt log, or a line of a terminal. Nothing is expanded or executed.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field

from qtrace.errors import RefusedLine
from qtrace.explain.shown import find_shown, written_by
from qtrace.explain.words import FAR, LARGEST, LEADERS, PROGRAM, SURE

__all__ = ["Pasted", "read_text", "split_text"]

_ENDS = frozenset("&|;<>()")
# Lines of libvirt's log that are no commands: they begin with the time.
_LOGGED = re.compile(r"^\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[^\n]*$", re.MULTILINE)
_OPENED = re.compile(r"(?<![\w'\"])(\d{1,4})(<>|>>|[<>])&?")


@dataclass(slots=True)
class Pasted:
    """`words` of the command; `opened`: descriptor -> the path that the shell opens it with; `writer`: the
    dialect whose log shows it, or empty."""

    words: list[str]
    opened: dict[int, str] = field(default_factory=dict)
    writer: str = ""


def split_text(text: str) -> list[str]:
    """The words of the QEMU command in `text`: continued lines are joined, quoting is a shell's.

    Raises RefusedLine for an unclosed quote, or for several commands.
    """
    return read_text(text).words


def read_text(text: str) -> Pasted:
    """The QEMU command in `text`, and the descriptors that the shell opens. The last command of a log counts.

    Raises RefusedLine for an unclosed quote, or for several commands.
    """
    if len(text) > LARGEST:
        raise RefusedLine(f"this is longer than {LARGEST} characters, so no command line")
    # A shell continues a line after a backslash, Windows' two after a caret and a backquote.
    joined = re.sub(r"\\\r?\n|(?<=[ \t])[\^`]\r?\n", " ", text).replace("\r\n", "\n")
    cleared, log = _LOGGED.subn("", joined)
    opened: dict[int, str] = {}
    commands = [words for command in _commands(cleared) for words in _words(command, opened) if words]
    named = [words for words in commands if _is_command(words)]
    if not named and (shown := find_shown(joined)) is not None:
        return Pasted(shown.words, {}, shown.writer)
    if len(named) > 1 and not log:
        raise RefusedLine(f"there are {len(named)} QEMU commands in this", hint="give one at a time")
    words = named[-1] if named else [word for command in commands for word in command]
    if not words:
        raise RefusedLine("there is no command line in this")
    return Pasted(words, opened, written_by(joined))


def _is_command(words: list[str]) -> bool:
    """Whether QEMU's name is among them as a command's, and not in a sentence or a label ("qemu cmd: …")."""
    start = next((number for number, word in enumerate(words[:FAR]) if PROGRAM.match(word)), None)
    if start is None:
        return False
    after = words[start + 1] if start + 1 < len(words) else ""
    # As in `-L /usr/share/qemu`: an option's value, unless it is one of sudo's or env's.
    value = start > 0 and words[start - 1].startswith("-") and words[0] not in LEADERS
    return (
        not after.endswith((":", ":[")) and "[" not in after and not (value and not SURE.match(words[start]))
    )


def _commands(text: str) -> list[str]:
    """`text` split at its line ends, except for those inside quotes."""
    found, quote, begin, place = [], "", 0, 0
    while place < len(text):
        char = text[place]
        if char == "\\" and quote != "'":
            place += 1
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "\n":
            found.append(text[begin:place])
            begin = place + 1
        place += 1
    return [*found, text[begin:]]


def _words(command: str, opened: dict[int, str]) -> list[list[str]]:
    """The words of each of the commands that `;`, `&&`, `|` and the like part; redirections go to "
    "`opened`."""
    command = command.strip()
    command = command[2:] if command.startswith(("$ ", "# ")) else command
    if command.startswith("#"):
        return []
    lexer = shlex.shlex(command, posix=True, punctuation_chars="".join(_ENDS))
    lexer.whitespace_split = True
    lexer.commenters = ""
    quoted = _quoted(command)
    redirected = {number + mark for number, mark in _OPENED.findall(command)}
    commands: list[list[str]] = [[]]
    descriptor: int | None = None
    skip = False
    try:
        for word in lexer:
            words = commands[-1]
            if word and set(word) <= _ENDS and word not in quoted:
                skip = ">" in word or "<" in word
                if skip:
                    descriptor = _descriptor(words, word, redirected)
                else:
                    commands.append([])
            elif skip:
                skip = False
                if descriptor is not None:
                    opened[descriptor] = word
            elif word.startswith("#") and word not in quoted:
                break  # a comment
            else:
                words.append(word)
    except ValueError as exc:
        raise RefusedLine("a quotation mark is opened and not closed") from exc
    return commands


def _descriptor(words: list[str], mark: str, redirected: set[str]) -> int | None:
    """The descriptor of a redirection, removed from the words: only if it touches the mark."""
    touches = bool(words) and any(words[-1] + mark[:length] in redirected for length in (1, 2))
    return int(words.pop()) if touches else None


def _quoted(command: str) -> set[str]:
    """The quoted texts: shlex returns `'&'` and `&` alike."""
    return set(re.findall(r"'([^']*)'", command)) | set(re.findall(r'"([^"]*)"', command))
