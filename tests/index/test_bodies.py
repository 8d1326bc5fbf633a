"""What a body says of its compiled form: the fields that it reaches, the test that it begins with."""

from __future__ import annotations

from pathlib import Path

import pytest

from qtrace.index.extract import Attempt, extract
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


def test_a_static_function_of_a_header_is_one_whoever_has_included_it(tmp_path: Path) -> None:
    """As hw/virtio/vhost-shadow-virtqueue.c of 10.0 has linux/vhost.h bring the rings' header, which other
    files include themselves: clang counts what a system header includes as one too."""
    (tmp_path / "system").mkdir()
    (tmp_path / "inner.h").write_text("static inline int inner(void) { return 1; }\n")
    (tmp_path / "system" / "outer.h").write_text('#include "inner.h"\n')
    (tmp_path / "one.c").write_text('#include "inner.h"\nint one(void) { return inner(); }\n')
    (tmp_path / "two.c").write_text("#include <outer.h>\nint two(void) { return inner(); }\n")
    attempt = Attempt("plain", ("-I", str(tmp_path), "-isystem", str(tmp_path / "system")), "", True)
    read = [extract(str(tmp_path), file, (attempt,)) for file in ("one.c", "two.c")]
    for facts in read:
        assert [call.target for call in facts.calls] == ["c:inner.h@F@inner"]
        assert "c:inner.h@F@inner" in {function.usr for function in facts.functions} | set(facts.external)
