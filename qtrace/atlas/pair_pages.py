"""The page of each pair: both directions of each datapath, or the reason why there is no walk."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from qtrace.atlas.edition import Edition, Page, templates
from qtrace.atlas.linking import Linker
from qtrace.atlas.pair_facts import HANDED, NIC_STAGES, NONE, STREAM, VHOST, WALK, Pair, Variant, Way
from qtrace.atlas.permalinks import backend_page, nic_page, pair_page
from qtrace.atlas.release_facts import Release
from qtrace.atlas.run_figures import Figures
from qtrace.explain.cost import cost
from qtrace.model import Direction, Path, Step
from qtrace.model import Way as StageWay
from qtrace.path.handed_queues import HandedQueues
from qtrace.report.drawing import draw_path, layer
from qtrace.report.speech import told
from qtrace.report.text import clean
from qtrace.report.walked import ending

__all__ = ["MARKS", "costs_of", "pair_pages", "types_of"]

# What the grid shows of a pair.
MARKS = {WALK: "⇄", STREAM: "⇄", VHOST: "⇉", HANDED: "⇢", NONE: "–"}


def pair_pages(edition: Edition, release: Release) -> Iterator[Page]:
    """One page for each pair of the release."""
    for pair in release.pairs.values():
        yield Page(
            pair_page(pair.nic, pair.netdev),
            f"{pair.nic} {edition.wording.on} {pair.netdev}",
            "pair.html.j2",
            functools.partial(_values, edition, release, pair),
            ((nic_page(pair.nic), pair.nic), (backend_page(pair.netdev), pair.netdev)),
            release,
        )


def _values(edition: Edition, release: Release, pair: Pair, link: Linker) -> dict[str, Any]:
    variants = [_variant(edition, release, variant) for variant in pair.variants]
    jumps = [
        (f"{variant['kind']}-{way['direction']}", f"{variant['title']}: {way['direction']}")
        for variant in variants
        for way in variant["ways"]
    ]
    return {
        "pair": pair,
        "types": types_of(release, pair.nic),
        "variants": variants,
        "jumps": jumps,
        "cost": _cost(edition, release, pair),
    }


def types_of(release: Release, nic: str) -> list[str]:
    """The types of a NIC that -device may make, those of a PCI card first."""
    found = [(bus != "PCI", name) for name, bus, pluggable in release.nics[nic].types if pluggable]
    return [name for _, name in sorted(found, key=lambda item: item[0])]


def _variant(edition: Edition, release: Release, variant: Variant) -> dict[str, Any]:
    t = edition.wording
    return {
        "kind": variant.kind,
        "title": t.word(f"variant_{variant.kind}"),
        "note": t.words.get(f"variant_{variant.kind}_about", ""),
        "ways": [
            _way(edition, release, variant, direction)
            for direction in Direction
            if direction is Direction.TX or not _same_reason(variant)
        ],
    }


def _same_reason(variant: Variant) -> bool:
    """Whether one reason says why there is no walk in either direction."""
    return isinstance(variant.tx, str) and variant.tx == variant.rx


def _way(edition: Edition, release: Release, variant: Variant, direction: Direction) -> dict[str, Any]:
    t, way = edition.wording, variant.way(direction)
    shown: dict[str, Any] = {
        "direction": direction.value,
        "id": f"{variant.kind}-{direction}",
        "title": t.both_directions if _same_reason(variant) else t.word(direction.value),
        "reason": "",
        "parts": [],
        "steps": [],
        "drawing": "",
        "head": [],
        "tail": [],
        "end": "",
        "command": _command(variant, way, direction),
    }
    if isinstance(way, str):
        return shown | {"reason": told(clean(way))}
    if isinstance(way, HandedQueues):
        parts = [
            {"what": told(clean(part.what)), "steps": [_step(edition, step, "kernel") for step in part.steps]}
            for part in way.parts
        ]
        return shown | {"parts": parts, "end": told(clean(way.end))}
    return shown | _walk(edition, release, way)


def _walk(edition: Edition, release: Release, path: Path) -> dict[str, Any]:
    figures = edition.runs.of(release.name, path)
    drawn = draw_path(
        figures.path if figures else path,
        figures.answers if figures else None,
        templates().get_template("path.svg.j2"),
    )
    return {
        "end": told(clean(ending(path))),
        "steps": [_walked_step(edition, release, path, step, figures) for step in path.steps],
        "drawing": drawn.inline,
        "head": figures.measured.head() if figures else [],
        "tail": figures.measured.tail() if figures else [],
    }


def _command(variant: Variant, way: Way, direction: Direction) -> str:
    if isinstance(way, str):
        return ""
    netdev = f"{variant.netdev},vhost=on" if variant.kind == VHOST else variant.netdev
    return f"qtrace walk {way.nic} {netdev} --direction {direction}"


def _walked_step(
    edition: Edition, release: Release, path: Path, step: Step, figures: Figures | None
) -> dict[str, Any]:
    ways = path.ways_of(step.stage) if step.stage else ()
    of_nic = step.stage in NIC_STAGES[path.direction]
    return _step(edition, step, path.boundary.kind) | {
        "measured": figures.measured.at(step) if figures else [],
        "ways": [_other(way, of_nic) for way in ways] if len(ways) > 1 else [],
        "of_nic": f"{nic_page(path.nic)}#{path.direction}-{step.stage}" if of_nic else "",
    }


def _step(edition: Edition, step: Step, beyond: str) -> dict[str, Any]:
    call = step.call
    how = ""
    if call:
        kind, _, confidence = call.how.partition(", ")
        # A call without a remark is a direct one: most are.
        words = ["" if kind == "direct" else edition.language.word(kind), edition.wording.word(confidence)]
        how = ", ".join(clean(word) for word in words if word)
    return {
        "function": step.function,
        "file": step.file,
        "line": step.line,
        "stage": step.stage.value if step.stage else "",
        "layer": layer(step.file, beyond)[0],
        "how": how,
        "notes": [told(clean(note)) for note in step.remarks],
        "evidence": [
            {"why": told(clean(item.why)), "file": item.file, "line": item.line}
            for item in (call.evidence if call else ())
        ],
        "measured": [],
        "ways": [],
        "of_nic": "",
    }


def _other(way: StageWay, of_nic: bool) -> Mapping[str, Any]:
    """A way of a stage. The evidence of a NIC's own ways is the same on every back end: its page has it."""
    evidence = () if way.usual or of_nic else way.evidence
    return {
        "function": way.function,
        "file": way.file,
        "line": way.line,
        "usual": way.usual,
        "condition": clean(way.condition),
        "evidence": [
            {"why": told(clean(item.why)), "file": item.file, "line": item.line} for item in evidence
        ],
    }


def costs_of(release: Release, nic: str, netdev: str) -> dict[bool, dict[str, Any]]:
    """Whether vhost carries the frames -> the rows that a committed report measured of the pair, if it was of
    this release."""
    entry = next(item for item in release.catalogue["nics"] if item["name"] == nic)
    found = {}
    for vhost in (False, True):
        rows = (cost(kind, netdev, vhost) for kind in entry["types"])
        known = next((item for item in rows if item), None)
        if known and known["conditions"]["QEMU"].split()[0] == release.qemu:
            found[vhost] = known
    return found


def _cost(edition: Edition, release: Release, pair: Pair) -> dict[str, Any] | None:
    """The rows with their conditions; None for a pair that was not measured in this release."""
    known = costs_of(release, pair.nic, pair.netdev)
    if not known:
        return None
    t = edition.wording
    rows = []
    for vhost, data in known.items():
        datapath = f"{pair.netdev},vhost=on" if vhost else pair.netdev
        for row in data["throughput"]:
            what = f"{t.throughput}, {row['direction']}"
            keys = ("throughput", "throughput interval", "ratio", "ratio interval")
            rows.append((datapath, what, *(row[key] for key in keys)))
        for row in data["latency"]:
            keys = ("p50", "p50 interval", "ratio", "ratio interval")
            rows.append((datapath, t.latency, *(row[key] for key in keys)))
    first = next(iter(known.values()))
    return {"run": first["run"], "conditions": first["conditions"], "rows": rows}
