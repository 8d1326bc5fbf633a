"""Which cell is fastest, in words that its interval carries."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtrace.report.answers import Row
from qtrace.report.speech import say
from qtrace.report.text import backend, present, span, times

__all__ = ["ranked"]


def ranked(rows: Sequence[Row], base: str, form: Callable[[object], str], *, more_is_better: bool) -> str:
    """The back ends of one NIC and traffic, the best first: `tap + vhost is fastest with 774 Mbit/s, 1.55 ×
    tap (1.34 to 1.80 ×); tap 498 Mbit/s; user 58.1 Mbit/s, slower: 0.116 × tap (0.102 to 0.133 ×)`.

    `faster`, `slower` and `fastest` are said only where the 95 % intervals exclude anything else.
    """
    ordered = sorted(rows, key=lambda row: row["mean"], reverse=more_is_better)
    proved = _is_fastest(ordered, base, more_is_better)
    said = [_said(row, base, form, more_is_better, leads=proved and row is ordered[0]) for row in ordered]
    if len(ordered) > 1 and not proved:
        said.append(say("none is proved fastest"))
    return say("; ").join(said)


def _name(row: Row) -> str:
    return backend(row["netdev"], row["datapath"])


def _said(row: Row, base: str, form: Callable[[object], str], more: bool, *, leads: bool) -> str:
    head = say(
        "{name} is fastest with {value}" if leads else "{name} {value}",
        name=_name(row),
        value=form(row["mean"]),
    )
    if _name(row) == base or present(row["ratio"]) is None:
        return head
    low, high = _ends(row)
    if low is None or high is None:
        ratio = say("{ratio} {base}", ratio=times(row["ratio"]), base=base)
        return say("{head}, {ratio} (one repetition: nothing is proved)", head=head, ratio=ratio)
    ends = span(times(low), times(high))
    ratio = say("{ratio} {base} ({ends})", ratio=times(row["ratio"]), base=base, ends=ends)
    if low <= 1 <= high:
        return say("{head}, not to be told from {base}: {ratio}", head=head, base=base, ratio=ratio)
    if leads:
        return say("{one}, {other}", one=head, other=ratio)
    verdict = say("faster") if (low > 1) == more else say("slower")
    return say("{head}, {verdict}: {ratio}", head=head, verdict=verdict, ratio=ratio)


def _is_fastest(ordered: Sequence[Row], base: str, more: bool) -> bool:
    """Whether the first is proved better than each other: by its interval to the baseline, which must lie
    apart from theirs."""
    if len(ordered) < 2:
        return False
    first, *others = ordered
    return all(_is_apart(first, other, base, more) for other in others)


def _is_apart(first: Row, other: Row, base: str, more: bool) -> bool:
    (low, high), (other_low, other_high) = (
        (1.0, 1.0) if _name(row) == base else _ends(row) for row in (first, other)
    )
    if low is None or high is None or other_low is None or other_high is None:
        return False
    return low > other_high if more else high < other_low


def _ends(row: Row) -> tuple[float | None, float | None]:
    return present(row["ratio_low"]), present(row["ratio_high"])
