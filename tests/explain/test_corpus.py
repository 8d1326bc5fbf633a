"""QEMU agrees: each line of the corpus is started, paused, in two releases, and their accounts equal ours."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from corpus import CORPUS, FILES, Case
from drawn import draw
from witness import Account, Release, Witnesses

from qtrace.errors import RefusedLine
from qtrace.explain.explanation import Reader

pytestmark = pytest.mark.needs("qemu-system-x86_64", "unshare", "setpriv")
# Of these QEMU's monitor shows the values as they were given.
_COMPARED = {"tap": ("script", "downscript"), "user": ("restrict",), "bridge": ("br",), "socket": ()}
_COMPARED |= {"stream": (), "dgram": (), "l2tpv3": (), "vde": ()}
DEVICES = {"tun": "/dev/net/tun", "bridge": "/dev/net/tun", "vhost": "/dev/vhost-net"}


def unasked(case: Case) -> str:
    """Why QEMU cannot be asked here, empty where it can."""
    needed = DEVICES.get(case.needs)
    if needed and not Path(needed).exists():
        return f"{needed} is not there"
    if needed:
        try:
            Path(needed).open("rb").close()
        except OSError as exc:
            return f"{needed}: {exc.strerror}"
    return case.only_here


@pytest.fixture(scope="module")
def answers(witnesses: Witnesses, release: Release) -> dict[str, Future[Account]]:
    """Every line's answer."""
    asked = [case for case in CORPUS if not unasked(case)]
    return {case.line: witnesses.ask(release, case.line, case.needs) for case in asked}


def said(reader: Reader, case: Case) -> dict[str, Any]:
    files = [name for name in FILES if name in case.line]
    # Strictly: what only a vendor's QEMU has, or macOS', this one refuses.
    return reader.explain(["qemu-system-x86_64", *shlex.split(case.line)], files, strict=True)


def ours(data: dict[str, Any]) -> Account:
    """explain's JSON in the form of QEMU's account."""
    hubs = {hub["id"]: {port["name"]: port["peer"] for port in hub["ports"]} for hub in data["hubs"]}
    account = Account(hubs=hubs)
    for nic in data["nics"]:
        account.nics[nic["name"]] = {key: nic[key] for key in ("type", "mac", "peer")}
        kind = nic["type"].replace("virtio-net-pci-non-transitional", "virtio-net-pci")
        kind = "virtio-net-device" if kind.startswith("virtio-net") else kind
        account.devices.append((kind, nic["mac"], nic["peer"] or ""))
        if nic["address"]:
            account.addresses.append((nic["type"], nic["address"]))
    account.devices.sort()
    account.netdevs = {
        item["name"]: {key: item[key] for key in ("type", "peer", "queues")} for item in data["netdevs"]
    }
    account.filters = [
        (item["netdev"], item["name"], item["type"])
        for item in data["filters"]
        if item["netdev"] in account.netdevs  # of a port QEMU does not show them
    ]
    for netdev in account.netdevs.values():
        netdev["type"] = netdev["type"].replace("bridge", "tap")  # which is what a bridge makes
    return account


def test_there_are_enough_lines() -> None:
    assert len({case.line for case in CORPUS}) == len(CORPUS) >= 120


@pytest.mark.parametrize("case", CORPUS, ids=[f"{case.line[:70]}" for case in CORPUS])
def test_qemu_agrees(
    case: Case,
    release: Release,
    home: Path,
    answers: dict[str, Future[Account]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(home)
    if case.refused and case.taken != release.name:
        with pytest.raises(RefusedLine) as refusal:
            said(release.reader, case)
        assert case.refused[1] in f"{refusal.value} {refusal.value.hint}"
        if reason := unasked(case):
            pytest.skip(reason)
        account = answers[case.line].result()
        assert account.refused and case.refused[0] in account.refused
        return
    data = said(release.reader, case)
    if reason := unasked(case):
        pytest.skip(f"QEMU is not asked: {reason}")
    account = answers[case.line].result()
    assert not account.refused
    assert differences(data, account) == {}


def differences(data: dict[str, Any], its: Account) -> dict[str, tuple[object, object]]:
    """What explain and QEMU do not say alike, by name, as (ours, QEMU's)."""
    mine = ours(data)
    pairs: dict[str, tuple[object, object]] = {
        "nics": (mine.nics, its.nics),
        "netdevs": (mine.netdevs, its.netdevs),
        "hubs": (mine.hubs, its.hubs),
        "devices": (mine.devices, sorted(its.devices)),
        "filters": (sorted(mine.filters), sorted(its.filters)),
        "options": options(data, its),
        "addresses": (sorted((Counter(mine.addresses) - Counter(its.addresses)).elements()), []),
    }
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def options(data: dict[str, Any], its: Account) -> tuple[object, object]:
    """What the line says of each NIC and back end, and what QEMU has there."""
    mine: dict[str, str] = {}
    theirs: dict[str, str] = {}
    for client in (*data["nics"], *data["netdevs"]):
        has = its.properties.get(client.get("mac", ""), {})
        if client["name"] in its.info:
            has = dict(pair.split("=", 1) for pair in its.info[client["name"]].split(",") if "=" in pair)
        for row in client["options"]:
            if row["name"] == "mac":  # compared as the NIC's, however it is written
                continue
            if row["given"] and row["name"] in has and row["name"] in _COMPARED.get(client["type"], has):
                key = f"{client['name']}.{row['name']}"
                mine[key], theirs[key] = plainly(row["value"]), plainly(has[row["name"]])
    return mine, theirs


def plainly(value: str) -> str:
    """A value as QEMU's tree and people's lines write it, in one way."""
    if value.lower() in ("true", "yes", "on", "y"):
        return "on"
    if value.lower() in ("false", "no", "off", "n"):
        return "off"
    number = re.match(r"(0x[0-9a-fA-F]+|\d+)(?: \(.*\))?\Z", value)
    return str(int(number[1], 0)) if number else value


def test_qemu_agrees_on_lines_that_are_drawn_by_lot(release: Release, witnesses: Witnesses) -> None:
    """Taken or refused alike, and the same network. Another seed draws other lines."""
    lines = draw(1, 60)
    answers = [witnesses.ask(release, line) for line in lines]
    wrong, taken = [], 0
    for line, answer in zip(lines, answers, strict=True):
        account = answer.result()
        try:
            data = release.reader.explain(["qemu-system-x86_64", *shlex.split(line)])
        except RefusedLine as exc:
            if not account.refused:
                wrong.append((line, str(exc), account))
            continue
        taken += 1
        if account.refused or differences(data, account):
            wrong.append((line, account.refused, differences(data, account)))
    assert not wrong and 15 < taken < 45
