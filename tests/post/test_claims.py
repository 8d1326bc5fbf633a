"""A sentence that claims something of an experiment stands in a post only where the numbers carry it."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import pytest

from qtrace.post.compose import load_post
from qtrace.post.material import read_material
from qtrace.post.site import load_site
from qtrace.post.writing import compose_post
from qtrace.store.index import Index

MATERIAL = Path(__file__).parent.parent.parent / "reports" / "posts" / "material"
# Post, step, its fact, another value of it, and the beginning of what then cannot be said.
CLAIMS = [
    ("user", "resent-host-4", "count", "999999", "In the last row no kernel"),
    ("user", "resent-vm1-1", "count", "0", "Whoever sends on a leg"),
    ("user", "guest-done", "queue", "4", "Now the host holds"),
    ("user", "seen-told", "reply", "1400", "The request was cut to fit"),
    ("tap", "frames-without-header", "count", "1", "For the same"),
    ("tap", "offloads-without-header", "tso", "on", "`tcp-segmentation-offload` is"),
    ("tap", "guest-unanswered", "received", "2", "The other guest does not answer"),
    ("tap", "remembered", "mac", "52:54:00:00:00:07", "One thing is left"),
]


@functools.cache  # as it was recorded, a post is written once
def page(name: str, index: Index, step: str = "", key: str = "", value: str = "") -> str:
    material = read_material(MATERIAL / name)
    if step:
        entry = material.entries[step]
        assert key in entry.facts
        changed = replace(entry, facts={**entry.facts, key: value})
        material = replace(material, entries={**material.entries, step: changed})
    files = compose_post(load_post(name), "en", load_site("plain"), material, index)
    return files[f"{load_post(name).slug}/en.md"]


@pytest.mark.parametrize(("name", "step", "key", "value", "words"), CLAIMS)
def test_a_claim_goes_with_its_numbers(
    name: str, step: str, key: str, value: str, words: str, index: Index
) -> None:
    assert words in page(name, index)
    assert words not in page(name, index, step, key, value)
