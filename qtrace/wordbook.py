"""Languages as data: what a room says in another language, one file in its folder languages/.

`[words]` are by key, for templates. `[sentences]` and `[names]` are by the English, which stands where it
is said: in a section, an analysis. `[stored]` are sentences that come from elsewhere in English already, of
a run or of a walk. `{name}` in a sentence is a place for a value, in both languages.
"""

from __future__ import annotations

import functools
import re
import string
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from qtrace.errors import LanguageError

__all__ = ["ENGLISH", "Wordbook", "language_names", "load_wordbook", "places"]

ENGLISH = "en"
_HAN, _MARK = "[\u4e00-\u9fff]", "[，。；：、（）？！“”]"
_PLACE = re.compile(r"\{(\w+)(?::\w*)?\}")


class _Filler(string.Formatter):
    """`{name}` with a value, which is data: nothing in it is looked up."""

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> tuple[Any, str]:
        return kwargs[field_name], field_name


@dataclass(frozen=True)
class Wordbook:
    """One language. `html` is the tag of BCP 47; `spaced`: a space stands between Han and Latin, whatever a
    place was filled with; `raw` is the file of the first room, with what only that room has."""

    name: str
    html: str
    words: Mapping[str, str]
    sentences: Mapping[str, str]
    stored: Mapping[str, str]
    spaced: bool = False
    raw: Mapping[str, Any] = field(default_factory=dict)

    def word(self, key: str) -> str:
        """The word, or the key itself for what has the same name everywhere."""
        return self.words.get(key, key)

    def template(self, english: str) -> str:
        """A sentence of the code in this language, its places unfilled; English where there is none."""
        return self.sentences.get(english, english)

    def say(self, english: str, **values: object) -> str:
        """A sentence of the code with its values. Raises KeyError for a place without one."""
        return self._filled(self.template(english), values) if values else self.template(english)

    def told(self, text: str) -> str:
        """A text that was written in English, in this language; as it stands if it is none of ours."""
        return self._told(text) if self.stored else text

    def _filled(self, sentence: str, values: Mapping[str, object]) -> str:
        return self.typeset(_Filler().vformat(sentence, (), values))

    def typeset(self, text: str) -> str:
        """A sentence with its values, set as the language is set."""
        return _spaced(text) if self.spaced else text

    @functools.cached_property
    def _patterns(self) -> list[tuple[re.Pattern[str], str]]:
        """Sentences with places, the most telling first, as patterns of their English."""
        with_places = [(english, own) for english, own in self.stored.items() if _PLACE.search(english)]
        order = sorted(with_places, key=lambda pair: -len(_PLACE.sub("", pair[0])))
        return [(re.compile(_as_pattern(english), re.DOTALL), own) for english, own in order]

    @functools.cached_property
    def _told(self) -> Any:
        return functools.lru_cache(4096)(self._look_up)

    def _look_up(self, text: str) -> str:
        if own := self.sentences.get(text) or self.stored.get(text):
            return own
        for pattern, own in self._patterns:
            if found := pattern.fullmatch(text):
                values = {name: self.told(value) for name, value in found.groupdict().items()}
                return self._filled(own, values)
        return text


def _spaced(text: str) -> str:
    """A space between Han and Latin, none between Han and Han or beside full-width marks."""
    text = re.sub(rf"({_HAN})(?=[A-Za-z0-9])|([A-Za-z0-9%])(?={_HAN})", r"\1\2 ", text)
    text = re.sub(rf"(?<={_HAN}) +(?={_HAN})", "", text)
    return re.sub(rf" +(?={_MARK})|(?<={_MARK}) +", "", text)


def _as_pattern(english: str) -> str:
    parts, last, seen = [], 0, set()
    for place in _PLACE.finditer(english):
        name = place[1]
        parts.append(re.escape(english[last : place.start()]))
        parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>.+?)")
        seen.add(name)
        last = place.end()
    return "".join([*parts, re.escape(english[last:])])


def places(sentence: str) -> set[str]:
    """The places of a sentence, each with its format: `{speed:bits}` is `speed:bits`."""
    return set(re.findall(r"\{(\w+(?::\w*)?)\}", sentence))


def _files(room: str) -> Iterator[Any]:
    folder = resources.files(room) / "languages"
    if folder.is_dir():
        yield from (item for item in folder.iterdir() if item.name.endswith(".toml"))


def language_names(room: str) -> list[str]:
    """The languages that a room has."""
    return sorted(item.name.removesuffix(".toml") for item in _files(room))


@functools.cache
def load_wordbook(name: str, room: str, *others: str) -> Wordbook:
    """What `room` says in a language, with the sentences of the `others` of which it tells (packages' names).

    Raises LanguageError for a language that the room has not.
    """
    if name not in language_names(room):
        raise LanguageError(
            f"there is no language {name!r}", hint=f"the languages are: {', '.join(language_names(room))}"
        )
    first, *more = [
        tomllib.loads(item.read_text(encoding="utf-8"))
        for one in (room, *others)
        for item in _files(one)
        if item.name == f"{name}.toml"
    ]
    sentences: dict[str, str] = {}
    stored: dict[str, str] = {}
    for raw in (*more, first):
        sentences |= raw.get("names", {}) | raw.get("sentences", {})
        stored |= raw.get("stored", {})
    html, spaced = str(first["html"]), bool(first.get("spaced"))
    return Wordbook(name, html, first.get("words", {}), sentences, stored, spaced, first)
