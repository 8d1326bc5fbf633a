"""The conditions under which a call is made, in names, read from the text of the user's own tree.

`if (msix_enabled(&proxy->dev)) { msix_notify(…); } else { pci_set_irq(…); }` gives `msix_enabled(dev)` for
the first call and `not msix_enabled(dev)` for the second. The opposite of a branch that returns is a
condition for the code behind it, if the branch does something before (`if (is_msix) { …; return; }`): a mere
check does not distinguish two ways.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from qtrace.store.index import FunctionRow, Index

__all__ = ["BranchConditions", "conditions_in", "conditions_of"]

_TOKEN = re.compile(
    r"""(?P<skip>//[^\n]*|/\*.*?\*/|^[ \t]*\#(?:[^\n\\]|\\.|\\\n)*|\s+)
      | (?P<word>[A-Za-z_]\w*)
      | (?P<rest>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[0-9][\w.]*
                |->|\.\.\.|<<=|>>=|[-+*/%&|^=!<>]=|&&|\|\||<<|>>|\+\+|--|.)
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_LEAVE = ("return", "goto", "break", "continue")
# Calls without an effect on the path (logging and the like): a branch of these alone is a check.
_SAYS = re.compile(
    r"trace_\w*|qemu_log\w*|error_\w*|warn_\w*|g_free|assert|g_assert\w*|\w*(?:DBG|DEBUG|DPRINTF)\w*"
)
_ATOM = re.compile(r"[\w.\[\]]+(?:\([^()]*\))?")
_CHAIN = re.compile(r"(?:\w+(?:\[[^\]]*\])?(?:->|\.))+(?=\w)")
_SPACED = frozenset(("==", "!=", "<=", ">=", "&&", "||", "<<", ">>", "...", *"<>&|+-*/%^?:="))
_UNARY = frozenset("&*!~-+")
_BEFORE_UNARY = _SPACED | frozenset("([,!~")
_LONGEST = 80

Conditions = tuple[str, ...]


class _Token(NamedTuple):
    text: str
    line: int
    word: bool


@lru_cache(maxsize=4)
def conditions_of(index: Index) -> BranchConditions:
    """The same `BranchConditions` for all walks of an index, so that each function is read once."""
    return BranchConditions(index)


class BranchConditions:
    """The conditions in one index's tree; if the tree is missing or changed, no condition is known."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._texts: dict[str, list[str]] = {}
        self._known: dict[int, dict[tuple[int, str], Conditions]] = {}

    def of_call(self, caller: FunctionRow, line: int, callee: str) -> Conditions:
        """The conditions under which `caller` makes the call at that line; `callee` is its name in the text,
        for a field's function the field's name."""
        if caller.id not in self._known:
            self._known[caller.id] = self._read(caller)
        known = self._known[caller.id]
        return known.get((line, callee)) or known.get((line, ""), ())

    def _read(self, function: FunctionRow) -> dict[tuple[int, str], Conditions]:
        end = self._index.end_of(function.name, function.file)
        lines = self._text(function.file)[function.line - 1 : end]
        return conditions_in("\n".join(lines), function.line)

    def _text(self, file: str) -> list[str]:
        if file not in self._texts:
            root, name = self._index.place(file)
            try:
                self._texts[file] = Path(root, name).read_text(errors="replace").splitlines()
            except OSError:
                self._texts[file] = []
        return self._texts[file]


def conditions_in(text: str, first_line: int = 1) -> dict[tuple[int, str], Conditions]:
    """(line, name of the called function, or empty for the line) -> the conditions, of one function."""
    return _Reader(text, first_line).read()


class _Reader:
    """Reads one statement after another, and skips text that it does not understand."""

    def __init__(self, text: str, first_line: int) -> None:
        self.found: dict[tuple[int, str], Conditions] = {}
        self.tokens: list[_Token] = []
        line = first_line
        for match in _TOKEN.finditer(text):
            if match.lastgroup != "skip":
                self.tokens.append(_Token(match[0], line, match.lastgroup == "word"))
            line += match[0].count("\n")
        self.at = 0
        self.left: dict[int, str] = {}  # line of an `if` that returns -> condition for the code behind it

    def read(self) -> dict[tuple[int, str], Conditions]:
        while self.at < len(self.tokens) and self.peek() != "{":  # skip the head of the definition
            self.at += 1
        self.statement(())
        return self.found

    def peek(self) -> str:
        return self.tokens[self.at].text if self.at < len(self.tokens) else ""

    def statement(self, known: Conditions) -> tuple[bool, bool]:
        """Read one statement; whether it always leaves the function, and whether it has an effect."""
        word = self.peek()
        if word == "{":
            return self.block(known)
        if word == "if":
            return self.branch(known)
        if word in ("while", "for", "switch"):
            self.at += 1
            told = _told(self.bracketed(known))
            does = self.block(known, told)[1] if word == "switch" and self.peek() == "{" else None
            return False, self.statement(known)[1] if does is None else does
        if word == "do":
            self.at += 1
            return self.statement(known)
        if word in ("case", "default"):
            self.label()
            return False, False
        return self.expression(known)

    def block(self, known: Conditions, chosen: str = "") -> tuple[bool, bool]:
        """Read `{ … }`; `chosen` is the expression of a switch."""
        self.at += 1
        leaves = does = False
        case: list[str] = []
        more: Conditions = ()
        while self.peek() not in ("}", ""):
            if self.peek() in ("case", "default"):
                case = [*(() if leaves else case), self.label()]
                leaves = False
                continue
            inside = (*known, _one_of(chosen, case)) if case and chosen else known
            start = self.at
            leaves, did = self.statement((*inside, *more))
            does |= did
            if left := self.left.pop(start, ""):
                more = (*more, left)
        self.at += 1
        return leaves, does

    def branch(self, known: Conditions) -> tuple[bool, bool]:
        start = self.at
        self.at += 1
        told = _told(self.bracketed(known))
        leaves, does = self.statement((*known, told))
        if self.peek() != "else":
            if leaves and does:
                self.left[start] = _not(told)
            return False, does
        self.at += 1
        also, did = self.statement((*known, _not(told)))
        return leaves and also, does or did

    def label(self) -> str:
        """Read `case X:` or `default:`."""
        start = self.at
        while self.peek() not in (":", ""):
            self.at += 1
        self.at += 1
        words = [token.text for token in self.tokens[start : self.at - 1]]
        return _told(words[1:]) if words[0] == "case" else ""

    def bracketed(self, known: Conditions) -> list[str]:
        """Read `( … )` and return the tokens inside."""
        start, depth = self.at + 1, 0
        while self.at < len(self.tokens):
            depth += {"(": 1, ")": -1}.get(self.peek(), 0)
            self.note(known)
            self.at += 1
            if depth <= 0:
                break
        return [token.text for token in self.tokens[start : self.at - 1]]

    def expression(self, known: Conditions) -> tuple[bool, bool]:
        """Read up to the `;`, or up to the `{` of a macro that is a loop (`QTAILQ_FOREACH (…) {`)."""
        leaves, does, depth = self.peek() in _LEAVE, False, 0
        while self.at < len(self.tokens):
            word = self.peek()
            if word == "}" and depth == 0:
                break  # a label at a block's end, or text that is not understood
            depth += (word in "([{") - (word in ")]}") if len(word) == 1 else 0
            called = self.note(known)
            does |= called and not _SAYS.fullmatch(word)
            self.at += 1
            if word == ";" and depth == 0:
                break
            if word == ")" and depth == 0 and self.peek() == "{":
                return False, self.block(known)[1]
            if word == ":" and depth == 0 and not leaves:
                return False, does  # a label
        return leaves, does

    def note(self, known: Conditions) -> bool:
        """Record the conditions at this token; whether it is the name of a called function."""
        token = self.tokens[self.at]
        called = token.word and self.at + 1 < len(self.tokens) and self.tokens[self.at + 1].text == "("
        self.found.setdefault((token.line, ""), known)
        if called:
            self.found.setdefault((token.line, token.text), known)
        return called


def _told(words: list[str]) -> str:
    """An expression in names: shortened, and without the pointers that lead to a field."""
    text, before = "", ""
    for word in words:
        unary = word in _UNARY and (not before or before in _BEFORE_UNARY)
        if not (unary and word in "&*"):
            text += f" {word} " if word in _SPACED and not unary else word
            text += " " * (word == ",")
        before = word
    text = re.sub(r"\s+", " ", _CHAIN.sub("", text)).strip()
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1].rstrip() + "…"


def _not(told: str) -> str:
    if told.startswith("not "):
        return told[4:]
    if told.startswith("!") and _ATOM.fullmatch(told[1:]):
        return told[1:]
    return f"not {told}" if _ATOM.fullmatch(told) else f"not ({told})"


def _one_of(chosen: str, cases: list[str]) -> str:
    named = [case for case in cases if case]
    if not named:
        return f"{chosen} is none of the others"
    return f"{chosen} == {named[0]}" if len(named) == 1 else f"{chosen} is {' or '.join(named)}"
