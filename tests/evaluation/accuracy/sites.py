"""Draw the sites of the labelled set: `python tests/evaluation/accuracy/sites.py >drawn.json`.

The population is every place of net/, hw/net/ and hw/virtio/virtio*.c that calls through a pointer or
has something called later, whether qtrace knows a target or not. Draws are repeatable.
"""

from __future__ import annotations

import json
import random
import re
import sys

from qtrace.index.build import ensure_index
from qtrace.store.index import Index

SEED = 20261125
DRAWN = 160
_WHERE = re.compile(r"(net|hw/net)/|hw/virtio/virtio[^/]*\.c$")
Site = tuple[str, int, str]  # file, line, the function that it stands in


def population(index: Index) -> dict[Site, set[tuple[str, str]]]:
    """Every site, in order -> the targets (name, file) that the index reports."""
    functions = index.functions()
    found: dict[Site, set[tuple[str, str]]] = {}
    for number, row in functions.items():
        for edge in index.callees(number) if row.file else ():
            if edge.kind != "direct" and _WHERE.match(edge.file):
                target = functions[edge.callee]
                found.setdefault((edge.file, edge.line, row.name), set()).add((target.name, target.file))
    for caller, file, line, _ in index.unresolved():
        if _WHERE.match(file):
            found.setdefault((file, line, caller), set())
    return dict(sorted(found.items()))


def draw(index: Index) -> list[Site]:
    """The sites of the labelled set."""
    return sorted(random.Random(SEED).sample(list(population(index)), DRAWN))


if __name__ == "__main__":
    json.dump(
        [{"file": f, "line": n, "function": name} for f, n, name in draw(ensure_index()[0])],
        sys.stdout,
        indent=1,
    )
