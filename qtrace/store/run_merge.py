"""Runs of a plan's blocks, measured by several machines, become one run."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from qtrace.errors import StoreError
from qtrace.store.left_out import LEFT_OUT, left_out_fact
from qtrace.store.run import RunReader, RunWriter, require_free
from qtrace.store.run_pack import pack_table
from qtrace.store.run_schema import FORMAT, SCHEMAS

__all__ = ["merge_runs"]

_DONE = ("complete", "partial")
# What differs between two runs of one machine under the same conditions.
_NOT_KEPT = frozenset({"date"})
# The beginning of the conditions of one QEMU of a plan with several: only its own blocks have them.
_OF_QEMU = "QEMU "


def merge_runs(parts: Sequence[RunReader], folder: Path, command: Sequence[str]) -> RunReader:
    """Join the parts into a new run in `folder`: every block of their plan stands in exactly one of them.

    `conditions` of the new run are those that all machines share; `hosts` has each machine's own. Raises
    StoreError where a part has another plan, venue or format or was not measured to its end, and where a
    block is missing or was measured twice; then nothing is written.
    """
    require_free(folder)
    measured = {part.path: _blocks(part) for part in parts}
    _require_alike(parts)
    _require_each_once([str(block) for block in parts[0].meta["plan"]["blocks"]], measured)
    hosts = _hosts(parts, measured)
    first = parts[0].meta
    with RunWriter.create(
        folder,
        {
            "qtrace": first["qtrace"],
            "command": list(command),
            "venue": first["venue"],
            "venue_reason": first.get("venue_reason", ""),
            "conditions": _shared(hosts),
            "hosts": hosts,
            "plan": first["plan"],
            "left_out": _union(parts, "left_out"),
            **({"resumed": times} if (times := _all(parts, "resumed")) else {}),
            # A ratio is one machine's, so nothing changes.
            **({"precision": found} if (found := _all(parts, "precision")) else {}),
            "paths": _union(parts, "paths"),
        },
    ) as writer:
        packed = _pack(parts, folder)
        for part in parts:
            _copy(part, folder, packed)
        whole = all(part.meta["status"] == "complete" for part in parts)
        writer.update(created=min(part.meta["created"] for part in parts))
        writer.finish("complete" if whole else "partial")
    return RunReader.open(folder)


def _blocks(part: RunReader) -> list[str]:
    """The blocks that a part holds. Raises StoreError for a part that cannot be joined with others."""
    meta = part.meta
    if meta["format"] != FORMAT:
        raise StoreError(f"{part.path} is of format {meta['format']}: only format {FORMAT} is merged")
    if meta["status"] not in _DONE:
        raise StoreError(
            f"{part.path} was not measured to its end ({meta['status']})",
            hint=f"qtrace bench --resume {part.path}",
        )
    plan = meta.get("plan")
    planned = plan.get("blocks") if isinstance(plan, dict) else None
    blocks = meta.get("blocks") or planned
    if not (isinstance(blocks, list) and isinstance(planned, list) and blocks):
        raise StoreError(f"{part.path} does not say which blocks it holds: it is no run of 'qtrace bench'")
    return [str(block) for block in blocks]


def _require_alike(parts: Sequence[RunReader]) -> None:
    first = parts[0]
    for part in parts[1:]:
        if part.meta["venue"] != first.meta["venue"]:
            venues = f"{first.meta['venue']} and {part.meta['venue']}"
            raise StoreError(f"{first.path} and {part.path} were measured in different venues: {venues}")
        if part.meta["plan"] != first.meta["plan"]:
            raise StoreError(f"{first.path} and {part.path} are runs of different plans")


def _require_each_once(wanted: Sequence[str], measured: Mapping[Path, Sequence[str]]) -> None:
    times = Counter(block for blocks in measured.values() for block in blocks)
    for block, number in times.items():
        if number > 1:
            where = ", ".join(str(path) for path, blocks in measured.items() if block in blocks)
            raise StoreError(f"block {block} was measured {number} times: {where}")
    if missing := [block for block in wanted if block not in times]:
        listed = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise StoreError(
            f"{len(missing)} of {len(wanted)} blocks were not measured: {listed}",
            hint=f"qtrace bench PLAN --block {missing[0]} -o FOLDER",
        )


def _hosts(parts: Sequence[RunReader], measured: Mapping[Path, Sequence[str]]) -> list[dict[str, Any]]:
    """One entry for all parts with the same conditions: as far as can be told, one machine. It has the
    conditions of each QEMU that any of them ran, and all cells that they left out."""
    found: list[dict[str, Any]] = []
    of_host: list[list[RunReader]] = []
    for part in parts:
        kept = {name: text for name, text in part.meta["conditions"].items() if name not in _NOT_KEPT}
        place = next((n for n, host in enumerate(found) if _agree(host["conditions"], kept)), len(found))
        if place == len(found):
            found.append({"blocks": [], "conditions": {}})
            of_host.append([])
        if found[place]["conditions"].get(LEFT_OUT, kept.get(LEFT_OUT)) != kept.get(LEFT_OUT):
            kept |= _left_out([*of_host[place], part])
        found[place]["conditions"] |= kept
        found[place]["blocks"] += measured[part.path]
        of_host[place].append(part)
    return found


def _agree(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether one machine can have both conditions."""
    own = {name for name in one.keys() ^ other.keys() if name.startswith(_OF_QEMU) or name == LEFT_OUT}
    return all(one.get(name) == other.get(name) for name in {*one, *other} - own - {LEFT_OUT})


def _left_out(parts: Sequence[RunReader]) -> dict[str, str]:
    plan = parts[0].meta["plan"]
    reasons = [str(one["reason"]) for one in _union(parts, "left_out")]
    return left_out_fact(reasons, len(plan["cells"]) + len(plan.get("left_out", ())))


def _shared(hosts: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    first, *others = [host["conditions"] for host in hosts]
    return {name: text for name, text in first.items() if all(other.get(name) == text for other in others)}


def _all(parts: Sequence[RunReader], name: str) -> list[Any]:
    """What the parts list under `name`."""
    return [one for part in parts for one in part.meta.get(name) or ()]


def _union(parts: Sequence[RunReader], name: str) -> list[Any]:
    """What the parts list under `name`, each entry once."""
    found: list[Any] = []
    for part in parts:
        found += [entry for entry in part.meta.get(name, []) if entry not in found]
    return found


def _pack(parts: Sequence[RunReader], folder: Path) -> set[Path]:
    """The tables of the format, packed; returns the files of the parts that are in them. A damaged file is
    not, and a table that only an instrument knows stays as it is."""
    packed: set[Path] = set()

    def rows(name: str) -> Iterator[pa.Table]:
        found = [(file, part) for part in parts for file in part.files(name)]
        for file, part in sorted(found, key=lambda item: (item[0].parent.name, item[0].name)):
            if (read := part.rows(name, file)) is not None:
                packed.add(file)
                yield read

    for name in SCHEMAS:
        pack_table(folder, name, rows(name))
    return packed


def _copy(part: RunReader, folder: Path, packed: Collection[Path]) -> None:
    """Every other file. No two parts have a cell in common, so no two files have one name."""
    for name in ("data", "raw"):
        for file in sorted((part.path / name).rglob("*")):
            # A name with a dot in front is a file that its writer did not finish.
            outside = not file.resolve().is_relative_to(part.path.resolve())
            if outside or not file.is_file() or file.name.startswith(".") or file in packed:
                continue
            target = folder / file.relative_to(part.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(file, target)
            except OSError as exc:
                raise StoreError(f"cannot copy {file} to {target}: {exc.strerror}") from exc
