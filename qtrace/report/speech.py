"""The language in which a report is written: for as long as it is, as a locale is for a program.

The English sentences stand where they are said; languages/ has them in the others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from qtrace.wordbook import ENGLISH, Wordbook, language_names, load_wordbook

__all__ = ["ENGLISH", "report_languages", "say", "speaking", "spoken", "told"]

# The rooms whose sentences a report repeats.
_ROOMS = ("qtrace.report", "qtrace.path", "qtrace.explain", "qtrace.lab")
_SPOKEN: ContextVar[Wordbook | None] = ContextVar("spoken", default=None)


def report_languages() -> list[str]:
    """The languages that a report can have."""
    return language_names(_ROOMS[0])


@contextlib.contextmanager
def speaking(language: str) -> Iterator[Wordbook]:
    """Within it every sentence is in this language. Raises LanguageError."""
    book = load_wordbook(language, *_ROOMS)
    token = _SPOKEN.set(book)
    try:
        yield book
    finally:
        _SPOKEN.reset(token)


def spoken() -> Wordbook:
    """The language that is spoken: English, unless another was begun."""
    return _SPOKEN.get() or load_wordbook(ENGLISH, *_ROOMS)


def say(english: str, **values: object) -> str:
    """A sentence in the language that is spoken, with its values."""
    return spoken().say(english, **values)


def told(text: str) -> str:
    """A text of an analysis or of a stored run, in the language that is spoken if it is one of ours."""
    return spoken().told(text)
