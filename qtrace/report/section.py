"""What a file of `sections/` gives the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from qtrace.model import Direction
from qtrace.report.answers import Answers, Row
from qtrace.report.document import Section

__all__ = ["PathRows", "ReportSection"]


@dataclass(frozen=True, slots=True)
class PathRows:
    """The rows of one path and its traffic: `ask` gives those of an analysis, of `direction` where it tells
    directions apart."""

    direction: Direction
    ask: Callable[[str], Sequence[Row]]


def _nothing(_: object) -> Iterable[str]:
    return ()


@dataclass(frozen=True, slots=True)
class ReportSection:
    """One section of the report, the `SECTION` of its file.

    `order` is its place, the lowest first; an empty section is left out unless `always`. `analyses` are those
    that it shows: an analysis that no section shows gets one by itself. `headline` gives the report's first
    sentences, `alerts` what must be read before any number, `in_words` lines below a walked path.
    """

    order: int
    write: Callable[[Answers], Section]
    analyses: tuple[str, ...] = ()
    always: bool = False
    headline: Callable[[Answers], Iterable[str]] = _nothing
    alerts: Callable[[Answers], Iterable[str]] = _nothing
    in_words: Callable[[PathRows], Iterable[str]] = _nothing
