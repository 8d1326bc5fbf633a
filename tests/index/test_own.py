"""A file's calls of an object that it made with its own table go to that table."""

from __future__ import annotations

from qtrace.index.facts import Function, Pass, Store, Struct
from qtrace.index.own_tables import OwnTables
from qtrace.store.index import Index

FUNCTIONS = {
    "make": Function("make", "make", "core.c", 1, 2, False, "Nic *(Info *, void *)", None),
    "get": Function("get", "get", "core.c", 3, 4, False, "Client *(Nic *)", None),
    "other": Function("other", "other", "core.c", 5, 6, False, "void (Nic *)", None),
}
STRUCTS = [
    Struct("Card", 8, (("nic", 0, 8, "Nic *"), ("opaque", 0, 8, "void *"))),
    Struct("Client", 8, (("info", 0, 8, "const Info *"),)),
]
STORES = [Store("Info.f", "function", "mine", "info", "", "", "card.c", 7)]
MADE = Pass("realize", "make", 0, "variable", "info", "card.c", 20)


def got(callee: str, field: str, file: str = "card.c") -> Pass:
    return Pass("user", callee, 0, "field", field, file, 30)


def allows(*passes: Pass, owner: str = "Info.f") -> set[tuple[str, str, int]]:
    return OwnTables(FUNCTIONS, STRUCTS, passes, STORES).allows("user", owner)


def test_the_table_that_the_file_made_its_object_with() -> None:
    assert allows(MADE, got("get", "Card.nic")) == {("Info.f", "card.c", 7)}


def test_nothing_is_known_without_each_link() -> None:
    assert not allows(got("get", "Card.nic"))  # made elsewhere
    assert not allows(MADE, got("other", "Card.nic"))  # nothing got out of it
    assert not allows(MADE, got("get", "Card.opaque"))  # anything may be in it
    assert not allows(MADE, got("get", "Card.nic", "rival.c"))  # another file's object
    assert not allows(MADE, got("get", "Card.nic"), owner="Info.g")  # no such entry in the table


def test_a_card_asks_itself(index: Index) -> None:
    (caller,) = index.function("dp8393x_do_transmit_packets")
    names = [
        index.function_by_id(edge.callee).name
        for edge in index.callees(caller.id)
        if edge.field == "NetClientInfo.can_receive"
    ]
    assert names == ["dp8393x_can_receive"]
