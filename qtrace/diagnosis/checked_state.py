"""The state that a run keeps, checked: a run may come from anywhere, and rules rely on its shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtrace.errors import StoreError

__all__ = ["checked_state"]

_NUMBER = (int, float)
# Of a client (`qtrace.trace.qemu.net_clients`): what must be there, and what may be None.
_CLIENT: Mapping[str, Any] = {
    "name": str,
    "driver": str,
    "link_down": bool,
    "queued": int,
    "filters": list,
    "descriptor": int,
    "vhost": bool,
}
_MAYBE: Mapping[str, Any] = {"features": int, "offloads": int, "mtu": int, "receiver": dict, "virtio": dict}
_RECEIVER: Mapping[str, Any] = dict.fromkeys(("running", "enabled", "refuses", "broken"), bool)
_VIRTIO: Mapping[str, Any] = {
    **dict.fromkeys(("offered", "pairs", "rx_size", "rx_free"), int),
    "notified": bool,
}
_CALL: Mapping[str, Any] = {
    **dict.fromkeys(("tid", "descriptor", "seen"), int),
    **dict.fromkeys(("thread", "call", "kind"), str),
    "main": bool,
}
_TAP: Mapping[str, Any] = {"name": str, "descriptors": list, "unread": str}
_TAP_MAYBE: Mapping[str, Any] = {
    **dict.fromkeys(("header", "up", "addressed"), bool),
    **dict.fromkeys(("mtu", "queue_length", "cut_at"), int),
    "master": str,
    "readers": list,
}


def checked_state(state: object, where: str) -> dict[str, Any]:
    """The entry `state` of a run's metadata, as `qtrace.measure.record` writes it; empty where it has none.

    Raises StoreError, which says `where` it is damaged, and in what.
    """
    if state is None:
        return {}
    found = _dict(state, where, "state")
    seconds = found.get("seconds", 0.0)
    if isinstance(seconds, bool) or not isinstance(seconds, _NUMBER) or not 0 <= seconds < 1e9:
        raise _damaged(where, "state.seconds")
    for moment in ("begin", "end"):
        _moment(_dict(found.get(moment, {}), where, moment), where, moment)
    return found


def _moment(state: dict[str, Any], where: str, path: str) -> None:
    for name in ("descriptors", "threads", "host", "tracing", "nics", "calls"):
        _dict(state.get(name, {}), where, f"{path}.{name}")
    numbers = dict.fromkeys(("open", "sockets", "limit"), int)
    _fields(state.get("descriptors", {}), {}, numbers, where, f"{path}.descriptors")
    _fields(state.get("tracing", {}), {}, {"share": _NUMBER}, where, f"{path}.tracing")
    for tid, thread in state.get("threads", {}).items():
        kinds = {"name": str, "ran": _NUMBER, "waited": _NUMBER}
        _fields(thread, kinds, {}, where, f"{path}.threads.{tid}")
    _fields(state.get("calls", {}), {}, {"looks": int, "rows": list}, where, f"{path}.calls")
    for number, row in enumerate(state.get("calls", {}).get("rows") or ()):
        _fields(row, _CALL, {"blocking": bool}, where, f"{path}.calls.rows.{number}")
        if not 0 <= row["seen"] <= (state["calls"].get("looks") or 0):  # in so many of the looks
            raise _damaged(where, f"{path}.calls.rows.{number}.seen")
    for number, tap in enumerate(_list(state.get("taps", []), where, f"{path}.taps")):
        _fields(tap, _TAP, _TAP_MAYBE, where, f"{path}.taps.{number}")
        if not all(isinstance(descriptor, int) for descriptor in tap["descriptors"]):
            raise _damaged(where, f"{path}.taps.{number}.descriptors")
        if not all(isinstance(reader, str) for reader in tap.get("readers") or ()):
            raise _damaged(where, f"{path}.taps.{number}.readers")
    for name, nic in state.get("nics", {}).items():
        _fields(nic, {"queues": list}, {"netdev_id": str, "hub": bool}, where, f"{path}.nics.{name}")
        for number, queue in enumerate(nic["queues"]):
            at = f"{path}.nics.{name}.queues.{number}"
            _fields(queue, {"queue": int, "near": dict, "far": dict}, {}, where, at)
            for side in ("near", "far"):
                _client(queue[side], where, f"{at}.{side}")


def _client(client: dict[str, Any], where: str, path: str) -> None:
    _fields(client, _CLIENT, _MAYBE, where, path)
    _fields(client.get("receiver") or {}, {}, _RECEIVER, where, f"{path}.receiver")
    _fields(client.get("virtio") or {}, {}, _VIRTIO, where, f"{path}.virtio")
    for item in client["filters"]:
        _fields(item, {"kind": str}, {}, where, f"{path}.filters")


def _fields(
    found: object, needed: Mapping[str, Any], maybe: Mapping[str, Any], where: str, path: str
) -> None:
    """Check a dict's fields: those that are `needed`, and those that may be None or not there."""
    fields = _dict(found, where, path)
    for name, kind in {**needed, **maybe}.items():
        value = fields.get(name)
        if value is None and name in maybe:
            continue
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise _damaged(where, f"{path}.{name}")


def _dict(found: object, where: str, path: str) -> dict[str, Any]:
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise _damaged(where, path)
    return found


def _list(found: object, where: str, path: str) -> list[Any]:
    if not isinstance(found, list):
        raise _damaged(where, path)
    return found


def _damaged(where: str, path: str) -> StoreError:
    return StoreError(
        f"{where}: its state is damaged: {path} is missing or of another kind",
        hint="record it again: qtrace record PID -o RUN",
    )
