"""Whether a compiler may split a function in two: a test that may end it, and the rest (`.part`).

Models gcc/ipa-split.cc: the test is inlined into the callers if it often ends the function.
"""

from __future__ import annotations

from typing import NamedTuple

from clang.cindex import Cursor, CursorKind

from qtrace.index.cursors import anywhere, children, chosen, kind_ids, referenced
from qtrace.index.expressions import chain, constant_element, distance, strip

__all__ = ["FirstTest", "first_test"]

_CALL, _COMPOUND = CursorKind.CALL_EXPR.value, CursorKind.COMPOUND_STMT.value
_DECLARATION, _IF = CursorKind.DECL_STMT.value, CursorKind.IF_STMT.value
_RETURN, _MEMBER = CursorKind.RETURN_STMT.value, CursorKind.MEMBER_REF_EXPR.value
_UNARY, _SUBSCRIPT = CursorKind.UNARY_OPERATOR.value, CursorKind.ARRAY_SUBSCRIPT_EXPR.value
_NAME, _VARIABLE = CursorKind.DECL_REF_EXPR.value, CursorKind.VAR_DECL.value
_ENDS = kind_ids(CursorKind.RETURN_STMT, CursorKind.GOTO_STMT)
_BRANCHES = kind_ids(
    CursorKind.IF_STMT,
    CursorKind.SWITCH_STMT,
    CursorKind.FOR_STMT,
    CursorKind.WHILE_STMT,
    CursorKind.DO_STMT,
)


class FirstTest(NamedTuple):
    """`fields`: the offsets in their struct, in bytes, of the fields that are tested before the first call;
    empty if the test uses variables only. `rare` tells whether a second test must end the function: compilers
    consider that rare."""

    fields: frozenset[int]
    rare: bool


def first_test(function: Cursor) -> FirstTest | None:
    """The test with which a function begins. None if no such test may end the function."""
    body = next((item for item in children(function) if item._kind_id == _COMPOUND), None)
    statements = children(body) if body is not None else []
    last = next((item for item in reversed(statements) if item._kind_id != _RETURN), None)
    for statement in statements:
        if statement._kind_id == _DECLARATION:
            continue
        if statement._kind_id != _IF:
            if _calls(statement):
                return None
            continue
        parts = children(statement)
        if _calls(parts[0]):
            return None  # too much code to duplicate
        ends = [parts[1]] if parts[1]._kind_id in _ENDS else chosen(parts[1], _ENDS, ())
        at_the_end = statement == last and len(parts) == 2
        if (ends and not all(_refuses(end) for end in ends)) or at_the_end:
            direct = parts[1]._kind_id in _ENDS or bool(chosen(parts[1], _ENDS, _BRANCHES))
            return FirstTest(_first_read(parts[0]), not direct and not at_the_end)
        if _calls(statement):
            return None
    return None


def _calls(cursor: Cursor) -> bool:
    return cursor._kind_id == _CALL or anywhere(cursor, _CALL)


def _first_read(cursor: Cursor) -> frozenset[int]:
    """The fields that lead to the first field read by an expression: two for `n->nic->peer_deleted`.

    If the expression reads variables only, the fields in the initialiser of the first variable.
    """
    if (found := _first_field(cursor)) is not None:
        return found
    names = [cursor] if cursor._kind_id == _NAME else chosen(cursor, (_NAME,), ())
    target = referenced(names[0]) if names else None
    if target is None or target._kind_id != _VARIABLE or not (value := children(target)):
        return frozenset()
    return frozenset() if _calls(value[-1]) else _first_field(value[-1]) or frozenset()


def _first_field(cursor: Cursor) -> frozenset[int] | None:
    kinds = (_MEMBER, _SUBSCRIPT)
    found = [cursor] if cursor._kind_id in kinds else chosen(cursor, kinds, ())
    if not found:
        return None
    first = found[0]
    if first._kind_id == _SUBSCRIPT:
        if constant_element(first):
            return frozenset((distance(first),))
        first = next((item for item in found if item._kind_id == _MEMBER), None)
    return frozenset(distance(item) for item in chain(first)) if first is not None else None


def _refuses(end: Cursor) -> bool:
    """Whether the branch is `return -1` or the like: compilers consider it rare and do not inline it."""
    if end._kind_id != _RETURN or not (value := children(end)):
        return False
    return strip(value[0])._kind_id == _UNARY and any(token.spelling == "-" for token in end.get_tokens())
