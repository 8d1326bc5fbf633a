"""Splits words into options, by the rules of QEMU's `lookup_opt` (softmmu/vl.c).

Nothing is expanded or executed: a variable stays a word with a `$` in it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from qtrace.errors import RefusedLine
from qtrace.explain.releases import taken_by

__all__ = ["FAR", "LARGEST", "LEADERS", "PROGRAM", "PROGRAMS", "SURE", "Line", "Option", "read_line"]

LARGEST = 2**17  # characters; Linux allows no longer word
# Names that are certainly QEMU's: its own, those of builds that have one more word (qemu-lite-system-x86_64),
# and those of its build's folder.
PROGRAMS = r"qemu(?:-[a-z]{1,16})?-system-[\w.+-]{1,40}|qemu-\w{1,20}-softmmu"
PROGRAM = re.compile(rf"(?:.*[/\\])?(?:{PROGRAMS}|qemu(?:-kvm)?(?:\.exe)?|kvm(?:\.exe)?)$")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
FAR = 40  # words in which the program's name is searched for
SURE = re.compile(rf"(?:.*[/\\])?(?:{PROGRAMS})$")  # certain by its name alone
_TARGET = re.compile(r"qemu(?:-[a-z]+)?-system-([\w.+]+)|qemu-(\w+)-softmmu$")
_DASHES = frozenset("\u2010\u2011\u2012\u2013\u2014\u2015\u2212")
_QUOTES = "\u2018\u2019\u201a\u201c\u201d\u201e"
LEADERS = ("sudo", "exec", "env", "doas", "nohup", "time")


@dataclass(frozen=True, slots=True)
class Option:
    """One option as written. `number` is its position in the line, `value` None for a flag."""

    name: str
    value: str | None
    number: int

    @property
    def words(self) -> list[str]:
        """The option as words to type."""
        return [f"-{self.name}"] if self.value is None else [f"-{self.name}", self.value]

    def __str__(self) -> str:
        return " ".join(self.words)


@dataclass(frozen=True, slots=True)
class Line:
    """A command line. `program` is empty if only options were given; `images` are the bare words."""

    program: str
    options: tuple[Option, ...]
    images: tuple[str, ...] = ()
    unknown: tuple[Option, ...] = ()
    remarks: tuple[str, ...] = field(default=())

    @property
    def target(self) -> str:
        """The architecture that the program emulates, `x86_64` if its name does not tell."""
        named = _TARGET.search(self.program)
        target = (named[1] or named[2]) if named else ""
        if target.endswith(".exe"):  # on Windows the name of a program without a console has a further w
            target = target.removesuffix(".exe").removesuffix("w")
        return target if named else "x86_64"


def read_line(
    argv: Sequence[str],
    known: Mapping[str, bool],
    *,
    lenient: bool = False,
    removed: Callable[[str], str] = lambda name: "",
    vendors: Mapping[str, bool] | None = None,
) -> Line:
    """The options of a line. `known`: option -> whether a value follows (of the tree's qemu-options.hx);
    `removed`: where the tree documents the removal of an option; `vendors`: options that only a vendor's QEMU
    has.

    Raises RefusedLine for an option that QEMU does not know or whose value is missing. A lenient reader lists
    unknown options instead; a vendor's options are always listed.
    """
    program, words, remarks, taken = _program(list(argv))
    for word in words:
        if word[:1] in _DASHES:
            raise RefusedLine(
                f"{word!r} begins with a dash that is no '-': to QEMU that is a disk image's name",
                hint="a web page or a word processor has changed it: type it again",
            )
    remarks += [said for mark, said in _ODD if any(mark(word) for word in words)]
    taker = _Taker(words, known, vendors or {}, lenient, removed)
    taker.take_all()
    if taken and not taker.options:
        raise RefusedLine(f"{program!r} is not called as QEMU is, and has no option of QEMU's")
    remarks += taker.remarks
    return Line(program, tuple(taker.options), tuple(taker.images), tuple(taker.unknown), tuple(remarks))


def _program(words: list[str]) -> tuple[str, list[str], list[str], bool]:
    """(the program, the words behind it, remarks, whether it is only assumed to be QEMU)."""
    start = next((n for n, word in enumerate(words[:FAR]) if PROGRAM.match(word)), None)
    launched = next((n for n, word in enumerate(words[:FAR]) if SURE.match(word)), None)
    if start is not None and all(_before_program(word) for word in words[:start]):
        return words[start], words[start + 1 :], [], False
    if launched is not None and not words[0].startswith("-"):
        said = f"{shlex.join(words[:launched])!r} is another program's, which starts QEMU"
        return words[launched], words[launched + 1 :], [said], False
    if words and not words[0].startswith("-"):
        said = f"{words[0]!r} is not called as QEMU is; it is taken for QEMU"
        return words[0], words[1:], [said], True
    return "", words, [], False


# Characters in a word that have no meaning for QEMU, and the remark on each.
_ODD: tuple[tuple[Callable[[str], bool], str], ...] = (
    (
        lambda word: any(mark in word for mark in _QUOTES),
        "typographic quotation marks are none to a shell: they are part of the word",
    ),
    (lambda word: "$" in word, "a '$' is taken as it stands: no variable is expanded"),
    (
        lambda word: word.startswith("@"),
        "QEMU has no @FILE: such a word is a disk image's name, or a value as it stands",
    ),
)


class _Taker:
    """Takes the words of a line one option after the other."""

    def __init__(
        self,
        words: list[str],
        known: Mapping[str, bool],
        vendors: Mapping[str, bool],
        lenient: bool,
        removed: Callable[[str], str],
    ) -> None:
        self.words, self.known, self.vendors = words, known, vendors
        self.lenient, self.removed = lenient, removed
        self.options: list[Option] = []
        self.images: list[str] = []
        self.unknown: list[Option] = []
        self.remarks: list[str] = []

    def take_all(self) -> None:
        place = 0
        while place < len(self.words):
            word = self.words[place]
            place += 1
            if not word.startswith("-"):
                self.image(word)
                continue
            name = word[2:] if word.startswith("--") else word[1:]
            value = self.value(word, name, place)
            place += value is not None
            into = self.options if name in self.known else self.unknown
            into.append(Option(name, value, len(self.options) + len(self.unknown) + 1))

    def image(self, word: str) -> None:
        self.images.append(word)
        if self.options and (self.options[-1].value or "").endswith(",") and "=" in word:
            self.remarks.append(
                f"a blank ends a value, also behind a comma: {word!r} is a disk image to QEMU"
            )

    def value(self, word: str, name: str, place: int) -> str | None:
        """The next word, if it is the option's value; None for a flag."""
        following = self.words[place] if place < len(self.words) else None
        if name in self.known or name in self.vendors:
            if not (self.known.get(name) or self.vendors.get(name)):
                return None
            if following is None:
                raise RefusedLine(f"{word!r} is the last word, but a value must follow it")
            return following
        if not self.lenient:
            raise RefusedLine(
                f"{word!r} is no option of this QEMU", hint=_unknown(name, self.known, self.removed)
            )
        return following if following is not None and not following.startswith("-") else None


def _unknown(name: str, known: Mapping[str, bool], removed: Callable[[str], str]) -> str:
    """A hint for an unknown option."""
    head, equals, rest = name.partition("=")
    if equals and known.get(head):
        return f"an option's value is the next word: -{head} {rest}"
    if said := taken_by("option", name):
        return said
    if where := removed(name):
        return f"it was removed: {where} of the tree has what replaces it"
    return "another release (--index) or a distributor's QEMU may have it: --lenient goes on"


def _before_program(word: str) -> bool:
    return word in LEADERS or bool(_ASSIGNMENT.match(word)) or word.startswith("-")
