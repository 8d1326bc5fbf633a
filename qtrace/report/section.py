"""The interface of a file of `sections/` to the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from qtrace.model import Direction
from qtrace.report.answers import Answers, Row
from qtrace.report.document import Section

__all__ = ["PathRows", "ReportSection"]


@dataclass(frozen=True, slots=True)
class PathRows:
    """The rows of one path and its traffic: `ask` returns the rows of an analysis, in the path's `direction`
    if the analysis distinguishes directions."""

    direction: Direction
    ask: Callable[[str], Sequence[Row]]


def _nothing(_: object) -> Iterable[str]:
    return ()


@dataclass(frozen=True, slots=True)
class ReportSection:
    """One section of the report, the `SECTION` of its file.

    `order` is its position, lowest first; an empty section is left out unless `always`. `analyses` are the
    analyses that it shows; an analysis that no section shows gets a section of its own. `headline` gives the
    report's first sentences, `because` their reasons, `alerts` warnings that stand before any number,
    `in_words` lines below a walked path.
    """

    order: int
    write: Callable[[Answers], Section]
    analyses: tuple[str, ...] = ()
    always: bool = False
    headline: Callable[[Answers], Iterable[str]] = _nothing
    because: Callable[[Answers], Iterable[str]] = _nothing
    alerts: Callable[[Answers], Iterable[str]] = _nothing
    in_words: Callable[[PathRows], Iterable[str]] = _nothing
