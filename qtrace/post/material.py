"""What a post is made from beside index and run: one folder with a lab's transcript, packets and
reachability."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qtrace.errors import PostError, StoreError
from qtrace.lab.experiment.experiment import perform
from qtrace.lab.experiment.hops import Hop, read_hops
from qtrace.lab.experiment.lab_script import load_script
from qtrace.lab.experiment.transcript import Entry, read_transcript
from qtrace.lab.mode.mode import Mode, load_mode
from qtrace.lab.reachability.table import measure_reach
from qtrace.progress import SILENT, Progress

__all__ = ["Material", "gather", "read_material"]


@dataclass(frozen=True, slots=True)
class Material:
    """`head` says of which lab it is, `captured` what was sent while packets were captured and how many
    were counted; `reach` has the cells of the mode's row by name."""

    folder: Path
    mode: Mode
    head: dict[str, Any]
    entries: dict[str, Entry]
    captured: dict[str, Any]
    hops: list[Hop]
    reach: dict[str, Any]


def gather(script_name: str, folder: Path, progress: Progress = SILENT) -> Material:
    """Run the script's experiment in a lab, and try who reaches whom in its mode; all is kept in `folder`.

    Raises LabError, MissingPrerequisite.
    """
    script = load_script(script_name)
    folder.mkdir(parents=True, exist_ok=True)
    perform(script, folder, progress=progress)
    (row,) = measure_reach([load_mode(script.mode)], progress=progress)
    if row.failed:
        raise PostError(f"who reaches whom in {script.mode} could not be tried: {row.failed}")
    rights = row.privilege.to_json() if row.privilege else {}
    data = {
        "mode": row.mode,
        "rights": rights,
        "cells": {name: asdict(cell) for name, cell in row.cells.items()},
    }
    (folder / "reach.json").write_text(json.dumps(data, indent=2) + "\n")
    return read_material(folder)


def read_material(folder: Path) -> Material:
    """What `gather` left. Raises StoreError."""
    head, entries = read_transcript(folder)
    captured, hops = read_hops(folder)
    try:
        reach = json.loads((folder / "reach.json").read_text())
    except (OSError, ValueError) as exc:
        raise StoreError(f"{folder / 'reach.json'} cannot be read: {exc}") from exc
    return Material(
        folder, load_mode(head["mode"]), head, {entry.name: entry for entry in entries}, captured, hops, reach
    )
