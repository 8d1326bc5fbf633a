"""The languages of the posts as data: words of pictures and tables, and the glossary that the texts keep
to."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from qtrace import wordbook

__all__ = ["Language", "Term", "language_names", "load_language"]


@dataclass(frozen=True, slots=True)
class Term:
    """A word of the series: `avoid` are words that a reader of it would stumble over."""

    term: str
    english: str
    meaning: str
    avoid: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Language:
    """`html` is the tag of BCP 47, `words` by the key that the drawings use,
    `reading` are (title, address) of what to read next."""

    name: str
    html: str
    words: dict[str, str]
    glossary: tuple[Term, ...]
    reading: tuple[tuple[str, str], ...]

    def word(self, key: str) -> str:
        """The word, or the key itself for what has the same name everywhere."""
        return self.words.get(key, key)


def language_names() -> list[str]:
    """The languages that there are."""
    return wordbook.language_names("qtrace.post")


@functools.cache
def load_language(name: str) -> Language:
    """A language by its name. Raises LanguageError."""
    book = wordbook.load_wordbook(name, "qtrace.post")
    raw = book.raw
    terms = [
        Term(item["term"], item["english"], item["meaning"], tuple(item["avoid"])) for item in raw["glossary"]
    ]
    reading = tuple((item["title"], item["url"]) for item in raw["reading"])
    copied = {f"copied.{key}": word for key, word in raw["copied"].items()}
    words = {**book.words, **raw["walked"], **copied}
    return Language(book.name, book.html, words, tuple(terms), reading)
