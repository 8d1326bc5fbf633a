"""What the index says of a post: the frame's path with public places, the command line's forms, what
changed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from qtrace.explain.explanation import Reader
from qtrace.model import Direction, Path, Step
from qtrace.path.frame_copies import Copy, copies_on
from qtrace.path.walk import walk
from qtrace.post.fact_book import FactBook
from qtrace.post.source_links import Link, SourceLinks
from qtrace.store.index import Index

__all__ = ["Change", "IndexFacts"]

_RELEASE = re.compile(r"^\d+\.\d+")


@dataclass(frozen=True, slots=True)
class Change:
    """The functions of a path that the newer of two indexed releases has not, and those that it has
    besides."""

    direction: str
    gone: tuple[str, ...]
    come: tuple[str, ...]


class IndexFacts:
    """Answers of one index; each place that a post names becomes a fact of `book`."""

    def __init__(self, index: Index, book: FactBook, kernel: str) -> None:
        self.index, self.book = index, book
        release = _RELEASE.match(kernel)
        self._links = SourceLinks(index, release[0] if release else "")
        self.version = str(index.meta["qemu"])
        book.add("qemu", self.version, "index", "meta qemu")

    def path(self, nic: str, netdev: str, direction: Direction, datapath: str = "qemu") -> Path:
        """The frame's path. Raises NoPath."""
        return walk(self.index, nic, netdev, datapath, direction=direction)

    def link(self, function: str, file: str = "") -> Link:
        """The public place of a function's definition. Raises PostError."""
        return self._used(self._links.function(function, file))

    def step(self, step: Step) -> Link | None:
        """The public place of a step; None for what is outside of the index."""
        if not step.file:
            return None
        return self._used(self._links.place(step.function, step.file, step.line))

    def at_tag(self, path: Path) -> Path:
        """The path with every place as it is at the release's tag; a line that a patch made is 0."""
        return replace(path, steps=tuple(self._moved(step) for step in path.steps))

    def _moved(self, step: Step) -> Step:
        link = self.step(step) if step.stage else None
        return replace(step, line=link.line) if link else step

    def copies(self, path: Path) -> tuple[Copy, ...]:
        """The copies of a frame's bytes on the path."""
        return copies_on(self.index, path)

    def evidence(self, function: str, file: str, line: int) -> Link:
        """The public place where a pointer to `function` is set or called."""
        return self._used(self._links.place(function, file, line), "evidence")

    def _used(self, link: Link, what: str = "definition") -> Link:
        name = f"{what} {link.function} {link.file}"
        at = f"{what} of {link.function}, in the tree of {self.version}" + (
            "" if link.line else ", moved by a patch"
        )
        if not self.book.has(f"{name}:{link.line}"):
            self.book.add(f"{name}:{link.line}", link.place, "index", at)
        self.book.use(f"{name}:{link.line}")
        return link

    def forms(self, line: Sequence[str]) -> list[tuple[str, str]]:
        """(form, command line) of a network: as given, in the other forms that explain knows, and in the
        oldest one, whose hub explain finds. Raises RefusedLine."""
        reader = Reader(self.index)
        data: dict[str, Any] = reader.explain(list(line))
        found = [("-netdev -device", shlex.join(line))]
        for item in data["rewrites"]:
            found.append((str(item["form"]), shlex.join(item["argv"])))
            if item["form"] == "-nic":
                oldest = _with_net(item["argv"])
                if reader.explain(oldest)["hubs"]:
                    found.append(("-net", shlex.join(oldest)))
        for form, text in found:
            self.book.record(f"form {form}", text, "explain", f"the same network in the form {form}")
        return found

    def changes(self, other: Index, nic: str, netdev: str) -> list[Change]:
        """The functions on a frame's path that `other` has not, or has besides, by direction.

        None where the path is the same function by function. Raises NoPath.
        """
        version = str(other.meta["qemu"])
        self.book.record("qemu.newer", version, "index", f"meta qemu of the index of {version}")
        found = []
        for direction in Direction:
            before = [step.function for step in walk(self.index, nic, netdev, direction=direction).steps]
            after = [step.function for step in walk(other, nic, netdev, direction=direction).steps]
            gone = [name for name in before if name not in after]
            come = [name for name in after if name not in before]
            for name in (*gone, *come):
                where = self.version if name in gone else version
                self.book.record(f"changed {direction} {name}", name, "index", f"the walk in {where}")
            if gone or come:
                found.append(Change(direction.value, tuple(gone), tuple(come)))
        return found


def _with_net(argv: Sequence[str]) -> list[str]:
    """A line with -nic in the oldest form: NIC and back end are two ports of one hub."""
    at = list(argv).index("-nic")
    kind, *options = argv[at + 1].split(",")
    model = [one for one in options if one.startswith("model=")]
    others = [one for one in options if not one.startswith(("model=", "id="))]
    ends = ("-net", ",".join(["nic", *model]), "-net", ",".join([kind, *others]))
    return [*argv[:at], *ends, *argv[at + 2 :]]
