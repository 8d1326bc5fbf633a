"""Which of the releases that are indexed take a whole line, and what those that do not say of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from qtrace.errors import RefusedLine
from qtrace.explain.explanation import Reader
from qtrace.store.index import Index

__all__ = ["Taken", "releases_that_take"]


@dataclass(frozen=True, slots=True)
class Taken:
    """`refusal` is why the release refuses the line, empty where it takes it; `hint` what to do about it."""

    release: str
    refusal: str = ""
    hint: str = ""


def releases_that_take(
    indexes: Iterable[Index], argv: Sequence[str], config: Collection[str] = (), *, strict: bool = False
) -> list[Taken]:
    """One for each index, the oldest release first, one index a release."""
    found = {}
    for index in indexes:
        release = index.meta["qemu"]
        if release not in found:
            try:
                Reader(index).network(argv, config, strict=strict)
                found[release] = Taken(release)
            except RefusedLine as exc:
                found[release] = Taken(release, str(exc), exc.hint)
    return sorted(found.values(), key=lambda taken: _numbers(taken.release))


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split(".") if part.isdigit())
