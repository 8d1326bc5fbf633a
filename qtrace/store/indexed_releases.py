"""The source indexes in the cache: one for each release that was indexed."""

from __future__ import annotations

from pathlib import Path

from qtrace.cache import cache_dir
from qtrace.store.index import FORMAT, Index, open_index

__all__ = ["all_indexes"]


def all_indexes() -> list[Index]:
    """Every index in the cache that this qtrace reads and whose tree is there, the newest of each name."""
    kept = sorted(cache_dir("indexes").glob(f"qemu-*-{FORMAT}.sqlite"), key=lambda path: path.stat().st_mtime)
    newest = {path.name.split("-")[1]: path for path in kept}
    opened = [open_index(path) for path in newest.values()]
    return [index for index in opened if Path(index.meta.get("root", "")).is_dir()]
