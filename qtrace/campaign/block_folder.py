"""The folder of a plan's measured blocks: one run for each block, shared by the machines that measure them.

`RUN.blocks` stands beside the run that is made of it. A block's run has its final name only when it is whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from qtrace.cache import atomic_file, hold
from qtrace.campaign.plan import Plan, load_plan, plan_text
from qtrace.errors import StoreError
from qtrace.store.run import RunReader, require_free
from qtrace.store.run_merge import merge_runs

__all__ = ["BlockFolder", "why_not_done"]

_DONE = ("complete", "partial")


def why_not_done(folder: Path, block: str) -> str:
    """Why `folder` is not the finished run of this block alone; empty if it is."""
    try:
        run = RunReader.open(folder)
    except StoreError as exc:
        return str(exc)
    if run.meta["status"] not in _DONE:
        return f"{folder} was not measured to its end ({run.meta['status']})"
    if run.meta.get("blocks") != [block]:
        return f"{folder} is not the run of block {block}"
    run.table("results")
    return f"{folder} is damaged: {run.damaged[0]}" if run.damaged else ""


class BlockFolder:
    """The measured blocks of `plan`, for the run at `run`."""

    def __init__(self, run: Path, name: str) -> None:
        """`name` is the plan's name or path. Nothing is written. Raises PlanError."""
        self.run = run
        self.path = run.with_name(f"{run.name}.blocks")
        self.plan: Plan = load_plan(name)
        self._text = plan_text(name)

    @property
    def plan_file(self) -> Path:
        """The plan as the workers read it."""
        return self.path / "plan.toml"

    @property
    def digest(self) -> str:
        """SHA-256 of the plan's file, by which a worker knows that it sees the same folder."""
        return hashlib.sha256(self.plan_file.read_bytes()).hexdigest()

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Make the folder if it is not there, and keep other clients out.

        Raises StoreError where it belongs to another plan, or to another client that is alive.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path / ".client", os.O_CREAT | os.O_RDWR, 0o644)
        except OSError as exc:
            raise StoreError(f"cannot write the blocks' folder {self.path}: {exc.strerror}") from exc
        try:
            if not hold(lock):
                raise StoreError(f"another qtrace is measuring into {self.path}", hint="wait for its end")
            self._require_plan()
            yield
        finally:
            os.close(lock)

    def _require_plan(self) -> None:
        if self.plan_file.exists():
            if load_plan(str(self.plan_file)) != self.plan:
                raise StoreError(
                    f"{self.path} holds blocks of another plan, {self.plan_file}",
                    hint="give another folder with -o, or remove this one",
                )
            return
        try:
            with atomic_file(self.plan_file) as beside:
                beside.write_text(self._text)
        except OSError as exc:
            raise StoreError(f"cannot write {self.plan_file}: {exc.strerror}") from exc

    def to_measure(self) -> list[tuple[str, str]]:
        """Each block that is not done, with the reason where it has a folder all the same."""
        found = []
        for block in self.plan.blocks:
            folder = self.path / block.id
            if not folder.exists():
                found.append((block.id, ""))
            elif reason := why_not_done(folder, block.id):
                found.append((block.id, reason))
        return found

    def merged(self) -> RunReader | None:
        """The run, if it is there already. Raises StoreError where its place is taken by something else."""
        if not (self.run / "run.json").exists():
            require_free(self.run)
            return None
        run = RunReader.open(self.run)
        stored = run.meta.get("plan")
        if run.meta["status"] not in _DONE or stored != self.plan.to_json():
            raise StoreError(f"{self.run} is another run", hint="give another folder with -o")
        return run

    def merge(self, command: Sequence[str]) -> RunReader:
        """Join all blocks into the run, which is there whole or not at all. Raises StoreError."""
        work = self.path / ".merging"
        shutil.rmtree(work, ignore_errors=True)  # of a client that was killed
        parts = [RunReader.open(self.path / block.id) for block in self.plan.blocks]
        try:
            merge_runs(parts, work / self.run.name, command)
            (work / self.run.name).rename(self.run)
        except OSError as exc:
            raise StoreError(f"cannot write {self.run}: {exc.strerror}") from exc
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return RunReader.open(self.run)
