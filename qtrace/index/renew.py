"""Builds an index again if another release of qtrace built it, from the tree that it names."""

from __future__ import annotations

import json
from pathlib import Path

from qtrace.errors import OldIndex, StoreError
from qtrace.index.build import ensure_index, recipe_of
from qtrace.index.libraries import open_library
from qtrace.progress import Progress
from qtrace.store.index import Index, find_index

__all__ = ["index_named"]


def index_named(name: str, progress: Progress) -> Index:
    """The index `name` as `find_index` finds it, built again if another release of qtrace built it.

    Raises StoreError if that is impossible, with the command to type: the tree no longer exists, or the index
    does not record the options with which it was built.
    """
    try:
        return find_index(name)
    except OldIndex as old:
        return _made_again(old, progress, current=not name)


def _made_again(old: OldIndex, progress: Progress, current: bool) -> Index:
    meta = old.meta
    root, build = meta.get("root", ""), meta.get("build", "")
    named: dict[str, str] = json.loads(meta.get("libraries", "{}"))
    more: list[str] = json.loads(meta.get("more", "[]"))
    trees = [root, *named.values(), *([build] if build else [])]
    if gone := [tree for tree in trees if not tree or not Path(tree).is_dir()]:
        raise StoreError(f"{old}, and its tree has gone: {gone[0]}", hint=old.hint) from old
    libraries = [open_library(Path(named[name])) for name in sorted(named)]
    folder = Path(build) if build else None
    # An older release recorded neither the build folder nor further files: then the recipe differs.
    if meta.get("recipe") != recipe_of(meta.get("libclang", ""), folder, libraries, more):
        raise StoreError(
            f"{old}, and it does not say with which options",
            hint=f"make it again: qtrace index --source {root} --build DIR",
        ) from old
    index, _ = ensure_index(progress, Path(root), None, folder, libraries, more, current)
    return index
