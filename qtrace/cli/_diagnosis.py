"""A diagnosis as text and Markdown, and the rules that it was made by."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from qtrace.diagnosis.cause import Cause, Diagnosis, Finding
from qtrace.report.text import clean

__all__ = ["as_json", "as_markdown", "as_text", "cause_as_text", "causes_as_text"]

_WIDTH = 100
_SAID = {"breaks": "broken", "limits": "limited", "note": "note"}


def as_text(found: Diagnosis) -> str:
    """For a terminal."""
    return "\n".join(_text(found)) + "\n"


def _text(found: Diagnosis) -> Iterator[str]:
    yield _head(found)
    for number, one in enumerate(found.findings, 1):
        yield ""
        yield from _wrapped(f"{number}. {_SAID[one.effect]}, {clean(one.about)}: {clean(one.text)}", "   ")
        for item in one.evidence:
            yield from _wrapped(f"   seen  {clean(item.text)}", " " * 9)
        for advice in one.advice:
            words = ": ".join(filter(None, (clean(advice.text), clean(advice.command))))
            yield from _wrapped(f"   do    {words}", " " * 9)
        yield from _wrapped(f"   sure  {one.sure}: {clean(one.because)}", " " * 9)
        yield f"   rule  {one.cause}"
    yield ""
    if found.findings:
        yield f"looked at {len(found.looked_at)} things ('qtrace why --rules' lists them)"
    else:
        yield "looked at:"
        for looked in found.looked_at:
            yield from _wrapped(f"  {looked}", "    ")
    for unknown in found.unknown:
        yield from _wrapped(f"not known: {clean(unknown)}", "  ")


def as_markdown(found: Diagnosis) -> str:
    """A document."""
    lines = [f"# {clean(_head(found))}", ""]
    if not found.findings:
        lines += ["Nothing found.", ""]
    for number, one in enumerate(found.findings, 1):
        lines += [f"## {number}. {_escaped(one.text)}", "", *_markdown(one), ""]
    lines += ["## Looked at", "", *(f"- {item}" for item in found.looked_at)]
    if found.unknown:
        lines += ["", "## Not known", "", *(f"- {_escaped(item)}" for item in found.unknown)]
    return "\n".join(lines) + "\n"


def _markdown(one: Finding) -> Iterator[str]:
    yield f"- {_SAID[one.effect]}: {_escaped(one.about)}; rule `{one.cause}`"
    for item in one.evidence:
        yield f"- seen: {_escaped(item.text)}"
    for advice in one.advice:
        command = f"`{clean(advice.command).replace('`', '')}`" if advice.command else ""
        yield f"- do: {': '.join(filter(None, (_escaped(advice.text), command)))}"
    yield f"- sure: {one.sure}, {_escaped(one.because)}"


def as_json(found: Diagnosis) -> dict[str, object]:
    """JSON-ready."""
    seen = found.observation
    return {
        "title": seen.title,
        "seconds": seen.seconds,
        "nics": [nic.title for nic in seen.nics],
        "findings": [one.to_json() for one in found.findings],
        "looked_at": list(found.looked_at),
        "unknown": list(found.unknown),
    }


def causes_as_text(known: Sequence[Cause]) -> str:
    """What is looked for, one rule a paragraph."""
    lines = []
    for cause in known:
        lines += [cause.name, *_wrapped(f"  {cause.looks_for}", "  ")]
    return "\n".join(lines)


def cause_as_text(cause: Cause) -> str:
    """All that is to be said of one rule."""
    lines = [cause.name, "", *_wrapped(cause.explained, ""), ""]
    lines += _wrapped(f"Looks at {cause.looks_at}.", "")
    lines += ["", *_wrapped(f"Threshold. {cause.threshold}", "")]
    return "\n".join(lines)


def _head(found: Diagnosis) -> str:
    seen = found.observation
    nics = ", ".join(clean(nic.title) for nic in seen.nics)
    time = f"{seen.seconds:.1f} s of " if seen.seconds else ""
    weighty = len(found.weighty)
    said = f"{weighty} finding{'s' * (weighty != 1)} of weight" if found.findings else "nothing found"
    return f"{time}{nics}: {said}"


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent=indent, break_on_hyphens=False) or [""]


def _escaped(text: str) -> str:
    """As text of a Markdown document: names come from a guest or from a file."""
    found = clean(text)
    for char in "\\`*_[]<>|#":
        found = found.replace(char, f"\\{char}")
    return found
