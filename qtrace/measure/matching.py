"""Chooses the source index for a running or installed QEMU."""

from __future__ import annotations

from pathlib import Path

from qtrace.binary.file.version import qemu_version
from qtrace.errors import MissingPrerequisite, StoreError, TargetError
from qtrace.index.build import ensure_index
from qtrace.index.renew import index_named
from qtrace.progress import Progress
from qtrace.store.index import Index

__all__ = ["index_for"]


def index_for(binary: Path, name: str, progress: Progress, release: str | None = None) -> Index:
    """The index `name` (a version or a file); for "" the index of the package to which `binary` belongs.

    For a QEMU of no package, or whose package was upgraded since its start, it is an index of its `release`,
    which is read from the file if it is not given, and empty if the binary has no version. Raises TargetError
    if the index is of another release, StoreError.
    """
    if release is None:
        release = qemu_version(binary).split()[0]
    hint = "index the tree from which it was built: qtrace index --source TREE; then give --index"
    if name:
        index = index_named(name, progress)
    else:
        try:
            index, _ = ensure_index(progress, binary=binary)
        except MissingPrerequisite as exc:
            exc.hint = exc.hint or hint
            if not release:
                raise
            try:
                index = index_named(release, progress)
            except StoreError:
                raise exc from None
            progress.warn(f"{exc}: it is read with the index of QEMU {release}, {index.meta['root']}")
    if release and index.meta["qemu"] != release:
        raise TargetError(
            f"{binary} is QEMU {release}, the source index is of {index.meta['qemu']}", hint=hint
        )
    return index
