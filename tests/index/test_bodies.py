"""What a body says of its compiled form: the fields that it reaches, the test that it begins with."""

from __future__ import annotations

import pytest

from qtrace.store.index import Index

_TCTL = 0x400  # bytes into an e1000's registers (Intel's manual; hw/net/e1000_regs.h)


def uses(index: Index, name: str, file: str, what: str) -> set[int] | None:
    (row,) = index.function(name, file)
    values = [value for function, kind, value in index.uses() if (function, kind) == (row.id, what)]
    return {int(number) for value in values for number in value.split()} if values else None


def test_an_element_of_an_array_lies_behind_its_beginning(index: Index) -> None:
    registers = index.offsets("E1000State")["mac_reg"]
    fields = uses(index, "start_xmit", "hw/net/e1000.c", "fields")
    assert fields and registers + _TCTL in fields
    assert registers not in fields


def test_a_first_test_may_be_of_an_element(index: Index) -> None:
    registers = index.offsets("E1000ECore")["mac"]
    tested = uses(index, "e1000e_start_xmit", "hw/net/e1000e_core.c", "splits")
    assert tested == {registers + _TCTL}


def test_a_first_test_may_be_of_what_was_read_from_a_field(index: Index) -> None:
    assert uses(index, "vhost_log_put", "hw/virtio/vhost.c", "splits") == {index.offsets("vhost_dev")["log"]}


@pytest.mark.parametrize("name", ["net_client_init"])
def test_what_needs_a_second_test_to_end_a_function_is_rare(index: Index, name: str) -> None:
    assert uses(index, name, "net/net.c", "rarely") is not None
    assert uses(index, name, "net/net.c", "splits") is None


def test_of_two_definitions_the_longer_is_the_real_one(index: Index) -> None:
    """hw/net/rocker/qmp-norocker.c has a stub of it, without saying so in its name."""
    (row,) = index.function("qmp_query_rocker_of_dpa_flows")
    assert row.file == "hw/net/rocker/rocker_of_dpa.c"
