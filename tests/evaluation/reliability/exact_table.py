"""Every NIC on a tap and every back end in every form: known frames each way, as a table."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from exact import Kind, Traced, Window, open_traced, pass_frames, pass_segments, set_mtu, wrong
from trial import Bench

from qtrace.errors import QtraceError
from qtrace.lab.guest.guest_image import NIC_MODULES
from qtrace.lab.link.sockets import FORMS
from qtrace.model import Direction

__all__ = ["KINDS", "TITLE", "renewed", "section"]

TITLE = "Exact counts"

_NICS = (
    *("virtio-net-pci", "e1000", "e1000e", "rtl8139", "pcnet", "ne2k_pci", "tulip", "vmxnet3", "usb-net"),
    *("i82550", "i82551", "i82557b", "i82559c", "i82801"),
)
_SIZES = (60, 1514)
_JUMBO, _JUMBO_NICS, _JUMBO_FRAMES = 9014, ("virtio-net-pci", "e1000", "e1000e", "vmxnet3"), 211
_OFFLOADS = ("virtio-net-pci", "e1000", "e1000e", "vmxnet3")


def _back_ends(nic: str) -> list[Kind]:
    wired = [Kind(nic, netdev, form) for netdev, forms in FORMS.items() for form in forms]
    return [
        Kind(nic, "user"),
        *wired,
        Kind(nic, "vde"),
        Kind(nic, "tap", hub=True),
        Kind(nic, "user", hub=True),
    ]


KINDS = (*(Kind(nic, "tap") for nic in _NICS), *_back_ends("virtio-net-pci"), *_back_ends("e1000"))


def renewed(bench: Bench, lines: Sequence[str], names: Sequence[str]) -> list[str]:
    """The lines of a section with the rows of these kinds made anew."""
    found = list(lines)
    for kind in (kind for kind in KINDS if str(kind) in names):
        print(f"exact: {kind}", file=sys.stderr, flush=True)
        row = _row(bench, kind)
        (place,) = (at for at, line in enumerate(found) if line.startswith(f"| {row[0]} | {row[1]} |"))
        found[place] = "| " + " | ".join(row) + " |"
    return found


def section(bench: Bench, kinds: Sequence[Kind] = KINDS) -> list[str]:
    """Lines of Markdown."""
    lines = [
        "One guest a row. 1009 UDP frames of 60 bytes (the smallest) and 1009 of 1514 (the largest) are sent "
        "each way: from the guest by its kernel's packet generator, to it from the host. `each` are the "
        "stages that counted every one of them, of both sizes, and, of the other direction, every answer "
        "that the receiver's own kernel says it has sent. `otherwise` are stages that count something else "
        "by nature. "
        "`devices` are the counters that moved by the same numbers: the guest's own driver, and the tap's.",
        "",
        "| NIC | netdev | tx: each | rx: each | otherwise | devices | jumbo (9014) | |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind in kinds:
        print(f"exact: {kind}", file=sys.stderr, flush=True)
        lines.append("| " + " | ".join(_row(bench, kind)) + " |")
    return [*lines, "", *_segments(bench)]


def _row(bench: Bench, kind: Kind) -> list[str]:
    netdev = " ".join(filter(None, (kind.netdev, kind.form, "behind a hub" if kind.hub else "")))
    head = [kind.nic, netdev]
    if kind.nic not in NIC_MODULES:
        return [*head, "", "", "", "", "", "not tried: Debian's kernel has no driver for it that works"]
    try:
        with open_traced(kind, bench.attacher, bench.index) as traced:
            windows = [pass_frames(traced, way, size) for size in _SIZES for way in Direction]
            jumbo = _jumbo(traced)
    except (QtraceError, AssertionError) as exc:
        return [*head, "", "", "", "", "", f"**failed**: {str(exc).splitlines()[0]}"]
    faults = [fault for window in windows for fault in wrong(window)]
    each = [_each(windows, way) for way in Direction]
    said = "**wrong**: " + "; ".join(faults) if faults else "exact"
    return [*head, *each, _otherwise(windows), _devices(windows), jumbo, said]


def _jumbo(traced: Traced) -> str:
    if traced.kind.nic not in _JUMBO_NICS or traced.kind.netdev != "tap" or traced.kind.hub:
        return ""
    set_mtu(traced.network, 9000)
    faults = [fault for way in Direction for fault in wrong(pass_frames(traced, way, _JUMBO, _JUMBO_FRAMES))]
    return "**wrong**: " + "; ".join(faults) if faults else f"exact, {_JUMBO_FRAMES} each way"


def _each(windows: Sequence[Window], way: Direction) -> str:
    return ", ".join(
        dict.fromkeys(
            row["stage"]
            for window in windows
            for row in window.rows
            if row["direction"] == way and not window.exempt(row)
        )
    )


def _otherwise(windows: Sequence[Window]) -> str:
    found: dict[str, None] = {}
    for window in windows:
        for row in window.rows:
            if why := window.exempt(row):
                why = "no address" if why.startswith("not measured") else why
                found[f"{row['direction']} {row['stage']}: {why}"] = None
        if window.refused:
            found["tx deliver: and once more for each send that the host had no room for"] = None
        if window.kind.echoes:
            found["rx: and what it has sent itself"] = None
    return "; ".join(_grouped(found))


def _grouped(items: Iterable[str]) -> list[str]:
    """`a: why`, `b: why` -> `a, b: why`."""
    groups: dict[str, list[str]] = {}
    for item in items:
        what, _, why = item.partition(": ")
        groups.setdefault(why, []).append(what)
    return [f"{', '.join(what)}: {why}" for why, what in groups.items()]


def _devices(windows: Sequence[Window]) -> str:
    return ", ".join(dict.fromkeys(side for window in windows for side in sorted(window.devices)))


def _segments(bench: Bench) -> list[str]:
    lines = [
        "### Large frames",
        "",
        "A TCP stream of one second. With offloads a guest hands over, and the tap takes and gives, frames "
        "of many segments (GSO): `frames` is what every stage counted, and the tap's own counter with them. "
        "What they hold is in the bytes. Where a frame has no more than 1514 bytes the card has cut the "
        "guest's large frames before it sent them: there a stage's frames are segments.",
        "",
        "| NIC on tap | direction | frames at each stage | the tap's count | bytes a frame, at deliver | |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    for nic in _OFFLOADS:
        print(f"segments: {nic}", file=sys.stderr, flush=True)
        with open_traced(Kind(nic, "tap"), bench.attacher, bench.index) as traced:
            for way in Direction:
                window = pass_segments(traced, way)
                rows = {row["stage"]: row for row in window.rows if row["direction"] == way}
                deliver = rows["deliver"]
                size = deliver["bytes"] / deliver["frames"]
                counted = window.devices["tap"]["rx_packets" if way is Direction.TX else "tx_packets"]
                faults = wrong(window)
                said = "**wrong**: " + "; ".join(faults) if faults else "exact"
                lines.append(f"| {nic} | {way} | {deliver['frames']} | {counted} | {size:.0f} | {said} |")
    return lines
