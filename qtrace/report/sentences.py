"""The sentences in which the analyses answer, with their numbers written for a reader."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from typing import Any

from qtrace.analyses.methods.registry import analyses
from qtrace.report.answers import Answers
from qtrace.report.speech import say, spoken, told
from qtrace.report.text import (
    MISSING,
    backend,
    bits,
    clean,
    count,
    duration,
    microseconds,
    plain_number,
    present,
    size,
    span,
    times,
)

__all__ = ["sentences", "written"]


def _percent(value: object) -> str:
    number = present(value)
    if number is None:
        return MISSING
    # Nearly all is not all.
    return "> 99.9 %" if 0.9995 <= number < 1 else f"{plain_number(100 * number)} %"


def _cell(row: object) -> str:
    """`virtio-net-pci on tap + vhost`, of a row."""
    assert isinstance(row, Mapping)
    return say("{nic} on {back}", nic=clean(row["nic"]), back=backend(row["netdev"], row["datapath"]))


def _ends(pair: object) -> str:
    """`0.10 to 0.13 ×`, of two ratios."""
    assert isinstance(pair, tuple)
    return span(*(times(end) for end in pair))


_FORMATS: Mapping[str, Callable[[Any], str]] = {
    "": lambda text: told(clean(text)),
    "bits": bits,
    "cell": _cell,
    "count": count,
    "ends": _ends,
    "ns": duration,
    "number": plain_number,
    "percent": _percent,
    "size": size,
    "times": times,
    "us": microseconds,
}


class _Writer(string.Formatter):
    """`{name:format}` with the formats of this file; a value is data, and nothing in it is looked up."""

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> tuple[Any, str]:
        return kwargs[field_name], field_name

    def format_field(self, value: Any, format_spec: str) -> str:
        return _FORMATS[format_spec](value)


def written(template: str, values: Mapping[str, Any]) -> str:
    """A sentence with its values. Raises KeyError for a place without one, or a format that is not known."""
    return _Writer().vformat(template, (), values)


def sentences(answers: Answers, name: str) -> tuple[str, ...]:
    """What the analysis `name` says of this run, chosen by its rows; an empty answer may say nothing."""
    analysis = analyses()[name]
    said = analysis.say(answers.told(name))
    return tuple(spoken().typeset(written(say(analysis.says[key]), values)) for key, values in said)
