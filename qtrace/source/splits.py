"""Whether a compiler may make two functions of one: a test that may end it, and the rest (`.part`).

Models gcc/ipa-split.cc: the test goes into the callers where it often ends the function.
"""

from __future__ import annotations

from clang.cindex import Cursor, CursorKind

from qtrace.source.cursors import chain, children, chosen, distance, kind_ids, strip

__all__ = ["first_test"]

_CALL, _COMPOUND = CursorKind.CALL_EXPR.value, CursorKind.COMPOUND_STMT.value
_DECLARATION, _IF = CursorKind.DECL_STMT.value, CursorKind.IF_STMT.value
_RETURN, _MEMBER = CursorKind.RETURN_STMT.value, CursorKind.MEMBER_REF_EXPR.value
_UNARY = CursorKind.UNARY_OPERATOR.value
_ENDS = kind_ids(CursorKind.RETURN_STMT, CursorKind.GOTO_STMT)


def first_test(function: Cursor) -> frozenset[int] | None:
    """How far from their struct's beginning, in bytes, the fields lie that are tested before anything is
    called; empty if only variables are. None where no such test may end the function."""
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
            return None  # too much to be done twice
        ends = [parts[1]] if parts[1]._kind_id in _ENDS else chosen(parts[1], _ENDS, ())
        if (ends and not all(_refuses(end) for end in ends)) or (statement == last and len(parts) == 2):
            return _first_read(parts[0])
        if _calls(statement):
            return None
    return None


def _calls(cursor: Cursor) -> bool:
    return cursor._kind_id == _CALL or bool(chosen(cursor, (_CALL,), ()))


def _first_read(cursor: Cursor) -> frozenset[int]:
    """The fields on the way to the first one that an expression reads: two for `n->nic->peer_deleted`."""
    member = cursor if cursor._kind_id == _MEMBER else next(iter(chosen(cursor, (_MEMBER,), ())), None)
    return frozenset(distance(item) for item in chain(member)) if member is not None else frozenset()


def _refuses(end: Cursor) -> bool:
    """`return -1` and the like: compilers take it for rare, and what is rare is not put into the callers."""
    if end._kind_id != _RETURN or not (value := children(end)):
        return False
    return strip(value[0])._kind_id == _UNARY and any(token.spelling == "-" for token in end.get_tokens())
