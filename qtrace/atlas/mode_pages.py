"""The lab's connection modes: picture, options with their meaning, devices, commands to try."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

from markupsafe import Markup

from qtrace.atlas.edition import Edition, Page
from qtrace.atlas.linking import Linker
from qtrace.atlas.permalinks import backend_page, fragment, mode_page
from qtrace.atlas.release_facts import Release
from qtrace.atlas.tried_reach import tried
from qtrace.lab.mode.mode import CELLS, Device, Mode, load_modes
from qtrace.report.speech import told
from qtrace.report.text import clean

__all__ = ["mode_pages", "modes_with"]

_LINK = Markup('<a href="{}">{}</a>')
_OF_DEVICE = (
    "space",
    "kind",
    "name",
    "address",
    "gateway",
    "master",
    "peer",
    "peer_address",
    "takes",
    "over",
)


def mode_pages(edition: Edition) -> Iterator[Page]:
    """The list of modes, and a page for each."""
    t = edition.wording
    yield Page("modes/index.html", t.modes, "modes.html.j2", _modes)
    for mode in load_modes():
        values = functools.partial(_mode, edition, mode)
        yield Page(
            mode_page(mode.name), mode.name, "mode.html.j2", values, ((("modes/index.html"), t.modes),)
        )


def modes_with(netdev: str) -> list[Mode]:
    """The modes in which some guest has this back end."""
    return [
        mode
        for mode in load_modes()
        if any(line.split(",")[0] == netdev for seat in mode.seats for line in seat.netdev)
    ]


def _modes(link: Linker) -> dict[str, Any]:
    modes = load_modes()
    return {
        "modes": [
            {
                "link": _LINK.format(f"{fragment(mode.name)}.html", mode.name),
                "title": mode.title,
                "picture": mode.picture,
            }
            for mode in modes
        ]
    }


def _mode(edition: Edition, mode: Mode, link: Linker) -> dict[str, Any]:
    release = edition.releases[-1]
    return {
        "mode": mode,
        "about": [told(" ".join(text.split())) for text in mode.about.strip().split("\n\n")],
        "guests": [
            {
                "lines": [f"-netdev {line}" for line in seat.netdev] + list(seat.more),
                "nic": f"-device {mode.nic},netdev=net0",
                "address": seat.address,
                "gateway": seat.gateway,
                "options": [row for line in seat.netdev for row in _options(release, line)],
            }
            for seat in mode.seats
        ],
        "devices": [" ".join(_words(device)) for device in mode.devices],
        "claims": [
            (edition.wording.word(cell), mode.expect.get(cell, ""), tried().get(mode.name, {}).get(cell, ""))
            for cell in CELLS
        ],
        "tried_in": tried().get(mode.name, {}).get("in", ""),
        "release": None,
    }


def _words(device: Device) -> Sequence[str]:
    values = ((name, getattr(device, name)) for name in _OF_DEVICE)
    return [f"{name}={value}" for name, value in values if value]


def _options(release: Release, line: str) -> Iterator[tuple[Markup, str, str]]:
    """(option, value, its meaning in the newest release) of one -netdev."""
    netdev, *words = line.split(",")
    if netdev not in release.backends:
        return
    known = {row["name"]: row for row in release.backends[netdev].options}
    for word in words:
        name, _, value = word.partition("=")
        short = name.partition(".")[0]
        if short in known:
            page = f"../{release.name}/{backend_page(netdev)}#option-{fragment(short)}"
            meaning = " ".join(str(known[short]["meaning"]).split())
            yield Markup("<code>{}</code>").format(_LINK.format(page, name)), clean(value), clean(meaning)
