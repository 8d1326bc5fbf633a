"""The posts in reports/posts: every number is a fact, and every fact is in the source that it names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import autocorrect_py as autocorrect
import pytest

from qtrace.lab.mode.mode import load_mode, world
from qtrace.post.compose import load_post, post_names
from qtrace.post.language import language_names
from qtrace.store.index import Index

POSTS = Path(__file__).parent.parent.parent / "reports" / "posts"
NAMES = post_names()  # `make posts` writes each of them
CASES = [(name, language) for name in NAMES for language in language_names()]
_NAME = re.compile(r"[A-Za-z_]+[0-9]+[A-Za-z0-9_]*")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")


def page(name: str, language: str) -> str:
    return (POSTS / load_post(name).slug / f"{language}.md").read_text()


def facts(name: str, language: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((POSTS / load_post(name).slug / f"facts.{language}.json").read_text())
    return found


def material(name: str) -> dict[str, Any]:
    folder = POSTS / "material" / name
    return {
        what: json.loads((folder / f"{what}.json").read_text()) for what in ("transcript", "capture", "reach")
    }


def numbers(text: str) -> set[str]:
    """But for those in addresses of links and in names such as vm1."""
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return set(_NUMBER.findall(_NAME.sub(" ", text)))


@pytest.mark.parametrize(("name", "language"), CASES)
def test_every_number_is_a_fact(name: str, language: str) -> None:
    known = {number for fact in facts(name, language)["facts"] for number in numbers(fact["value"])}
    assert numbers(page(name, language)) - known == set()


@pytest.mark.parametrize("name", NAMES)
def test_a_number_that_is_no_fact_would_be_found(name: str) -> None:
    known = {number for fact in facts(name, "en")["facts"] for number in numbers(fact["value"])}
    assert numbers("it takes 31337.42 ns") - known == {"31337.42"}


@pytest.mark.parametrize(("name", "language"), CASES)
def test_what_was_printed_and_captured_is_in_the_lab_s_own_record(name: str, language: str) -> None:
    kept = material(name)
    entries = {entry["name"]: entry for entry in kept["transcript"]["entries"]}
    hops = {f"{hop['machine']}-{hop['device']}": hop for hop in kept["capture"]["hops"]}
    seen = 0
    for fact in facts(name, language)["facts"]:
        key, value = fact["name"], fact["value"]
        if fact["kind"] == "transcript" and fact["at"].startswith("entries "):
            entry = entries[fact["at"].removeprefix("entries ").partition(":")[0]]
            if key.startswith("listing."):
                assert value.endswith(entry["output"]) or value.rstrip("\n").endswith(
                    entry["output"].rstrip("\n")
                )
                assert f" {entry['command']}\n" in value
            else:
                assert value in f"{entry['command']}\n{entry['output']}"
            seen += 1
        elif fact["kind"] == "capture" and key.startswith("hop."):
            hop = hops[key.split(".")[1]]
            what = key.rpartition(".")[2]
            assert value == str(hop[what]) if what in hop else value.replace(":", ".") in hop["text"]
            seen += 1
        elif fact["kind"] == "capture" and key.startswith("counted."):
            assert int(value) == kept["capture"]["counts"][key.removeprefix("counted.")]
        elif fact["kind"] == "reach":
            _, cell, what = key.split(".")
            assert value == str(kept["reach"]["cells"][cell][what])
    assert seen > 10


@pytest.mark.parametrize("name", NAMES)
def test_a_hop_s_relation_is_that_of_its_bytes(name: str) -> None:
    """Held against the bytes that were captured."""
    hops = material(name)["capture"]["hops"]
    sent = bytes.fromhex(hops[0]["data"])
    assert hops[0]["relation"] == "first"
    for hop in hops[1:]:
        data = bytes.fromhex(hop["data"])
        if hop["relation"] == "same":
            assert data == sent
        elif hop["relation"] == "inside":
            assert data[hop["offset"] : hop["offset"] + len(sent)] == sent
            assert int.from_bytes(data[hop["offset"] - 4 : hop["offset"]], "big") == len(sent)  # net/socket.c
        elif hop["relation"] == "header":
            assert data[hop["offset"] :] == sent
        elif hop["relation"] == "payload":
            assert sent not in data and b"hello-from-vm1" in data
        else:
            assert len(data) == len(sent) and data != sent


@pytest.mark.parametrize("name", NAMES)
def test_tcpdump_filter_dump_and_the_guest_counted_the_same(name: str) -> None:
    counts = material(name)["capture"]["counts"]
    sent = counts["sent"]
    assert counts["vm1-eth0"] == counts["vm1-net0"] == sent > 0
    for place in ("host-tap1", "vm2-net0", "vm2-eth0"):
        if place in counts and load_mode(material(name)["transcript"]["mode"]).name != "tap-nat":
            assert counts[place] == sent
    if "host-tap1" in counts:
        assert counts["host-tap1"] == sent


@pytest.mark.parametrize(("name", "language"), CASES)
def test_every_place_in_the_source_is_the_index_s(name: str, language: str, index: Index) -> None:
    said = facts(name, language)
    if said["qemu"] != index.meta["qemu"]:
        pytest.skip(f"the posts are of QEMU {said['qemu']}, the index of {index.meta['qemu']}")
    seen = 0
    for fact in said["facts"]:
        if fact["kind"] == "index" and fact["name"].startswith("definition "):
            _, function, file = fact["name"].partition(":")[0].split(" ")
            if not file.startswith(("libslirp/", "drivers/")):
                assert any(row.name == function for row in index.function(function, file)), fact
                seen += 1
    assert seen > 10


def found(name: str) -> dict[str, int]:
    """The numbers that a script found in what was printed, as `step.key`."""
    return {
        f"{entry['name']}.{key}": int(value)
        for entry in material(name)["transcript"]["entries"]
        for key, value in entry["facts"].items()
        if re.fullmatch(r"-?\d+", value)
    }


def test_socket_s_faults_show_what_the_text_says() -> None:
    """Otherwise the text leaves its sentences out."""
    seen = found("socket")
    assert seen["segments.length"] == seen["datagrams.length"] + 4  # net/socket.c
    assert (seen["unheard-carrier.carrier"], seen["unheard-ping.loss"]) == (1, 100)
    assert seen["own-voice.heard"] == seen["own-voice.sent"] > 0
    sent = [seen[f"loop-{when}.sent"] for when in ("before", "during", "later", "over")]
    assert sent == sorted(sent) and sent[0] < sent[1] < sent[2]


def test_virtio_s_faults_show_what_the_text_says() -> None:
    seen = found("virtio")
    for ring in ("small", "large", "unindexed"):
        assert seen[f"{ring}-queue.taken"] == seen[f"{ring}-queue.offered"] >= seen[f"{ring}-queue.num"]
    assert (
        seen["too-small.least"]
        <= seen["small-queue.num"]
        <= seen["large-queue.num"]
        == seen["too-small.most"]
    )
    # Some releases make every ring of the largest size (virtio_add_queue): then nothing is dropped.
    smaller = seen["small-queue.num"] < seen["large-queue.num"]
    assert (seen["small-after.dropped"] > seen["small-before.dropped"]) == smaller
    assert seen["large-after.dropped"] == seen["large-before.dropped"]
    calls = {
        ring: seen[f"{ring}-interrupts.count"] - seen[f"{ring}-interrupts-before.count"]
        for ring in ("small", "unindexed")
    }
    assert calls["unindexed"] > 10 * calls["small"] > 0
    assert seen["eventfd-writes.count"] == 0 < seen["direct-writes.count"]
    assert seen["eventfd-interrupt.cpu"] == -1 < seen["direct-write.cpu"]


@pytest.mark.parametrize("name", NAMES)
def test_addresses_are_the_lab_s_own(name: str) -> None:
    """Private ones, and those that are kept for examples (RFC 5737)."""
    ours = ("10.", "192.168.", "127.", "203.0.113.", "230.", "0.0.0.0", "255.")
    for language in language_names():
        for address in re.findall(r"\b\d+\.\d+\.\d+\.\d+\b", page(name, language)):
            assert address.startswith(ours), address
    assert {item.space for item in world()[0]} == {"router", "host", "lan", "internet"}


@pytest.mark.parametrize("name", NAMES)
def test_the_chinese_page_is_set_as_chinese(name: str) -> None:
    """Autocorrect finds nothing to mend outside of what machines printed."""
    text = re.sub(r"```.*?```", "", page(name, "zh"), flags=re.DOTALL)
    assert autocorrect.format_for(text, "markdown") == text


@pytest.mark.parametrize(("name", "language"), CASES)
def test_figures_and_links_within_the_page_are_there(name: str, language: str) -> None:
    folder = POSTS / load_post(name).slug
    pictures = re.findall(r"!\[[^]]*\]\(([^)]*)\)", page(name, language))
    assert pictures and all((folder / picture).is_file() for picture in pictures)
