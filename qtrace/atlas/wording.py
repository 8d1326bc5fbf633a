"""The words of the pages themselves, by language: one file in languages/. Names of functions, options and
stages are QEMU's and are the same in every language."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

from qtrace.errors import PostError

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
    folder = resources.files("qtrace.atlas") / "languages"
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


@functools.cache
def load_wording(name: str) -> Wording:
    """The words of a language. Raises PostError."""
    if name not in wording_names():
        raise PostError(f"the atlas has no language {name!r}", hint=f"it has: {', '.join(wording_names())}")
    place = resources.files("qtrace.atlas") / "languages" / f"{name}.toml"
    raw: dict[str, Any] = tomllib.loads(place.read_text(encoding="utf-8"))
    return Wording(name, raw["html"], raw["words"], raw["callbacks"], tuple(raw["questions"]))
