"""The languages of the posts as data: words of pictures and tables, and the glossary that the texts keep
to."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from importlib import resources

from qtrace.errors import PostError

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
    folder = resources.files("qtrace.post") / "languages"
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


@functools.cache
def load_language(name: str) -> Language:
    """A language by its name. Raises PostError."""
    if name not in language_names():
        raise PostError(
            f"there is no language {name!r}", hint=f"the languages are: {', '.join(language_names())}"
        )
    raw = tomllib.loads((resources.files("qtrace.post") / "languages" / f"{name}.toml").read_text())
    terms = [
        Term(item["term"], item["english"], item["meaning"], tuple(item["avoid"])) for item in raw["glossary"]
    ]
    reading = tuple((item["title"], item["url"]) for item in raw["reading"])
    return Language(raw["name"], raw["html"], raw["words"] | raw["walked"], tuple(terms), reading)
