"""The source indexes in the cache: one for each release that was indexed."""

from __future__ import annotations

import contextlib
from pathlib import Path

from qtrace.cache import cache_dir
from qtrace.errors import StoreError
from qtrace.store.index import FORMAT, Index, open_index

__all__ = ["all_indexes"]


def all_indexes() -> list[Index]:
    """Every index in the cache that this qtrace reads and whose tree is there, the newest of each name."""
    kept = sorted(cache_dir("indexes").glob(f"qemu-*-{FORMAT}.sqlite"), key=lambda path: path.stat().st_mtime)
    newest = {path.name.split("-")[1]: path for path in kept}
    opened = []
    for path in newest.values():
        with contextlib.suppress(StoreError):  # a damaged file hides no other release
            opened.append(open_index(path))
    return [index for index in opened if (root := index.meta.get("root")) and Path(root).is_dir()]
