"""How many bytes of a frame each copy on its path was counted to have, and on whose word a copy is named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from qtrace.model import Path
from qtrace.path.frame_copies import Copied, Copy
from qtrace.post.fact_book import FactBook
from qtrace.post.language import Language

__all__ = ["CopyCounts", "grouped"]

_MISSING = "–"
# Small, or of few frames: told where they are counted.
_ASIDE = (Copied.HEADER, Copied.DESCRIPTOR, Copied.FRAGMENT, Copied.SPECIAL)


def grouped(copies: Iterable[Copy]) -> list[tuple[Copy, ...]]:
    """The copies that can only be counted together, and of those that nobody counts the ones of the same,
    in the order of the path. What is small or rare is left out where nobody counts it."""
    found: dict[tuple[str, ...], list[Copy]] = {}
    for copy in copies:
        if copy.counted_as:
            found.setdefault((copy.counted_as,), []).append(copy)
        elif copy.what not in _ASIDE:
            found.setdefault((copy.function, copy.what), []).append(copy)
    return [tuple(group) for group in found.values()]


class CopyCounts:
    """Of one direction on one back end, from the facts of a run, if there are any."""

    def __init__(self, book: FactBook, language: Language, direction: str, netdev: str) -> None:
        self._book, self._language = book, language
        self._direction, self._netdev = direction, netdev

    def what(self, group: Sequence[Copy]) -> str:
        """What these copy of a frame."""
        words = dict.fromkeys(self._word(copy.what.value) for copy in group)
        return self._word("and").join(words)

    def told(self, group: Sequence[Copy]) -> tuple[str, str]:
        """(bytes of a frame, on whose word); a dash where nobody counted."""
        copy = group[0]
        ways = f"{self._direction}.{self._netdev}"
        fact = f"handed.{ways}" if copy.syscall else f"copied.{ways}.{copy.counted_as}"
        if copy.counted_as and self._book.has(fact):
            return self._book.use(fact), self._counted(copy, fact)
        return _MISSING, self._word("source" if copy.counted_as else "uncounted")

    def _counted(self, copy: Copy, fact: str) -> str:
        """A system call is counted at that which was made, be it another than the walk's usual one."""
        if copy.syscall and (made := self._book.use(f"{fact}.function")) != copy.function:
            return f"{self._word('counted_at')} `{made}`"
        return self._word("counted")

    def unseen(self, path: Path) -> Iterator[tuple[str, str]]:
        """(where, why nobody knows) of the parts of a frame's way in which copies are not looked for."""
        if path.boundary.kind == "library":
            yield self._word("library"), self._word("library_why")
        yield self._word("beyond"), self._word("beyond_why")

    def _word(self, key: str) -> str:
        return self._language.word(f"copied.{key}")
