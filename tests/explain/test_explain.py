"""The verb: formats, where a line comes from, what it warns of; and any text at all."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from corpus import CORPUS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from public_forms import FORMS
from test_corpus import plainly
from witness import Release, Witnesses

from qtrace.cli._explanation import as_markdown, as_mermaid, as_text
from qtrace.cli.explain import command
from qtrace.errors import RefusedLine
from qtrace.explain.explanation import Reader
from qtrace.explain.pasted import read_text, split_text
from qtrace.store.index import Index

LINE = (
    "qemu-system-x86_64 -hda disk.img -net nic,model=e1000,netdev=foo "
    "-netdev tap,ifname=tap0,script=no,downscript=no,id=foo"
)


def run(index: Index, *argv: str, stdin: str = "") -> Result:
    return CliRunner().invoke(command, ["--index", str(index.path), *argv], input=stdin)


def test_the_issues_line_in_every_format(index: Index) -> None:
    text = run(index, "--", LINE).output
    assert "1 NIC, 1 back end, no hubs" in text
    assert re.search(r"net_init_tap \(net/tap\.c:\d+\)", text)
    assert "qtrace walk e1000 tap --direction tx" in text and "-netdev and -device (exact)" in text
    assert "script = no" in text
    data = json.loads(run(index, "--format", "json", "--", *LINE.split()).output)
    assert [nic["peer"] for nic in data["nics"]] == ["foo"]
    assert "```" in run(index, "--format", "md", "--", LINE).output
    assert run(index, "--format", "mermaid", "--", LINE).output.startswith("flowchart")


def test_a_line_from_a_file_and_from_stdin(index: Index, tmp_path: Path) -> None:
    text = (
        "$ sudo qemu-system-x86_64 \\\n  -netdev 'user,id=a,hostname=x,,y' \\\n  -device e1000,netdev=a &\n"
    )
    (tmp_path / "line").write_text(text)
    one = run(index, "--format", "json", "--file", str(tmp_path / "line"))
    two = run(index, "--format", "json", "--file", "-", stdin=text)
    assert one.output == two.output
    values = {row["name"]: row["value"] for row in json.loads(one.output)["netdevs"][0]["options"]}
    assert values["hostname"] == "x,y"


def test_a_process(index: Index) -> None:
    # Something that waits and is called as a QEMU is.
    wait = "import sys, time; print(flush=True); time.sleep(600)"
    argv = [sys.executable, "-c", wait, "-nic", "user,model=rtl8139", "-id", "100"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout and process.stdout.readline()
            said = run(index, "--pid", str(process.pid))
        finally:
            process.kill()
    assert said.exit_code == 0, said
    assert "rtl8139.0" in said.output and "-id 100" in said.output


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        ("-netdev user,id=a", "no-peer", "no NIC uses this netdev"),
        ("-nodefaults -device e1000", "no-peer", "its frames go nowhere"),
        ("-net nic -net user", "hub", "-nic makes none"),
        ("-net nic -net nic -net user", "hub", "see each other's frames"),
        ("-net nic", "hub-without-host", "leads out"),
        ("-M none -nic user", "not-created", "will not have it"),
        ("-device e1000,mac=52:54:00:00:00:01 -nic user,mac=52:54:00:00:00:01", "mac-twice", "2 times"),
        ("-nic tap,ifname=nowhere9", "ifname", "no interface 'nowhere9'"),
        ("-nic tap", "script", "/etc/qemu-ifup"),
        ("-nic tap,vhost=on,model=e1000", "vhost", "a virtio NIC only"),
        ("-nic user,restrict", "deprecated", "restrict=on"),
        ("-nic user,ip=10.0.2.0", "deprecated", "ip="),
        ("-nic tap,fd=3", "descriptor", "pass this descriptor"),
        ("-global rtl8139.mac=52:54:00:00:00:09 -nic user", "remark", "changes nothing"),
        ("-device vfio-pci,host=01:00.0 -nic none", "passthrough", "hands a device"),
        ("-readconfig /etc/shadow -nic user", "remark", "was not read"),
    ],
)
def test_warnings(reader: Reader, line: str, kind: str, words: str) -> None:
    found = reader.explain(["qemu-system-x86_64", *line.split()])["warnings"]
    assert any(item["kind"] == kind and words in item["text"] for item in found), found


def test_what_it_does_not_need_to_warn_of(reader: Reader) -> None:
    line = "-netdev user,id=a -device virtio-net-pci,netdev=a"
    assert reader.explain(["qemu-system-x86_64", *line.split()])["warnings"] == []


def test_every_option_has_its_meaning_and_its_place(reader: Reader) -> None:
    data = reader.explain(["qemu-system-x86_64", "-nic", "tap,script=no,downscript=no"])
    rows = {row["name"]: row for row in data["netdevs"][0]["options"]}
    assert all(row["meaning"] and row["file"] and row["line"] for row in rows.values())
    assert rows["script"]["default"] == "/etc/qemu-ifup" and rows["script"]["value"] == "no"
    assert rows["ifname"]["given"] is False


@pytest.mark.needs("qemu-system-x86_64")
def test_every_models_properties_are_those_that_qemu_lists(release: Release) -> None:
    """Of all NIC types that the program has, both ways: none is missing and none is too many."""
    compared, wrong = 0, {}
    for name, model in release.reader.models.by_type.items():
        said = release.program.said("-device", f"{name},help")
        theirs = set(re.findall(r"^  ([\w-]+)=<", said, re.MULTILINE)) - {"virtio-backend"}
        if not theirs:
            assert model.abstract or not model.built or not model.pluggable or model.bus == "System", name
            continue
        compared += len(theirs)
        known = release.reader.models.properties(model)
        ours = {key for key, item in known.items() if item.file}
        if theirs != ours:
            wrong[name] = (theirs - ours, ours - theirs)
    assert not wrong and compared > 550


# What a device settles only when it is made: from its ROM's file, its bus, or how many queues it has.
_SETTLED = ("romfile", "romsize", "disable-legacy", "vectors", "ioeventfd")


@pytest.mark.needs("qemu-system-x86_64", "unshare", "setpriv")
@pytest.mark.parametrize(
    "device",
    [
        *("e1000", "rtl8139", "virtio-net-pci", "vmxnet3", "pcnet", "ne2k_isa", "e1000e", "i82551", "tulip"),
        "virtio-net-pci,rx_queue_size=512,mq=on,mrg_rxbuf=off,vectors=7",
    ],
)
def test_the_values_of_a_models_properties_are_qemus(
    release: Release, witnesses: Witnesses, device: str
) -> None:
    """Those of the line and the defaults alike."""
    line = f"-nodefaults -device {device}"
    (nic,) = release.reader.explain(["qemu-system-x86_64", *line.split()])["nics"]
    (theirs,) = witnesses.ask(release, line).result().properties.values()
    rows = {row["name"]: row for row in nic["options"] if row["value"] and row["name"] in theirs}
    assert len(rows) >= 3
    wrong = {
        name: (row["value"], theirs[name])
        for name, row in rows.items()
        if plainly(row["value"]) != plainly(theirs[name]) and (row["given"] or name not in _SETTLED)
    }
    assert not wrong


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("taskset -c 0,1 nice -n 5 qemu-system-x86_64 -nic user,model=rtl8139", "another program's"),
        ("cd /vm; sudo -E env A=b qemu-system-x86_64 -nic user,model=rtl8139 2>&1 | tee log &", ""),
        ("qemu-system-x86_64 ^\n  -nic user,model=rtl8139", ""),
        ("qemu-system-x86_64 -nic user,model=rtl8139 # and a comment", ""),
        ('"C:\\Program Files\\qemu\\qemu-system-x86_64w.exe" -nic user,model=rtl8139', ""),
        ('#!/bin/sh\nset -e\nexec qemu-system-x86_64 \\\n -nic user,model=rtl8139 "$@"', "no variable"),
        ("qemu-img create d.img 1G\nqemu-system-x86_64 d.img -nic user,model=rtl8139", ""),
        ("qemu-system-x86_64 -nic user,model=rtl8139, id=x", "a blank ends a value"),
    ],
)
def test_a_line_as_it_is_copied(reader: Reader, text: str, words: str) -> None:
    data = reader.explain(split_text(text))
    assert [nic["type"] for nic in data["nics"]] == ["rtl8139"] and data["machine_known"]
    said = " ".join(item["text"] for item in data["warnings"])
    assert words in said if words else not data["warnings"]


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("virsh start vm", "is not called as QEMU is", ""),
        ("qemu-system-x86_64 \u2013nic user", "no '-'", "type it again"),
        ("qemu-system-x86_64 -nic \u201cuser\u201d", "no back end", "typographic"),
        ("qemu-system-x86_64 -nic=user", "no option", "-nic user"),
        ("qemu-system-x86_64 -redir tcp:1::2", "no option", "removed-features"),
        ("qemu-system-x86_64 -net nic,vlan=1", "no option 'vlan'", "QEMU 3.0"),
        ("kvm -idle 100 -nic user", "no option", "--lenient"),
        ("qemu-system-x86_64 -net nic,vlan=0", "no option 'vlan'", "without it: -net nic"),
        ("qemu-system-x86_64 -netdev user,id=n -device virtio,netdev=n", "no NIC", "virtio-net-pci,netdev=n"),
        ("qemu-system-x86_64 -nic user\nqemu-system-x86_64 -nic user", "2 QEMU commands", "one at a time"),
    ],
)
def test_a_refusal_says_what_to_do(reader: Reader, text: str, words: str, hint: str) -> None:
    with pytest.raises(RefusedLine) as refusal:
        reader.explain(split_text(text))
    assert words in str(refusal.value) and hint in refusal.value.hint


def test_a_distributors_line_is_read_leniently(index: Index) -> None:
    line = (
        "/usr/bin/kvm -id 100 -machine type=pc+pve0 -netdev type=tap,id=net0,ifname=tap100i0,script=/bridge "
        "-device virtio-net-pci,mac=AA:BB:CC:DD:EE:FF,netdev=net0,bus=pci.0,addr=0x12,id=net0,host_mtu=1500"
    )
    assert run(index, "--strict", "--", line).exit_code == 1
    for forms in ((), ("--lenient",)):
        said = run(index, *forms, "--", line)
        assert said.exit_code == 0 and "-id 100: Proxmox's own" in said.output and "net0 (tap)" in said.output


def test_a_refusal_is_one_message(index: Index) -> None:
    argv = [sys.executable, "-m", "qtrace", "explain", "--index", str(index.path), "--", "-nic", "tapp"]
    said = subprocess.run(argv, capture_output=True, text=True)
    assert said.returncode == 1 and "no back end 'tapp'" in said.stderr and "Traceback" not in said.stderr


def test_control_characters_do_not_reach_the_terminal(index: Index) -> None:
    for form in ("text", "md", "mermaid"):
        said = run(index, "--format", form, "--", "qemu-system-x86_64", "-nic", "user,hostname=\x1b]0;x\x07")
        assert said.exit_code == 0 and "\x1b" not in said.output and "\x07" not in said.output
    refused = run(index, "--", "qemu-system-x86_64", "-nic", "\x1b[2J")
    assert "\x1b" not in str(refused.exception) and isinstance(refused.exception, RefusedLine)


_SAID = (
    "qemu-system-x86_64 -net -netdev -nic -device -M -set -readconfig -nodefaults user tap nic hubport "
    'id=a netdev=a hubid=0 model=virtio mac=1 fd=3 queues=2 addr.type=unix \' " \\ , = {"type": } , ,, e1000 '
    "-object -global filter-dump filter-mirror,id=f,netdev=a qom-type e1000.mac=x addr=3 bus=pci.0 -- && ; > "
    "stream virtio-net-pci hostfwd=tcp::1-:2 [ x.0=1 x.1.y=2 netdev.a.restrict=on $HOME\n "
    "-id 100 -M pc+pve0 -machine type=q35+pve0 3<>/dev/tap2 host_tunnel=off vhost=on vhost-user chardev=c "
    "-chardev socket,id=c,path=s -add-fd set=0,fd=3 /dev/fdset/0 sndbuf=9 -sandbox on,spawn=deny "
    "udp=1.2.3.4:5 mq=on memory-backend-file,id=m,size=1M -m 1G mem-path failover=on failover_pair_id=n "
    "vectors=0 { {,type=user "
    "qCmd.Args: [ launching with: [-netdev 'command_line': ' Running:  -L []string{ \"-nic\", 'user,id=a', "
    'time="1" msg="qemu {"msg":" Command { std: "qemu-system-x86_64" ] } \\" qemu-lite-system-x86_64 '
    "qemu-aarch64-softmmu: vmnet-shared,id=a kernel_irqchip,nvdimm /run/vc/vm/1 forklimits -- Executing"
)
WORDS = st.sampled_from(_SAID.split(" "))
LINES = st.sampled_from([case.line for case in CORPUS])
LOGS = st.sampled_from([form.text for form in FORMS])


def spoiled(lines: list[str], place: int, cut: int, put: str) -> str:
    """Lines of the corpus on one, with something cut out of it and something put in."""
    return damaged(" ".join(["qemu-system-x86_64", *lines]), place, cut, put)


def damaged(text: str, place: int, cut: int, put: str) -> str:
    """A text with something cut out of it and something put in."""
    place %= len(text)
    return text[:place] + put + text[place + cut :]


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    text=st.one_of(
        st.text(max_size=300),
        st.lists(WORDS, max_size=14).map(" ".join),
        st.lists(WORDS, max_size=14).map("".join),
        st.builds(
            spoiled,
            st.lists(LINES, min_size=1, max_size=3),
            st.integers(0, 400),
            st.integers(0, 6),
            st.text(max_size=4),
        ),
        st.builds(damaged, LOGS, st.integers(0, 1000), st.integers(0, 20), st.text(max_size=4)),
    )
)
def test_any_text_is_answered_or_refused(reader: Reader, text: str) -> None:
    began = time.thread_time()  # other work on the machine is not its
    try:
        pasted = read_text(text)
        data = reader.explain(pasted.words, opened=pasted.opened, writer=pasted.writer)
        json.dumps(data)
        for shown in (as_text(data, every=True), as_markdown(data, every=False), as_mermaid(data)):
            assert shown
    except RefusedLine as exc:
        assert str(exc)
    assert time.thread_time() - began < 1


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    form=st.sampled_from(
        ["-netdev", "-nic", "-net", "-device", "-M", "-set", "-chardev", "-object", "-global"]
    ),
    value=st.one_of(st.text(max_size=80), st.lists(WORDS, max_size=10).map(",".join)),
)
def test_any_value_is_answered_or_refused(reader: Reader, form: str, value: str) -> None:
    try:
        reader.explain(["qemu-system-x86_64", form, value])
    except RefusedLine as exc:
        assert str(exc)


@pytest.mark.parametrize(
    "text",
    [
        "-nic user," + "a.b." * 30_000,
        "-netdev stream," + "a." * 60_000 + "=1",
        "-netdev {" + "[" * 90_000,
        '"' * 130_001,
        "-nic " + "," * 130_000,
    ],
)
def test_long_texts_take_no_longer(reader: Reader, text: str) -> None:
    began = time.thread_time()  # other work on the machine is not its
    with pytest.raises(RefusedLine):
        reader.explain(split_text(text))
    assert time.thread_time() - began < 1


@pytest.mark.parametrize(
    "text",
    [
        "qemu-system-" * 10_000,
        "Executing /a/qemu-system-x86_64 " * 4_000,
        "launching " * 13_000,
        "forklimits -- " * 9_000,
        'msg="' * 26_000,
        "[]string{\n" + "\n" * 60_000,
        "qemu cmd: [" + " " * 130_000,
        "with: " + '"' * 120_000 + "qemu-system-x86_64",
        '{"msg":' * 18_000,
        "/" * 130_000 + "qemu-system-x86_64",
    ],
)
def test_a_long_log_takes_no_longer(reader: Reader, text: str) -> None:
    began = time.thread_time()
    with contextlib.suppress(RefusedLine):
        reader.explain(split_text(text))
    assert time.thread_time() - began < 1


def test_which_indexed_releases_take_a_line(index: Index) -> None:
    words = ("--releases", "--", "qemu-system-x86_64", "-netdev", "user,id=n0", "-device")

    def said(device: str) -> str:
        rows = run(index, *words, device).output.splitlines()
        return next(row for row in rows if row.startswith(index.meta["qemu"]))

    assert said("e1000,netdev=n0").endswith(" takes it")
    assert "refuses it: " in said("e1000,netdev=n1")
