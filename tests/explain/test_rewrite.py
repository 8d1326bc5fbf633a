"""A form that is called exact is exact: both lines are started, and QEMU's accounts are one."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest
from corpus import CORPUS, Case
from test_corpus import said, unasked
from witness import Account, Release, Witnesses

pytestmark = pytest.mark.needs("qemu-system-x86_64", "unshare", "setpriv")


@dataclass
class Pair:
    case: Case
    form: str
    argv: list[str]


def pairs(release: Release) -> list[Pair]:
    """Every exact form of the lines that QEMU can be asked for here."""
    return [
        Pair(case, form["form"], form["argv"][1:])
        for case in CORPUS
        if not (case.refused and case.taken != release.name)
        and not unasked(case)
        and "-readconfig" not in case.line
        # Whether a connection to nobody is still tried or has failed is a matter of when QEMU is asked.
        if "addr.path=nobody" not in case.line
        for form in said(release.reader, case)["rewrites"]
        if form["exact"]
    ]


def renamed(account: Account, other: Account) -> Account:
    """`account` with the names of `other` for what QEMU has named by lot there."""
    keys = {
        (item["type"], item["peer"]): name for name, item in other.netdevs.items() if name.startswith("#")
    }
    names = {
        name: keys[item["type"], item["peer"]]
        for name, item in account.netdevs.items()
        if name not in other.netdevs and (item["type"], item["peer"]) in keys
    }
    ports = {
        ours: theirs
        for hub in account.hubs
        for ours, theirs in zip(account.hubs[hub], other.hubs.get(hub, {}), strict=False)
        if theirs.startswith("#")
    }

    def new(name: str | None) -> str | None:
        return names.get(name, ports.get(name, name)) if name else name

    return Account(
        refused=account.refused,
        nics={name: {**item, "peer": new(item["peer"])} for name, item in account.nics.items()},
        netdevs={new(name) or "": item for name, item in account.netdevs.items()},
        hubs={
            hub: {new(port) or "": new(peer) for port, peer in members.items()}
            for hub, members in account.hubs.items()
        },
        devices=[(kind, mac, new(peer) or "") for kind, mac, peer in account.devices],
        info={new(name) or "": text for name, text in account.info.items()},
        addresses=account.addresses,
        filters=[(new(netdev) or "", name, kind) for netdev, name, kind in account.filters],
    )


def same(account: Account) -> list[object]:
    """What must be equal: order counts where the guest sees it, which is in the addresses."""
    return [
        *(account.nics, account.netdevs, account.hubs, account.info, sorted(account.filters)),
        *(sorted(account.devices), sorted(account.addresses)),
    ]


def test_every_exact_form_is_the_same_to_qemu(
    release: Release, witnesses: Witnesses, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    found = pairs(release)
    assert len(found) > 100 and {pair.form for pair in found} >= {"-nic", "-net", "-netdev and -device"}
    answers = [
        (
            witnesses.ask(release, pair.case.line, pair.case.needs),
            witnesses.ask(release, shlex.join(pair.argv), pair.case.needs),
        )
        for pair in found
    ]
    wrong = []
    for pair, (first, second) in zip(found, answers, strict=True):
        before = first.result()
        after = renamed(second.result(), before)
        if after.refused or same(before) != same(after):
            wrong.append((pair.case.line, shlex.join(pair.argv), before, after))
    for item in wrong:
        print(*item, sep="\n   ")
    assert not wrong
