"""`qtrace walk NIC vhost-user`: what QEMU does, in every format, and where the frames go instead."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from qtrace.cli.walk import command
from qtrace.report.walk_formats import walk_formats
from qtrace.store.index import Index


def told(*words: str) -> str:
    result = CliRunner().invoke(command, [*words])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("netdev", ["vhost-user", "vhost-vdpa"])
def test_text_and_json_tell_the_same_calls(index: Index, netdev: str) -> None:
    words = ("virtio-net-pci", netdev, "--direction", "rx", "--index", str(index.path))
    text, data = told(*words), json.loads(told(*words, "--format", "json"))
    assert "the frames pass QEMU nowhere" in text and data["end"] in text
    assert data["netdev"] == data["datapath"] == netdev and data["direction"] == "rx"
    for part in data["parts"]:
        assert part["what"] in text
        for step in part["steps"]:
            assert f"{step['file']}:{step['line']}" in text


@pytest.mark.parametrize("form", walk_formats())
def test_every_format_writes_it(index: Index, form: str) -> None:
    said = told(
        "virtio-net-pci", "vhost-user", "--direction", "tx", "--format", form, "--index", str(index.path)
    )
    assert "vhost_user_set_vring_kick" in said


def test_what_has_no_meaning_there_is_refused(index: Index) -> None:
    words = ["virtio-net-pci", "vhost-user", "--direction", "tx", "--ways"]
    result = CliRunner().invoke(command, words)
    assert result.exit_code == 2 and "no frame passes QEMU" in result.output
