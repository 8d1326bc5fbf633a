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
