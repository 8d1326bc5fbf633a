"""Ways between any two functions, and what changed between two trees."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest

from qtrace.errors import NoPath, SourceError, StoreError
from qtrace.path.calls_between import between
from qtrace.path.catalogue import map_tree
from qtrace.path.difference import difference
from qtrace.store.index import Index, find_index


def test_a_way_goes_through_pointers_and_says_why(index: Index) -> None:
    steps = between(index, "tap_send", "virtio_net_receive")
    names = [step.function for step in steps]
    assert names[0] == "tap_send" and names[-1] == "virtio_net_receive"
    assert "qemu_send_packet_async" in names
    indirect = [step for step in steps if step.call and step.call.kind != "direct"]
    assert indirect and all(step.call and step.call.evidence for step in indirect)
    for before, step in itertools.pairwise(steps):
        assert step.call is not None
        calls = index.callees(index.function(before.function, before.file or None)[0].id)
        assert step.function in {index.function_by_id(edge.callee).name for edge in calls}


def test_no_way_and_no_function_are_told_apart(index: Index) -> None:
    with pytest.raises(NoPath, match="no call chain leads from iov_size to e1000_receive"):
        between(index, "iov_size", "e1000_receive")
    with pytest.raises(SourceError, match="no function 'tap_sned'"):
        between(index, "tap_send", "tap_sned")


def test_a_tree_does_not_differ_from_itself(index: Index) -> None:
    tree = map_tree(index)
    found = difference(tree, tree)
    nothing: dict[str, list[Any]] = {"added": [], "removed": [], "changed": []}
    assert found["backends"] == nothing and found["nics"] == nothing


def test_what_came_went_and_moved_is_said(index: Index) -> None:
    before = map_tree(index)
    after = copy.deepcopy(before)
    after["nics"] = [nic for nic in after["nics"] if nic["name"] != "e1000"]
    tap = next(entry for entry in after["backends"] if entry["name"] == "tap")
    callbacks = tap["tables"][0]["callbacks"]
    moved = callbacks["receive"] | {"file": "net/elsewhere.c"}
    callbacks |= {"receive": moved, "brand_new": moved}
    del callbacks["receive_iov"]
    found = difference(before, after)
    assert found["nics"]["removed"] == ["e1000"] and not found["nics"]["added"]
    changed = {item["what"]: (item["before"], item["after"]) for item in found["backends"]["changed"]}
    gone = {"function": "tap_receive_iov", "file": "net/tap.c"}
    new = {"function": "tap_receive", "file": "net/elsewhere.c"}
    assert changed == {
        "NetClientInfo.receive": ({"function": "tap_receive", "file": "net/tap.c"}, new),
        "NetClientInfo.receive_iov": (gone, None),
        "NetClientInfo.brand_new": (None, new),
    }


def test_an_index_is_found_by_its_version(index: Index) -> None:
    assert find_index(index.meta["qemu"]).meta == index.meta
    assert find_index(str(index.path)).path == index.path
    with pytest.raises(StoreError, match=r"no source index '0\.1'") as caught:
        find_index("0.1")
    assert index.meta["qemu"] in str(caught.value)
