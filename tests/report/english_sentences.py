"""The English sentences of the report, as its code has them: what every other language must have too."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

from qtrace.analyses.methods.registry import analyses

__all__ = ["sentences_of_the_report"]

REPORT = Path(__file__).parents[2] / "qtrace" / "report"
# What stands at these places of a call: title and reading of a section, title and heads of a table.
SAID = {"say": (0,), "Section": (1, 2), "Table.of": (0, 1), "_line": (0,)}


@functools.cache
def sentences_of_the_report() -> frozenset[str]:
    """All of them, with the questions and the sentences of the analyses."""
    found = {one for item in analyses().values() for one in (item.question, *item.says.values())}
    for file in [*REPORT.rglob("*.py"), *REPORT.rglob("*.j2")]:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".j2":
            for first in re.findall(r'say\(((?:"[^"]*"|[^",)])*)', text):
                found |= set(re.findall(r'"([^"]*)"', first))
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call):
                found |= set(_said(node))
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "heads":
                found |= set(_heads(node.value))
    return frozenset(text for text in found if any(char.isalpha() for char in text))


def _said(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    for place in SAID.get(name, ()):
        if place < len(call.args):
            yield from (_heads if (name, place) == ("Table.of", 1) else _texts)(call.args[place])


def _texts(node: ast.expr) -> Iterator[str]:
    """A constant, or the one or the other."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from (*_texts(node.body), *_texts(node.orelse))


def _heads(node: ast.expr) -> Iterator[str]:
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    for part in parts:
        for text in _texts(part):
            yield from (head.strip().lstrip("#$") for head in text.split("|"))
