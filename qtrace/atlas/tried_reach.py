"""Who reaches whom in each mode of the lab, as `make reach` tried it: the committed table, unchanged."""

from __future__ import annotations

import functools
import tomllib
from importlib import resources

from qtrace.lab.mode.mode import CELLS

__all__ = ["COLUMNS", "tried"]

# QEMU's own rights when it started, those of what was set up before, then each pair of machines.
COLUMNS = ("start", "setup", *CELLS)


@functools.cache
def tried() -> dict[str, dict[str, str]]:
    """Mode -> column -> answer; `in` has the conditions."""
    text = (resources.files("qtrace.atlas") / "reach_tried.toml").read_text(encoding="utf-8")
    return {row["mode"]: row for row in tomllib.loads(text)["row"]}
