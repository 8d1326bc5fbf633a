"""Reachability through a back end: QEMU's documented claims (reach.toml), adapted to the line's options.

Each row says that it is the documented claim. A measured row for the same pair replaces it: `reach_rows`
takes measured rows, by (back end, from, to), with the run that they come from.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from qtrace.explain.clients import Client
from qtrace.explain.values import truth

__all__ = ["claims", "reach_rows"]

Key = tuple[str, str, str]  # back end, from, to


@lru_cache(maxsize=1)
def claims() -> list[dict[str, Any]]:
    """Every row of reach.toml."""
    text = files("qtrace.explain").joinpath("reach_claims.toml").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = tomllib.loads(text)["claim"]
    return found


def reach_rows(
    client: Client, root: Path, measured: Mapping[Key, Mapping[str, str]] | None = None
) -> list[dict[str, Any]]:
    """The rows of a back end, as {from, to, can, condition, basis, source}.

    `basis` is `documented`, with QEMU's file and line as the source, or `measured`, with the run's name.
    """
    rows = []
    kind = "hub" if client.kind == "port" else client.type
    for claim in claims():
        if claim["netdev"] != kind:
            continue
        known = (measured or {}).get((kind, claim["from"], claim["to"]))
        if known is not None:
            rows.append({"from": claim["from"], "to": claim["to"], **known, "basis": "measured"})
            continue
        can, condition = _with_options(claim, client)
        rows.append(
            {
                "from": claim["from"],
                "to": claim["to"],
                "can": can,
                "condition": condition,
                "basis": "documented",
                "source": _place(root, claim["file"], claim["at"]),
            }
        )
    return rows


def _with_options(claim: Mapping[str, Any], client: Client) -> tuple[str, str]:
    values = client.values
    given = [name for name in claim.get("given", ()) if name in values]
    if claim.get("given") and not given:
        return "no", f"{claim['condition']}, and the line has no {' or '.join(claim['given'])}="
    without = claim.get("without")
    if without and (values.get(without) is True or truth(str(values.get(without, ""))) is True):
        return "no", f"{without}=on forbids it"
    if name := claim.get("not_from_loopback"):
        hosts = [str(value).split(":")[1:2] for value in _many(values[name])]
        if all(host and host[0].startswith("127.") for host in hosts):
            return "no", f"every {name}= is for the host's loopback only"
    said = [str(value) for name in given for value in _many(values[name])]
    return claim["can"], f"{claim['condition']}{': ' if said else ''}{'; '.join(said)}"


def _many(value: Any) -> list[Any]:
    found = value if isinstance(value, list) else [value]
    return [item.get("str", item) if isinstance(item, dict) else item for item in found]


@lru_cache(maxsize=64)
def _place(root: Path, file: str, words: str) -> str:
    """FILE:LINE of the words in the tree, FILE alone if this release no longer has them."""
    path = root / file
    text = path.read_text(errors="replace") if path.is_file() else ""
    place = text.find(words)
    return file if place < 0 else f"{file}:{text.count(chr(10), 0, place) + 1}"
