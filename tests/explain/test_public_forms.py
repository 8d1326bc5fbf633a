"""Commands as public projects write them: each is explained, or refused as QEMU refuses it."""

from __future__ import annotations

import json
import shlex

import pytest
from form import Form
from public_forms import FORMS
from test_explain import run
from witness import Release, Witnesses

from qtrace.errors import RefusedLine
from qtrace.explain.dialect import dialects
from qtrace.explain.explanation import Reader
from qtrace.explain.pasted import read_text
from qtrace.store.index import Index

IDS = [f"{number} {form.where}" for number, form in enumerate(FORMS)]


def explained(reader: Reader, form: Form, *, strict: bool = False) -> dict[str, object]:
    pasted = read_text(form.text)
    return reader.explain(pasted.words, opened=pasted.opened, writer=pasted.writer, strict=strict)


def test_there_are_enough_of_them() -> None:
    taken = [form for form in FORMS if not form.refused]
    assert len({form.text for form in taken}) == len(taken) >= 60
    assert len({form.where.split()[0] for form in FORMS}) >= 20


@pytest.mark.parametrize("form", FORMS, ids=IDS)
def test_a_form_is_explained(
    request: pytest.FixtureRequest, reader: Reader, newer_reader: Reader, form: Form
) -> None:
    """Of what a newer release is needed for, Debian 12's is not enough, whichever is installed."""
    if form.refused:
        with pytest.raises(RefusedLine) as refusal:
            explained(reader, form)
        assert form.refused in str(refusal.value) and refusal.value.hint
        return
    if form.needs:
        with pytest.raises(RefusedLine):
            explained(request.getfixturevalue("earlier_reader"), form)
    readers = [newer_reader] if form.needs else [reader, newer_reader]
    for one in readers:
        data = explained(one, form)
        kinds = {netdev["name"]: netdev["type"] for netdev in data["netdevs"]}
        pairs = [(nic["type"], kinds.get(nic["peer"], "-")) for nic in data["nics"]]
        assert (tuple(pairs), data["dialect"]) == (form.pairs, form.dialect)


def test_each_dialect_is_met_and_none_is_met_in_an_ordinary_line() -> None:
    met = {form.dialect for form in FORMS} | {"Red Hat", "Ubuntu"}  # whose lines test_dialects has
    assert {dialect.vendor for dialect in dialects()} <= met


@pytest.mark.parametrize(
    "form", [form for form in FORMS if form.dialect in ("macOS", "UTM")], ids=lambda form: form.where
)
def test_strictly_it_is_what_this_qemu_says(reader: Reader, form: Form) -> None:
    """Linux's QEMU has no back end of macOS, and explain says so where it is asked to."""
    with pytest.raises(RefusedLine, match="vmnet"):
        explained(reader, form, strict=True)


def test_what_the_vendor_has_is_named(index: Index) -> None:
    (kata,) = (form for form in FORMS if form.where == "kata-containers/runtime #2775")
    data = json.loads(run(index, "--format", "json", "--file", "-", stdin=kata.text).output)
    assert any("kernel_irqchip" in item for item in data["vendor"])
    (utm,) = (form for form in FORMS if form.where == "utmapp/UTM #3215")
    said = run(index, "--file", "-", stdin=utm.text)
    assert said.exit_code == 0 and "vmnet-macos" in said.output and "UTM's own" in said.output


@pytest.mark.parametrize(
    "text",
    [
        "qemu-system-x86_64: -netdev user,id=a: Parameter 'id' is missing",
        "I run qemu-system-x86_64 and it says: no network",
        'time="x" level=debug msg="looking for qemu-system-x86_64 in [/bin /usr/bin]"',
        "Checking /usr/bin/qemu-system-x86_64: []string{}",
    ],
)
def test_what_only_names_the_program_is_no_command(reader: Reader, text: str) -> None:
    """It is refused, or has no network but QEMU's own."""
    try:
        data = reader.explain(read_text(text).words)
    except RefusedLine:
        return
    assert len(data["netdevs"]) <= 1


# Options whose values are of the network alone; a guest's other parts are not there.
_OF_NETWORK = ("-netdev", "-nic", "-net")
_STARTED = ("user", "socket", "dgram")  # which need nothing of the host


def network_of(words: list[str]) -> str:
    """The network's part of a command, and its NICs."""
    found: list[str] = []
    for word, value in zip(words, [*words[1:], ""], strict=True):
        nic = word == "-device" and any(name in value for name in ("netdev", "e1000,mac", "pci-bridge"))
        if word.replace("--", "-") in _OF_NETWORK or nic:
            found += [word, value]
        elif word == "-nodefaults":
            found.append(word)
    return shlex.join(found)


@pytest.mark.needs("qemu-system-x86_64", "unshare", "setpriv")
def test_qemu_says_the_same(release: Release, witnesses: Witnesses) -> None:
    """What is refused QEMU refuses; what is explained starts, where it needs nothing of the host."""
    asked = {}
    for form in FORMS:
        words = read_text(form.text).words
        kinds = {netdev for _, netdev in form.pairs}
        of_pc = any(word.endswith(("x86_64", "i386", "/kvm", "kvm")) for word in words[:40])
        if not of_pc or form.dialect == "Proxmox":
            continue
        # An address that this host does not have, and a program.
        here = not any(word in form.text for word in ("192.0.2.", "smb="))
        if form.refused or (kinds and kinds <= {*_STARTED, "-"} and here):
            asked[form] = witnesses.ask(release, network_of(words))
    assert sum(not form.refused for form in asked) >= 19
    for form, answer in asked.items():
        assert bool(answer.result().refused) == bool(form.refused), (form.where, answer.result().refused)
