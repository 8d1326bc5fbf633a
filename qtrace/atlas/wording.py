"""The words of the pages themselves, by language: one file in languages/. Names of functions, options and
stages are QEMU's and are the same in every language."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from qtrace import wordbook

__all__ = ["Wording", "load_wording", "wording_names"]


@dataclass(frozen=True, slots=True)
class Wording:
    """`html` is the tag of BCP 47; `words` by key; `callback_words`: NetClientInfo's callback -> its meaning;
    `questions` with the page of the newest release that answers each."""

    name: str
    html: str
    words: dict[str, str]
    callback_words: dict[str, str]
    questions: tuple[dict[str, str], ...]

    def __getattr__(self, key: str) -> str:
        """`t.walk` in a template."""
        try:
            return self.words[key]
        except KeyError:
            raise AttributeError(key) from None

    def word(self, key: str) -> str:
        """The word for a kind of call and the like; the key itself where it is a name."""
        return self.words.get(key, key)


def wording_names() -> list[str]:
    """The languages that there are."""
    return wordbook.language_names("qtrace.atlas")


@functools.cache
def load_wording(name: str) -> Wording:
    """The words of a language. Raises LanguageError."""
    book = wordbook.load_wordbook(name, "qtrace.atlas")
    raw = book.raw
    return Wording(name, book.html, dict(book.words), raw["callbacks"], tuple(raw["questions"]))
