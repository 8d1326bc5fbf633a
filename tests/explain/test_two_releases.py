"""Facts of releases are held against two trees, and said where this release refuses what another takes."""

from __future__ import annotations

import pytest

from qtrace.errors import RefusedLine
from qtrace.explain.explanation import Reader
from qtrace.explain.releases import facts
from qtrace.explain.taken_by import releases_that_take
from qtrace.store.index import Index


def number_of(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split(".")[:2])


def has(reader: Reader, of: str, option: str) -> bool:
    """Whether a release takes it, by its own tree."""
    if of == "option":
        return option in reader.manual.options
    if of == "device":
        return option in reader.models.by_type
    if of == "netdev":
        return option in reader.schema.netdevs()
    return option in {item.name for item in reader.schema.options_of(of)}


@pytest.mark.parametrize("row", facts(), ids=[f"{row['of']} {row['option']}" for row in facts()])
def test_a_fact_is_so_in_both_trees(row: dict[str, str], earlier: Index, newer: Index) -> None:
    for reader in (Reader(earlier), Reader(newer)):
        release = number_of(reader.index.meta["qemu"])
        since, until = number_of(row.get("since", "0.1")), number_of(row.get("until", "999.0"))
        assert has(reader, row["of"], row["option"]) == (since <= release <= until)


def test_the_schemas_own_word_is_the_facts(newer: Index) -> None:
    said = {item.name: item.since for item in Reader(newer).schema.options_of("stream")}
    assert said["reconnect-ms"] == next(row["since"] for row in facts() if row["option"] == "reconnect-ms")


def test_short_frames_are_filled_up_by_the_card_or_by_nobody(earlier: Index, newer: Index) -> None:
    """Until 7.2 the card does it, for whatever back end; in 10.0 the back end does, or nobody."""
    for nic in ("pcnet", "ne2k_pci"):
        for netdev, short in (
            ("socket,id=n,connect=127.0.0.1:1", True),
            ("dgram,id=n,remote.type=inet,remote.host=224.0.0.1,remote.port=1", True),
            ("user,id=n", False),
            ("tap,id=n,fd=3", False),
        ):
            line = ["qemu-system-x86_64", "-netdev", netdev, "-device", f"{nic},netdev=n"]
            told = [
                [row["kind"] for row in Reader(index).explain(line)["warnings"]].count("short-frames")
                for index in (earlier, newer)
            ]
            assert told == [0, int(short)], line


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "-netdev stream,id=s,addr.type=unix,addr.path=p,reconnect=5",
            "releases from 8.0 to 10.1 take reconnect",
        ),
        ("-netdev stream,id=s,addr.type=unix,addr.path=p,reconnect-ms=500", "releases from 9.2 on"),
        ("-netdev passt,id=p", "stream to the socket of a passt"),
        ("-netdev user,id=u -device igb,netdev=u", "releases from 8.0 on take igb"),
    ],
)
def test_a_refusal_names_the_release_that_takes_it(earlier: Index, line: str, words: str) -> None:
    with pytest.raises(RefusedLine) as refusal:
        Reader(earlier).explain(["qemu-system-x86_64", *line.split()])
    assert words in refusal.value.hint


@pytest.mark.parametrize(
    ("line", "older_takes", "newer_takes"),
    [
        ("-netdev user,id=n0 -device virtio-net-pci,netdev=n0", True, True),
        ("-netdev stream,id=n0,addr.type=unix,addr.path=/s,reconnect=5 -device e1000,netdev=n0", False, True),
        ("-netdev user,id=n0 -device igb,netdev=n0", False, True),
        ("-netdev user,id=n0 -device no-such-nic,netdev=n0", False, False),
    ],
)
def test_which_of_the_indexed_releases_take_a_whole_line(
    line: str, older_takes: bool, newer_takes: bool, earlier: Index, newer: Index
) -> None:
    found = releases_that_take([newer, earlier, newer], ["qemu-system-x86_64", *line.split()])
    assert [taken.release for taken in found] == [earlier.meta["qemu"], newer.meta["qemu"]]
    assert [not taken.refusal for taken in found] == [older_takes, newer_takes]
