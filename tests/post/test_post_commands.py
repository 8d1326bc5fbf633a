"""Every command of a post is typed anew in a fresh lab: what it prints has the shape that the post shows."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from qtrace.lab.experiment.experiment import perform
from qtrace.lab.experiment.lab_script import load_script, script_names
from qtrace.lab.experiment.transcript import shape

MATERIAL = Path(__file__).parent.parent.parent / "reports" / "posts" / "material"
# `make posts-check` asks for all.
SCRIPTS = script_names() if os.environ.get("QTRACE_POSTS") == "all" else ["user"]


@pytest.mark.needs("root", "tun", "qemu-system-x86_64", "tcpdump", "ethtool")
@pytest.mark.parametrize("name", SCRIPTS)
def test_the_commands_print_what_the_post_shows(name: str, tmp_path: Path) -> None:
    done = perform(load_script(name), tmp_path)
    shown = {
        entry["name"]: entry
        for entry in json.loads((MATERIAL / name / "transcript.json").read_text())["entries"]
    }
    assert [entry.name for entry in done.entries] == list(shown)
    for entry in done.entries:
        assert entry.command == shown[entry.name]["command"]
        assert shape(entry.output) == shape(shown[entry.name]["output"]), entry.name
    kept = json.loads((MATERIAL / name / "capture.json").read_text())
    ways = [(hop["side"], hop["machine"], hop["device"], hop["relation"]) for hop in kept["hops"]]
    assert [(hop.side, hop.machine, hop.device, hop.relation) for hop in done.hops] == ways
    assert done.counts == kept["counts"]
    facts = {f"{entry.name}.{key}": said for entry in done.entries for key, said in entry.facts.items()}
    if name in CERTAIN:
        CERTAIN[name](facts)


def in_user_mode(facts: dict[str, str]) -> None:
    """Each leg loses one segment for certain, and its sender must have sent it again. When libslirp has the
    last one, every kernel's segments are acknowledged: none has anything to send again."""
    resent = {
        machine: [int(facts[f"resent-{machine}-{reading}.count"]) for reading in range(5)]
        for machine in ("vm1", "host", "lan")
    }
    assert resent["vm1"][1] > resent["vm1"][0]
    assert resent["host"][2] > resent["host"][1]
    assert resent["lan"][3] > resent["lan"][2]
    assert all(counts[4] == counts[3] for counts in resent.values())
    assert facts["guest-done.queue"] == facts["lan-done.queue"] == "0"
    assert int(facts["libslirp-keeps.queue"]) > 0
    sizes = {
        "seen-pieces.piece": "1500",
        "seen-whole.length": "4028",
        "seen-whole.flag": "DF",
        "seen-segments.offered": "8960",
        "seen-segments.answered": "1460",
        "seen-ipv6.mtu": "1500",
        "told-mtu.mtu": "1400",
        "seen-told.reply": "1500",
    }
    assert {name: facts[name] for name in sizes} == sizes


def on_taps(facts: dict[str, str]) -> None:
    """The new bridge answers by its own address, for the host's; without virtio's header no frame holds more
    than a segment."""
    assert facts["guest-unanswered.received"] == "0"
    assert facts["other-bridge-answers.mac"] == "02:00:00:00:00:01" != facts["bridge-answers.mac"]
    assert (facts["ports.wrong"], facts["ports.right"], facts["way-back.device"]) == ("br1", "br0", "br0")
    assert (facts["offloads-with-header.tso"], facts["offloads-without-header.tso"]) == ("on", "off")
    sent = int(facts["receive-without-header.bytes"])
    assert sent == int(facts["receive-with-header.bytes"]) == 1_000_000
    assert int(facts["frames-without-header.count"]) >= sent / 1460


CERTAIN = {"user": in_user_mode, "tap": on_taps}
