"""What a post says of a fault follows what the lab's QEMU did: releases differ, and so do the sentences."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from qtrace.lab.experiment.transcript import Entry
from qtrace.post.compose import load_post
from qtrace.post.language import language_names
from qtrace.post.material import Material, read_material
from qtrace.post.site import load_site
from qtrace.post.writing import compose_post
from qtrace.store.index import Index

MATERIAL = Path(__file__).parent.parent.parent / "reports" / "posts" / "material"
# As QEMU 7.2.22 (Debian 12) and 10.0.13 (Debian 13) printed them, both after rx_queue_size=256.
RINGS = {
    "7.2.22": {"small-queue.num": "256", "small-before.dropped": "0", "small-after.dropped": "250"},
    "10.0.13": {"small-queue.num": "1024", "small-before.dropped": "0", "small-after.dropped": "0"},
}


def changed(material: Material, seen: dict[str, str]) -> Material:
    """The material, with other facts found in what was printed."""

    def with_facts(entry: Entry) -> Entry:
        facts = {key: seen.get(f"{entry.name}.{key}", value) for key, value in entry.facts.items()}
        return dataclasses.replace(entry, facts=facts)

    entries = {name: with_facts(entry) for name, entry in material.entries.items()}
    return dataclasses.replace(material, entries=entries)


def written(index: Index, language: str, seen: dict[str, str]) -> str:
    """The page on virtio of a lab that has printed this."""
    kind = load_post("virtio")
    material = changed(read_material(MATERIAL / "virtio"), seen)
    files = compose_post(kind, language, load_site("plain"), material, index)
    return next(text for name, text in files.items() if name.endswith(".md"))


@pytest.mark.parametrize("language", language_names())
def test_a_release_that_makes_every_ring_as_large_is_said_to(language: str, index: Index) -> None:
    small, every = (written(index, language, RINGS[release]) for release in ("7.2.22", "10.0.13"))
    assert "`virtio_add_queue`" in every and "`virtio_add_queue`" not in small
    # Frames that were dropped are spoken of where some were.
    full = small.split("`shadow_avail_idx`")[1].split("```")[0]
    assert "250" in full and "250" not in every.split("`shadow_avail_idx`")[1].split("```")[0]


@pytest.mark.parametrize("language", language_names())
def test_nobody_is_told_that_kvm_is_missing_where_it_is_there(language: str, index: Index) -> None:
    without, having = (
        written(index, language, seen) for seen in ({"kvm.support": "disabled"}, {"kvm.support": "enabled"})
    )
    said = {"zh": "没有 KVM 就没有", "en": "Without KVM there is none"}[language]
    assert said in without and said not in having
