"""The QEMUs of a plan: where each is, its index, and the cells that cannot be with it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from qtrace.binary.file.version import qemu_version
from qtrace.campaign.plan import LeftOut, Plan
from qtrace.errors import MissingPrerequisite, NoPath, QtraceError
from qtrace.lab.guest.guest import find_qemu
from qtrace.lab.guest.qemu_program import QemuProgram
from qtrace.measure.matching import index_for
from qtrace.model import Cell
from qtrace.path.catalogue import backend_name, find_nic
from qtrace.progress import Progress
from qtrace.store.index import Index, open_index

__all__ = ["PlanQemu", "PlanQemus", "absent_cells", "find_qemus"]


@dataclass(frozen=True, slots=True)
class PlanQemu:
    """A QEMU that cells name. `version` is its release and package: `10.0.13 (Debian 1:10.0.13+ds-0)`."""

    program: QemuProgram
    version: str

    @property
    def release(self) -> str:
        """`10.0.13`."""
        return self.version.split()[0]

    def to_json(self) -> dict[str, Any]:
        """JSON-ready; `of_json` is its inverse."""
        return {**self.program.to_json(), "version": self.version}

    @classmethod
    def of_json(cls, data: dict[str, Any]) -> Self:
        """Raises KeyError or TypeError for data of another shape."""
        return cls(QemuProgram.of_json(data), str(data["version"]))


@dataclass(frozen=True, slots=True)
class PlanQemus:
    """By name in the plan: the programs, without the installed one that no cell names; the index of each, of
    a plan without probes as far as it is here; and the cells that are left out."""

    programs: Mapping[str, PlanQemu]
    indexes: Mapping[str, Index]
    left_out: tuple[LeftOut, ...]


def find_qemus(plan: Plan, blocks: Collection[str], index_name: str, progress: Progress) -> PlanQemus:
    """The QEMUs of these blocks, or of all: fetched, and the installed one's index made, where necessary.

    The cells of a QEMU that is not to be had, or that has no index here, are left out; a block that is asked
    for by its id is not, as another machine may have its QEMU. `index_name` is the index of the QEMU of its
    release. Raises QtraceError for such a block, and for the installed QEMU where cells name none.
    """
    cells = [cell for block in plan.chosen(blocks) for cell in block.cells]
    programs: dict[str, PlanQemu] = {}
    indexes: dict[str, Index] = {}
    left_out: list[LeftOut] = []
    for name in dict.fromkeys(cell.setting.qemu for cell in cells):
        mine = [cell for cell in cells if cell.setting.qemu == name]
        if not name:
            indexes[""] = index_for(find_qemu(), index_name, progress)
            left_out += absent_cells(mine, indexes[""])
            continue
        try:
            place = plan.qemus.get(name, "")
            found = _found(name, place, progress)
            index = _index_of(found, place, index_name, progress, needed=plan.probes)
        except QtraceError as exc:
            if blocks:
                raise
            reason = f"{exc} ({exc.hint})" if exc.hint else str(exc)
            left_out += [LeftOut(cell.id, reason) for cell in mine]
            continue
        programs[name] = found
        progress.done(f"QEMU {name}: {found.version}, {found.program.file}")
        if index:
            indexes[name] = index
            left_out += absent_cells(mine, index)
    return PlanQemus(programs, indexes, tuple(left_out))


def _found(name: str, place: str, progress: Progress) -> PlanQemu:
    """Raises MissingPrerequisite where it is not to be had, or is another release than its name says."""
    if place.startswith("/"):
        if not Path(place).is_file():
            raise MissingPrerequisite(f"QEMU {name} is not here: there is no program {place}")
        program = QemuProgram(Path(place))
    elif place:
        program = QemuProgram.of_release(place, progress)
    else:
        program = QemuProgram(find_qemu())
    found = PlanQemu(program, qemu_version(program.file.resolve()))
    if name[0].isdigit() and not f"{found.release}.".startswith(f"{name}."):
        where = f"{place} has" if place else "installed is"
        raise MissingPrerequisite(
            f"QEMU {name} is not here: {where} QEMU {found.release}",
            hint=f'say in the plan where it is: [qemu] "{name}" = "PROGRAM" or "RELEASE"',
        )
    return found


def _index_of(
    qemu: PlanQemu, place: str, index_name: str, progress: Progress, *, needed: bool
) -> Index | None:
    """None where it is not here and not `needed`, else raises QtraceError with the command that makes it."""
    mine = index_name if _is_of(index_name, qemu.release) else ""
    try:
        if not place:
            return index_for(qemu.program.file, mine, progress)
        return index_for(qemu.program.file, mine or qemu.release, progress, qemu.release)
    except QtraceError as exc:
        if not needed:
            return None
        if not place:
            raise
        make = f"--debian {place}" if not place.startswith("/") else "--source TREE"
        raise MissingPrerequisite(
            f"there is no source index of QEMU {qemu.release}", hint=f"run: qtrace index {make}"
        ) from exc


def _is_of(index_name: str, release: str) -> bool:
    """Whether the index of this name, a release or a file, is of that release."""
    if Path(index_name).is_file():
        return open_index(Path(index_name)).meta["qemu"] == release
    return index_name.partition("+")[0] == release


def absent_cells(cells: Iterable[Cell], index: Index) -> Iterator[LeftOut]:
    """The cells whose NIC or back end this QEMU's source does not have."""
    known = {backend_name(driver) for driver, *_ in index.backends()}
    for cell in cells:
        kind = cell.netdev.removeprefix("hubport.").partition(".")[0]
        try:
            find_nic(index, cell.nic)
        except NoPath as exc:
            yield LeftOut(cell.id, str(exc))
        else:
            if kind not in known:
                yield LeftOut(cell.id, f"QEMU {index.meta['qemu']} has no netdev {kind!r}")
