"""One function of the index with its neighbourhood: the data of `qtrace show`."""

from __future__ import annotations

from typing import Any

from qtrace.errors import SourceError
from qtrace.store.index import Edge, FunctionRow, Index

__all__ = ["about", "unknown", "unresolved_calls"]


def about(index: Index, symbol: str) -> list[dict[str, Any]]:
    """Every function with that name (static functions may share one), JSON-ready. Raises SourceError if
    unknown."""
    rows = index.function(symbol)
    if not rows:
        raise unknown(index, symbol)
    return [_about(index, row) for row in rows]


def unknown(index: Index, symbol: str) -> SourceError:
    """The error for a function that the index does not have, with similar names."""
    near = index.names(symbol)
    hint = f"perhaps: {', '.join(near)}" if near else "'qtrace map' lists what is indexed"
    return SourceError(f"the index of QEMU {index.meta['qemu']} has no function {symbol!r}", hint=hint)


def unresolved_calls(index: Index, symbol: str | None = None) -> list[dict[str, Any]]:
    """Unresolved indirect calls, of one function or of the tree. Raises SourceError."""
    if symbol is None:
        return _unresolved(index, None)
    if not (rows := index.function(symbol)):
        raise unknown(index, symbol)
    return [call for row in rows for call in _unresolved(index, row)]


def _about(index: Index, row: FunctionRow) -> dict[str, Any]:
    tables = [
        {"struct": struct, "field": field, "variable": variable, "file": file, "line": line}
        for variable, struct, field, file, line in index.tables_naming("function", str(row.id))
    ]
    return {
        "name": row.name,
        "file": row.file,
        "line": row.line,
        "static": row.static,
        "callers": [_call(index, edge, edge.caller) for edge in index.callers(row.id)],
        "callees": [_call(index, edge, edge.callee) for edge in index.callees(row.id)],
        "tables": tables,
        "unresolved": _unresolved(index, row),
    }


def _call(index: Index, edge: Edge, other: int) -> dict[str, Any]:
    return {
        "function": index.function_by_id(other).name,
        "file": edge.file,
        "line": edge.line,
        "kind": edge.kind,
        "rule": edge.rule,
        "confidence": edge.confidence,
        "field": edge.field,
        "evidence": [{"file": file, "line": line, "why": why} for file, line, why in edge.evidence],
    }


def _unresolved(index: Index, row: FunctionRow | None) -> list[dict[str, Any]]:
    return [
        {"caller": caller, "file": file, "line": line, "target": target}
        for caller, file, line, target in index.unresolved(row.id if row else None)
    ]
