"""Text -> words -> options, as a shell and then QEMU's `lookup_opt` (softmmu/vl.c) split them.

Nothing is expanded and nothing is executed: a variable stays a word with a `$` in it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from qtrace.errors import RefusedLine

__all__ = ["LARGEST", "Line", "Option", "read_line", "split_text"]

LARGEST = 2**17  # characters; Linux itself takes no longer word
_PROGRAM = re.compile(r"(?:.*[/\\])?(?:qemu(?:-system-[\w.+-]+|-kvm)?|kvm)(?:\.exe)?$")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_ENDS = frozenset("&|;<>()")
_FAR = 24  # words in which the program's name is looked for
_SURELY = re.compile(r"(?:.*[/\\])?qemu-system-[\w.+-]+$")  # by its name alone, whatever stands before it
_DASHES = frozenset("\u2010\u2011\u2012\u2013\u2014\u2015\u2212")
_QUOTES = "\u2018\u2019\u201a\u201c\u201d\u201e"
_LEADERS = ("sudo", "exec", "env", "doas", "nohup", "time")


@dataclass(frozen=True, slots=True)
class Option:
    """One option as it was written. `number` is its place on the line, `value` None for a flag."""

    name: str
    value: str | None
    number: int

    @property
    def words(self) -> list[str]:
        """The words to type for it."""
        return [f"-{self.name}"] if self.value is None else [f"-{self.name}", self.value]

    def __str__(self) -> str:
        return " ".join(self.words)


@dataclass(frozen=True, slots=True)
class Line:
    """A command line. `program` is empty where only options were given; `images` are the bare words."""

    program: str
    options: tuple[Option, ...]
    images: tuple[str, ...] = ()
    unknown: tuple[Option, ...] = ()
    remarks: tuple[str, ...] = field(default=())

    @property
    def target(self) -> str:
        """What the program emulates, `x86_64` where its name does not tell."""
        _, named, target = self.program.rpartition("qemu-system-")
        target = target.partition("-")[0]
        if target.endswith(".exe"):  # Windows has each once more with a w, for a program without a console
            target = target.removesuffix(".exe").removesuffix("w")
        return target if named else "x86_64"


def split_text(text: str) -> list[str]:
    """The words of the QEMU command in `text`: continued lines are joined, quotes are a shell's.

    Raises RefusedLine where a quote is not closed, or there are several commands.
    """
    if len(text) > LARGEST:
        raise RefusedLine(f"this is longer than {LARGEST} characters, so no command line")
    # A shell goes on after a backslash, Windows' two after a caret and a backquote.
    joined = re.sub(r"\\\r?\n|(?<=[ \t])[\^`]\r?\n", " ", text).replace("\r\n", "\n")
    commands = [words for command in _commands(joined) for words in _words(command) if words]
    named = [words for words in commands if any(map(_PROGRAM.match, words[:_FAR]))]
    if len(named) > 1:
        raise RefusedLine(f"there are {len(named)} QEMU commands in this", hint="give one at a time")
    words = named[0] if named else [word for command in commands for word in command]
    if not words:
        raise RefusedLine("there is no command line in this")
    return words


def read_line(
    argv: Sequence[str],
    known: Mapping[str, bool],
    *,
    lenient: bool = False,
    removed: Callable[[str], str] = lambda name: "",
) -> Line:
    """The options of a line. `known`: option -> whether a value follows (of the tree's qemu-options.hx);
    `removed`: where the tree says that it removed one.

    Raises RefusedLine for an option that QEMU does not know or whose value is missing; a lenient reader
    lists the first as unknown.
    """
    words = list(argv)
    program, remarks, taken = "", [], False
    start = next((n for n, word in enumerate(words[:_FAR]) if _PROGRAM.match(word)), None)
    launched = next((n for n, word in enumerate(words[:_FAR]) if _SURELY.match(word)), None)
    if start is not None and all(_before_program(word) for word in words[:start]):
        program, words = words[start], words[start + 1 :]
    elif launched is not None and not words[0].startswith("-"):
        remarks.append(f"{shlex.join(words[:launched])!r} is another program's, which starts QEMU")
        program, words = words[launched], words[launched + 1 :]
    elif words and not words[0].startswith("-"):
        taken = True
        remarks.append(f"{words[0]!r} is not called as QEMU is; it is taken for QEMU")
        program, words = words[0], words[1:]
    for word in words:
        if word[:1] in _DASHES:
            raise RefusedLine(
                f"{word!r} begins with a dash that is no '-': to QEMU that is a disk image's name",
                hint="a web page or a word processor has changed it: type it again",
            )
    if any(mark in word for word in words for mark in _QUOTES):
        remarks.append("typographic quotation marks are none to a shell: they are part of the word")
    if any("$" in word for word in words):
        remarks.append("a '$' is taken as it stands: no variable is expanded")
    if any(word.startswith("@") for word in words):
        remarks.append("QEMU has no @FILE: such a word is a disk image's name, or a value as it stands")
    options: list[Option] = []
    images: list[str] = []
    unknown: list[Option] = []
    place = 0
    while place < len(words):
        word = words[place]
        place += 1
        if not word.startswith("-"):
            images.append(word)
            if options and (options[-1].value or "").endswith(",") and "=" in word:
                remarks.append(f"a blank ends a value, also behind a comma: {word!r} is a disk image to QEMU")
            continue
        name = word[2:] if word.startswith("--") else word[1:]
        number = len(options) + len(unknown) + 1
        if name not in known:
            if not lenient:
                raise RefusedLine(f"{word!r} is no option of this QEMU", hint=_unknown(name, known, removed))
            value = words[place] if place < len(words) and not words[place].startswith("-") else None
            place += value is not None
            unknown.append(Option(name, value, number))
            continue
        value = None
        if known[name]:
            if place == len(words):
                raise RefusedLine(f"{word!r} is the last word, but a value must follow it")
            value = words[place]
            place += 1
        options.append(Option(name, value, number))
    if taken and not options:
        raise RefusedLine(f"{program!r} is not called as QEMU is, and has no option of QEMU's")
    return Line(program, tuple(options), tuple(images), tuple(unknown), tuple(remarks))


def _unknown(name: str, known: Mapping[str, bool], removed: Callable[[str], str]) -> str:
    """What may be meant by an option that there is not."""
    head, equals, rest = name.partition("=")
    if equals and known.get(head):
        return f"an option's value is the next word: -{head} {rest}"
    if where := removed(name):
        return f"it was removed: {where} of the tree has what replaces it"
    return "another release (--index) or a distributor's QEMU may have it: --lenient goes on"


def _before_program(word: str) -> bool:
    return word in _LEADERS or bool(_ASSIGNMENT.match(word)) or word.startswith("-")


def _commands(text: str) -> list[str]:
    """`text` cut at its line ends, but for those inside quotes."""
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


def _words(command: str) -> list[list[str]]:
    """The words of each of the commands that `;`, `&&`, `|` and the like part; without redirections."""
    command = command.strip()
    command = command[2:] if command.startswith(("$ ", "# ")) else command
    if command.startswith("#"):
        return []
    lexer = shlex.shlex(command, posix=True, punctuation_chars="".join(_ENDS))
    lexer.whitespace_split = True
    lexer.commenters = ""
    quoted = command_quotes(command)
    commands: list[list[str]] = [[]]
    skip = False
    try:
        for word in lexer:
            if word and set(word) <= _ENDS and word not in quoted:
                words = commands[-1]
                skip = ">" in word or "<" in word
                if skip and words and words[-1].isdigit():
                    words.pop()  # the descriptor's number
                elif not skip:
                    commands.append([])
            elif skip:
                skip = False
            elif word.startswith("#") and word not in quoted:
                break  # a comment
            else:
                commands[-1].append(word)
    except ValueError as exc:
        raise RefusedLine("a quotation mark is opened and not closed") from exc
    return commands


def command_quotes(command: str) -> set[str]:
    """What stands in quotes: shlex gives `'&'` and `&` alike."""
    return set(re.findall(r"'([^']*)'", command)) | set(re.findall(r'"([^"]*)"', command))
