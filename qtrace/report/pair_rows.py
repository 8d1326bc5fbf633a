"""The rows of the analysis `factors` by pair, with their stages, and what they say in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qtrace.analyses.factors import BUSY, FRAME_BYTES, OUTSIDE, REST, WAITING
from qtrace.analyses.methods.pairs import PAIR
from qtrace.report.answers import Answers, Row
from qtrace.report.rows import direction_name
from qtrace.report.speech import say, told
from qtrace.report.text import (
    MISSING,
    backend,
    bits,
    clean,
    duration,
    microseconds,
    plain_number,
    size,
    times,
)

__all__ = ["ComparedPair", "compared_pairs", "quantity"]

_MOST = 3  # factors that a sentence names


@dataclass(frozen=True)
class ComparedPair:
    """`whole` is the measured ratio, `factors` the rows behind it in the tree's order, without the rest."""

    whole: Row
    factors: Sequence[Row]
    rest: Row
    stages: Sequence[Row]

    @property
    def names(self) -> tuple[str, str]:
        """The two cells, by what differs: `user` and `tap`, or `virtio-net-pci` and `e1000`."""
        row = self.whole
        if row["nic"] != row["than_nic"]:
            return clean(row["nic"]), clean(row["than_nic"])
        return backend(row["netdev"], row["datapath"]), backend(row["than_netdev"], row["than_datapath"])

    @property
    def about(self) -> str:
        """`virtio-net-pci, tx, guest to host, tcp`."""
        row = self.whole
        about = backend(row["netdev"], row["datapath"]) if row["nic"] != row["than_nic"] else row["nic"]
        return say(
            "{what}, {way}, {workload}",
            what=clean(about),
            way=direction_name(row["way"]),
            workload=clean(row["workload"]),
        )

    @property
    def title(self) -> str:
        """`virtio-net-pci, tx, guest to host, tcp: user against tap`."""
        one, two = self.names
        return say("{about}: {one} against {two}", about=self.about, one=one, two=two)

    @property
    def is_told(self) -> bool:
        """Whether the interval of the ratio excludes 1."""
        return _is_told(self.whole)

    def stage_of(self, row: Row) -> str:
        """Where a factor shows: `deliver → host: 5.16 / 356 µs (about, a frame)`, or a dash."""
        for stage in self.stages:
            names = (stage["thread"], stage["thread"]) if stage["thread"] else (stage["factor"], "")
            if names == (row["factor"], row["thread"]):
                values = (quantity(stage[side], stage["unit"]) for side in ("value", "than_value"))
                return say(
                    "{stage}: {values} ({quantity})",
                    stage=clean(stage["stage"]),
                    values=" / ".join(values),
                    quantity=told(clean(stage["quantity"])),
                )
        return MISSING

    def leading(self) -> list[Row]:
        """The factors that decide: those of the first levels whose interval excludes 1, the largest first."""
        own = [row for row in self.factors if self._is_named(row) and _is_told(row)]
        return sorted(own, key=lambda row: -abs(math.log(row["times"])))[:_MOST]

    def _is_named(self, row: Row) -> bool:
        """Whole threads, not their parts; and what is no thread's."""
        return row["factor"] == row["thread"] if row["thread"] else bool(row["leaf"])

    def why(self) -> Iterator[str]:
        """The deciding factors in words, each with its number."""
        for row in self.leading():
            yield say("{words} ({ratio})", words=_words(row), ratio=times(row["times"]))


def compared_pairs(answers: Answers) -> list[ComparedPair]:
    """Every pair that was taken apart, in the order of the analysis."""
    stages: dict[tuple[object, ...], list[Row]] = {}
    for row in answers.ask("factor_stages"):
        stages.setdefault(tuple(row[name] for name in PAIR), []).append(row)
    found: dict[tuple[object, ...], list[Row]] = {}
    for row in answers.ask("factors"):
        found.setdefault((*(row[name] for name in PAIR), row["metric"]), []).append(row)
    return [
        ComparedPair(rows[0], rows[1:-1], rows[-1], stages.get(key[:-1], ()))
        for key, rows in found.items()
        if rows[-1]["factor"] == REST and len(rows) > 2
    ]


def quantity(value: object, unit: str) -> str:
    """A value in a unit that fits: 147 µs, 51.2 kB, 1.06 processors."""
    if value is None:
        return MISSING
    assert isinstance(value, int | float)
    if unit == "s":
        return duration(value * 1e9)
    written = {"byte": size, "ns": duration, "us": microseconds, "bit/s": bits, "1": plain_number}.get(unit)
    if unit == "1/s":
        return f"{plain_number(value)}/s"
    return written(value) if written else f"{plain_number(value)} {told(clean(unit))}".strip()


def _is_told(row: Row) -> bool:
    low, high = row["low"], row["high"]
    return low is not None and high is not None and (low > 1 or high < 1)


def _words(row: Row) -> str:
    one, two = (
        quantity(row[side], row["unit"]) if row[side] else say("none") for side in ("value", "than_value")
    )
    name = told(clean(row["factor"]))
    if row["thread"]:
        if "round trip" in row["of"]:
            return say("the {name} takes {one} a round trip against {two}", name=name, one=one, two=two)
        return say("the {name} takes {one} a frame against {two}", name=name, one=one, two=two)
    if row["factor"] == FRAME_BYTES:
        return say("a frame carries {one} against {two}", one=one, two=two)
    if row["factor"] == BUSY:
        return say("{one} are busy against {two}", one=one, two=two.removesuffix(f" {told('processors')}"))
    if row["factor"] == WAITING:
        return say("no thread of QEMU runs for {one} of a round trip against {two}", one=one, two=two)
    if row["factor"] == OUTSIDE:
        return say("a measurement lasts {one} times its traffic against {two}", one=one, two=two)
    return say("{name}: {one} against {two}", name=name, one=one, two=two)
