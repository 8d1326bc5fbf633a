"""The part of a plan that one `qtrace bench` measures: all of it, some blocks, or the rest of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtrace.campaign.plan import Job, Plan, load_plan, stored_plan
from qtrace.campaign.rounds import Taken, due, taken_of
from qtrace.errors import StoreError
from qtrace.store.run import RunReader, RunWriter, require_free

__all__ = ["Assignment", "assigned", "resumed"]

# Conditions that say when a run was measured, and not how.
_MOMENTS = frozenset({"date"})


@dataclass(frozen=True, slots=True)
class Assignment:
    """`jobs` are to be measured next, into `folder`; `taken` is what a resumed run has already.

    `words` are the arguments of `qtrace bench` that ask for the same in the lab machine. `run` is the
    interrupted run that is resumed.
    """

    plan: Plan
    blocks: tuple[str, ...]
    jobs: tuple[Job, ...]
    folder: Path
    words: tuple[str, ...]
    run: RunReader | None = None
    taken: tuple[Taken, ...] = ()

    def require_folder(self) -> None:
        """Raise StoreError unless the run can be written to the folder."""
        if self.run is None:
            require_free(self.folder)

    def open(self, meta: Mapping[str, Any]) -> RunWriter:
        """The run's writer. Raises StoreError where a resumed run was measured under other conditions."""
        if self.run is None:
            return RunWriter.create(
                self.folder, {**meta, **({"blocks": [*self.blocks]} if self.blocks else {})}
            )
        before = self.run.meta
        old, new = ({"venue": item["venue"], **item["conditions"]} for item in (before, meta))
        for name in {**old, **new}:
            if name not in _MOMENTS and old.get(name) != new.get(name):
                raise StoreError(
                    f"{self.folder} was measured under other conditions: {name}: {old.get(name)}, "
                    f"and now {new.get(name)}",
                    hint="measure the plan anew, into another folder",
                )
        writer = RunWriter.resume(self.run)
        writer.update(resumed=[*before.get("resumed", ()), len(self.taken)])
        return writer


def assigned(name: str, folder: Path, blocks: Sequence[str] = ()) -> Assignment:
    """These blocks of the plan `name` (or of the plan at that path), or all of it.

    Raises PlanError; KeyError for a block that the plan does not have.
    """
    plan = load_plan(name)
    known = {block.id for block in plan.blocks}
    for block in blocks:
        if block not in known:
            raise KeyError(block)
    words = (name, "-o", str(folder), *(word for block in blocks for word in ("--block", block)))
    return Assignment(plan, tuple(blocks), plan.jobs(blocks), folder, words)


def resumed(folder: Path) -> Assignment:
    """The rest of an interrupted run. A failed measurement is recorded, with its reason, and not repeated.

    Raises StoreError for a folder that has no such run, PlanError where its plan is damaged.
    """
    run = RunReader.open(folder)
    data = run.meta.get("plan")
    plan = stored_plan(data if isinstance(data, dict) else {}, str(folder / "run.json"))
    blocks = tuple(str(block) for block in run.meta.get("blocks") or ())
    taken = taken_of(run.table("results").to_pylist())
    return Assignment(
        plan,
        blocks,
        due(plan, blocks, taken),
        folder,
        ("--resume", str(folder)),
        run,
        taken,
    )
