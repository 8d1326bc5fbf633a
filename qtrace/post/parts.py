"""What a template may put into a post besides facts: pictures, tables of the run, walks, packets, command
lines."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from qtrace.model import Direction, Path, Step
from qtrace.path.frame_copies import Copy
from qtrace.post.article import Grid, Listing
from qtrace.post.compose import Composer, PostKind
from qtrace.post.copy_counts import CopyCounts, grouped
from qtrace.post.fact_book import FactBook
from qtrace.post.index_facts import IndexFacts
from qtrace.post.language import Language
from qtrace.post.material import Material
from qtrace.post.path_drawing import draw_cards
from qtrace.post.run_facts import NAMES, RunFacts
from qtrace.post.sequence import draw_sequence, messages_of
from qtrace.post.topology_drawing import draw_topology, graph_of
from qtrace.report.drawing import lay_out
from qtrace.report.speech import speaking
from qtrace.store.index import Index

__all__ = ["Parts"]

_WIDE = 96  # characters of a decoded packet's line
_MISSING = "–"
_BACK_ENDS = {"vhost": "tap + vhost"}


class Parts:
    """The functions for one post in one language. Without a `run`, what needs one is empty: a template
    asks `measured`."""

    def __init__(
        self,
        kind: PostKind,
        language: Language,
        book: FactBook,
        material: Material,
        index: IndexFacts,
        run: RunFacts | None,
        newer: Index | None,
    ) -> None:
        self._kind, self._language, self._book = kind, language, book
        self._material, self._index, self._run, self._newer = material, index, run, newer
        self.composer = Composer(kind, language, book, self._functions())

    def _functions(self) -> dict[str, Any]:
        return {
            "measured": self._run is not None,
            "topology": self.topology,
            "sequence": self.sequence,
            "path_drawing": self.path_drawing,
            "walk": self.walk,
            "copies": self.copies,
            "link": self.link,
            "passes": self.passes,
            "forms": self.forms,
            "hops": self.hops,
            "relation": lambda place: self._book.use(f"hop.{place}.relation") if self.seen(place) else "",
            "seen": self.seen,
            "reach": self.reach,
            "table": self.table,
            "verdict": self._run.verdict if self._run else lambda _: "open",
            "times": self.times,
            "changed": self.changes,
            "compared": self._newer is not None,
            "put_sh": lambda text: self.composer.put(Listing(text, "sh")),
            "back_ends": {name: _BACK_ENDS.get(name, name) for name in NAMES.values()},
            "reading": self._language.reading,
            "slirp": "libslirp" in self._index.index.libraries,
        }

    def seen(self, place: str) -> bool:
        """Whether the packet was captured at a place."""
        return self._book.has(f"hop.{place}.relation")

    def topology(self, words: str) -> str:
        """The mode's picture."""
        graph = graph_of(
            self._material.mode, self._kind.guests, self._material.head["guests"], self._language
        )
        for node in graph.nodes.values():
            for line in node.lines:
                self._book.record(
                    f"drawn {node.name} {line}", line, "mode", f"{self._material.mode.name}: {node.name}"
                )
        return self.composer.put(draw_topology(graph, words, self._language).picture)

    def _path(self, direction: str, netdev: str = "") -> Path:
        return self._index.path(self._kind.nic, netdev or self._kind.netdev, Direction(direction))

    def sequence(self, direction: str, words: str, netdev: str = "") -> str:
        """A frame's way with the run's times on its arrows."""
        path = self._path(direction, netdev)

        def time_of(step: Step) -> str:
            return self._run.time_of(path, netdev or self._kind.netdev, step) if self._run else ""

        messages = messages_of(path, time_of)
        name = f"sequence-{direction}"
        return self.composer.put(draw_sequence(name, words, messages, self._language, self._kind.nic))

    def path_drawing(self, direction: str, netdev: str = "") -> str:
        """The path's stages with their places, and with what the run has counted and timed there."""
        path = self._index.at_tag(self._path(direction, netdev))
        with speaking(self._language.name):
            drawn = self._run.drawn(path) if self._run else lay_out(path, None)
        for card in drawn.cards:
            if card.via:
                name, at = f"drawn {path.netdev} {direction} {card.role} via", f"the walk, before {card.role}"
                self._book.record(name, " ".join(card.via), "index", at)
        return self.composer.put(draw_cards(path, drawn, self._language))

    def walk(self, direction: str, heads: Sequence[str], netdev: str = "") -> str:
        """The path's steps with their public places."""
        rows = []
        for step in self._path(direction, netdev).steps:
            link = self._index.step(step)
            rows.append((str(step.stage or ""), Composer.linked(link, step.function), self._reached(step)))
        return self.composer.put(Grid(tuple(heads), tuple(rows)))

    def copies(self, direction: str, heads: Sequence[str], netdev: str = "") -> str:
        """Every copy of a frame's bytes: what is copied by which function, where, how many bytes of a frame
        were counted, and on whose word that is."""
        path = self._path(direction, netdev)
        counted = CopyCounts(self._book, self._language, direction, path.netdev)
        rows = [
            (counted.what(group), _functions(group), self._places(group), *counted.told(group))
            for group in grouped(self._index.copies(path))
        ]
        rows += [(words, _MISSING, _MISSING, _MISSING, why) for words, why in counted.unseen(path)]
        return self.composer.put(Grid(tuple(heads), tuple(rows), frozenset({3})))

    def _places(self, group: Sequence[Copy]) -> str:
        said = []
        for copy in group:
            first, *others = (self._index.evidence(one.caller, one.file, one.line) for one in copy.places)
            more = [f"[{link.place}]({link.url})" for link in others]
            said.append(", ".join([Composer.linked(first), *more]))
        return "; ".join(said)

    def passes(self, direction: str, function: str) -> bool:
        """Whether the path of this post goes through a function."""
        return any(step.function == function for step in self._path(direction).steps)

    def _reached(self, step: Step) -> str:
        if step.call is None:
            return self._language.word("hardware")
        said = self._language.word(step.call.kind)
        if step.call.kind != "direct" and step.call.evidence:
            one = step.call.evidence[0]
            link = self._index.evidence(step.function, one.file, one.line)
            said += f"{self._language.word('set')} [{link.place}]({link.url})"
        return said

    def link(self, function: str, file: str = "") -> str:
        """A function's name with its place as a link."""
        return Composer.linked(self._index.link(function, file))

    def forms(self) -> str:
        """The network's command line in every form."""
        lines = [text for _, text in self._index.forms(self._kind.line)]
        return self.composer.put(Listing("\n".join(lines), "sh"))

    def hops(self, *sides: str) -> str:
        """The packet at every place of these sides (all, by default), one beneath the other."""
        parts = []
        for hop in self._material.hops:
            if sides and hop.side not in sides:
                continue
            stem = f"hop.{hop.place.name}"
            text = self._book.use(f"{stem}.text")
            lines = textwrap.wrap(
                text, _WIDE, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
            )
            parts.append("\n".join([f"{hop.machine} {hop.device}", *lines]))
        return self.composer.put(Listing("\n\n".join(parts), "text"))

    def reach(self, heads: Sequence[str], names: dict[str, str]) -> str:
        """Who reached whom by what; `names` are the cells in the order of the rows."""
        rows = []
        for cell, words in names.items():
            found = [self._book.use(f"reach.{cell}.{key}") for key in ("arp", "icmp", "tcp", "udp")]
            rows.append((words, *(self._language.word("yes" if item == "True" else "no") for item in found)))
        return self.composer.put(Grid(tuple(heads), tuple(rows)))

    def table(self, heads: Sequence[str], names: dict[str, str], columns: Sequence[str]) -> str:
        """Facts of the run, a row for each back end of `names`; a column is a fact's name with `*` for the
        back end."""
        shown = [at for at, column in enumerate(columns) if any(self._has(column, name) for name in names)]
        rows = []
        for name, words in names.items():
            cells = [self._cell(columns[at].replace("*", name)) for at in shown]
            if any(cell != _MISSING for cell in cells):
                rows.append((words, *cells))
        titles = (heads[0], *(heads[at + 1] for at in shown))
        return self.composer.put(Grid(titles, tuple(rows), frozenset(range(1, len(titles))))) if rows else ""

    def _has(self, column: str, name: str) -> bool:
        return self._book.has(column.replace("*", name))

    def _cell(self, name: str) -> str:
        return self._book.use(name) if self._book.has(name) else _MISSING

    def times(self, direction: str, heads: Sequence[str], netdev: str = "") -> str:
        """The time from each stage to the next, median and 99th percentile."""
        name = netdev or self._kind.netdev
        rows = []
        for step in self._path(direction, netdev).stages:
            stem = f"time.{name}.{direction}.{step.stage}"
            if self._book.has(f"{stem}.p50"):
                parts = (self._book.use(f"{stem}.p50"), self._cell(f"{stem}.p99"))
                rows.append((str(step.stage), f"`{step.function}`", *parts))
        return self.composer.put(Grid(tuple(heads), tuple(rows), frozenset({2, 3}))) if rows else ""

    def changes(self, heads: Sequence[str]) -> str:
        """What the path is in the other release that is indexed; empty where nothing is another."""
        if self._newer is None:
            return ""
        found = self._index.changes(self._newer, self._kind.nic, self._kind.netdev)
        rows = [(item.direction, _names(item.gone), _names(item.come)) for item in found]
        return self.composer.put(Grid(tuple(heads), tuple(rows))) if rows else ""


def _functions(group: Sequence[Copy]) -> str:
    return ", ".join(dict.fromkeys(f"`{copy.function}`" for copy in group))


def _names(functions: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in functions) or _MISSING
