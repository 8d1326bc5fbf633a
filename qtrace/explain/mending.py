"""Changes values in an option, in any of its notations; and in a line with such options."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from qtrace.explain.rule import Change, Mend
from qtrace.explain.words import Line, Option

__all__ = ["changed", "mended"]

_TYPED = ("netdev", "device", "object")  # options that may be written in JSON
_COMMA = re.compile(r"(?<!,),(?!,)")  # a comma inside a value is written twice


def changed(option: Option, values: Mapping[str, object], without: tuple[str, ...] = ()) -> Change:
    """`option` with these values, and without the options named in `without`."""
    text = option.value or ""
    gone = {*values, *without}
    if text.startswith("{") and option.name in _TYPED:
        data = {key: value for key, value in json.loads(text).items() if key not in gone}
        return Change(option, json.dumps({**data, **values}, separators=(",", ":")))
    kept = [piece for piece in _COMMA.split(text) if piece.partition("=")[0] not in gone]
    new = [f"{key}={_text(value)}" for key, value in values.items()]
    return Change(option, ",".join([*kept, *new]))


def mended(line: Line, mend: Mend) -> list[str]:
    """The words of a line with the changes applied."""
    others = {id(change.option): change.value for change in mend.changes}
    words = [line.program or f"qemu-system-{line.target}"]
    for option in sorted((*line.options, *line.unknown), key=lambda option: option.number):
        if id(option) not in others:
            words += option.words
        elif (value := others[id(option)]) is not None:
            words += [f"-{option.name}", value]
    return [*words, *mend.added, *line.images]


def _text(value: object) -> str:
    text = ("on" if value else "off") if isinstance(value, bool) else str(value)
    return text.replace(",", ",,")
