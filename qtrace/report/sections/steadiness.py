"""How far the numbers can be trusted: A/A, the precision that was asked for, warm-up, drift and outliers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from qtrace.analyses.baseline_twice import MARGIN
from qtrace.analyses.steadiness import DRIFT, OUTLIER
from qtrace.report.answers import Answers, Row
from qtrace.report.document import Section, Table
from qtrace.report.rows import bare, base_name, direction_name, traffic
from qtrace.report.section import ReportSection
from qtrace.report.speech import say, told
from qtrace.report.text import MISSING, backend, clean, plain_number, present, span, times

__all__ = ["SECTION", "same_thing_twice", "unsteady"]

_CELL = ("nic", "netdev", "datapath", "way", "workload")


def write(answers: Answers) -> Section:
    """A table for each of the three."""
    twice = [
        (
            *bare(row),
            traffic(row),
            row["metric"],
            row["n"],
            times(row["ratio"]),
            span(times(row["low"]), times(row["high"])),
            row["verdict"],
        )
        for row in answers.ask("baseline_twice")
    ]
    steady = [
        (
            row["kind"],
            _whose(row),
            row["metric"],
            row["n"],
            times(row["ratio"]),
            span(times(row["low"]), times(row["high"])),
            "yes" if row["told"] else "",
        )
        for row in answers.ask("steadiness")
    ]
    known = [
        (
            *_place(row),
            clean(row.get("metric", "")),
            _percent(row.get("half_width"), 3),
            clean(row.get("n", "")),
            f"{plain_number(row.get('seconds'))} s",
            "yes"
            if row.get("reached") is True
            else say("no: {reason}", reason=told(clean(row.get("reason", "")))),
        )
        for row in _precision(answers)
    ]
    base = base_name(answers)
    return Section(
        "steadiness",
        "What no difference looks like",
        _reading(base),
        (
            Table.of("A/A", "NIC|back end|traffic|metric|#n|#second / first|#95 % interval|verdict", twice),
            Table.of(
                "Warm-up, drift and outliers",
                "kind|traffic|metric|#n|#change|#95 % interval|told",
                steady,
            ),
            Table.of(
                say("Precision of the ratios to {base}", base=base),
                "NIC|back end|traffic|metric|#half-width|#n|#measured for|reached",
                known,
            ),
        ),
    )


def _reading(base: str) -> str:
    return say(
        "A/A: {base} was measured a second time in each round, under another name. What it differs by"
        " there is no difference; `different` (beyond {margin} %, and p below 0.05 over all rows "
        "together) should be rare. Warm-up is the first repetition against what the others make "
        "expect, drift the end of the run against its beginning, both over all cells of a traffic; an"
        " outlier is a value too far from its cell's others. Nothing of it is left out of any number "
        "of this report. A ratio's precision is half its 95 % interval, as a share of the ratio.",
        base=base,
        margin=f"{100 * MARGIN:g}",
    )


def same_thing_twice(answers: Answers) -> Iterator[str]:
    """What difference A/A showed, in a sentence; nothing where none was measured."""
    rows = answers.whole("baseline_twice")
    ratios = [value for row in rows if (value := present(row["ratio"])) is not None]
    if not ratios:
        return
    called = Counter(row["verdict"] for row in rows)
    within = say("{number} same within {margin} %", number=called["same"], margin=f"{100 * MARGIN:g}")
    parts = [say("{number} different", number=called["different"])]
    parts += [within] if called["same"] else []
    parts += [say("{number} not known", number=called["not known"])] if called["not known"] else []
    far = max(ratios, key=lambda value: max(value, 1 / value))
    yield say(
        "A/A, {base} measured twice: {said}; the furthest is {far}.",
        base=base_name(answers),
        said=say(", ").join(parts),
        far=times(far),
    )


def unsteady(answers: Answers) -> Iterator[str]:
    """A sentence for each A/A that differs, each warm-up, drift and outlier, and each ratio that is not known
    well enough."""
    for row in answers.whole("baseline_twice"):
        if row["verdict"] == "different":
            ends = span(times(row["low"]), times(row["high"]))
            yield say(
                "A/A: {metric}, {whose}: nothing was changed, and the second is "
                "{ratio} the first ({ends}): trust no smaller difference of this run.",
                metric=told(clean(row["metric"])),
                whose=_whose(row),
                ratio=times(row["ratio"]),
                ends=ends,
            )
    for row in answers.whole("steadiness"):
        if row["told"]:
            yield _in_words(row)
    aim = _percent(answers.plan.get("precision"))
    for row in _precision(answers):
        if row.get("reached") is not True:
            nic, name, carried = _place(row)
            yield say(
                "Not known within {aim}: {nic} on {name}, {carried}, {metric} of {base}: "
                "{ratio}, ± {half} (n = {n}); {reason}.",
                aim=aim,
                nic=nic,
                name=name,
                carried=carried,
                metric=told(clean(row.get("metric", ""))),
                base=base_name(answers),
                ratio=times(row.get("ratio")),
                half=_beyond(row.get("half_width"), answers.plan.get("precision")),
                n=clean(row.get("n", "")),
                reason=told(clean(row.get("reason", ""))),
            )


def _in_words(row: Row) -> str:
    said = say("{one}, {other}", one=told(clean(row["metric"])), other=_whose(row))
    ends = span(times(row["low"]), times(row["high"]))
    ratio = times(row["ratio"])
    if row["kind"] == OUTLIER:
        return say(
            "Outlier, kept: {said}, repetition {rep}: {ratio} what its other {number} show.",
            said=said,
            rep=int(row["rep"]),
            ratio=ratio,
            number=int(row["n"]) - 1,
        )
    if row["kind"] == DRIFT:
        return say(
            "The machine drifted: {said}: the end is {ratio} the beginning ({ends}).",
            said=said,
            ratio=ratio,
            ends=ends,
        )
    return say(
        "Warm-up: {said}: the first repetition is {ratio} the others ({ends}).",
        said=said,
        ratio=ratio,
        ends=ends,
    )


def _whose(row: Row) -> str:
    cell = ""
    if row["nic"]:
        back = backend(row["netdev"], row["datapath"])
        cell = say("{nic} on {back}", nic=clean(row["nic"]), back=back) + say(", ")
    way = direction_name(row["way"]) if row["way"] != "both" else say("round trips")
    return f"{cell}{clean(row['workload'])} {way}"


def _precision(answers: Answers) -> list[Row]:
    found = answers.run.meta.get("precision")
    return found if isinstance(found, list) else []


def _place(row: Row) -> tuple[str, str, str]:
    """NIC, back end and traffic of a cell's id."""
    parts = clean(row.get("cell", "")).split("+")
    cell = dict(zip(_CELL, [*parts[:4], " ".join(parts[4:])], strict=False))
    return (*bare(cell), traffic(cell)) if len(cell) == len(_CELL) else (parts[0], MISSING, MISSING)


def _beyond(half_width: object, aim: object) -> str:
    """With as many digits as it takes to see that it is not `aim`."""
    texts = [(_percent(half_width, digits), _percent(aim, digits)) for digits in range(3, 8)]
    return next((text for text, same in texts if text != same), texts[-1][0])


def _percent(value: object, digits: int = 2) -> str:
    share = present(value)
    return MISSING if share is None else f"{plain_number(100 * share, digits)} %"


SECTION = ReportSection(
    250,
    write,
    ("baseline_twice", "steadiness"),
    headline=same_thing_twice,
    alerts=unsteady,
)
