"""A line against a program: back ends that it was built without, read from its file."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from program import Program
from test_explain import run

from qtrace.binary.symbols.built_backends import backends_left_out
from qtrace.errors import RefusedLine
from qtrace.explain.explanation import Reader, init_functions
from qtrace.lab.guest.guest import find_qemu
from qtrace.store.index import Index

_OTHER = {"tap": "net_init_tap", "socket": "net_init_socket", "stream": "net_init_stream", "dgram": "no"}


def said_by(program: str, environment: dict[str, str]) -> set[str]:
    """The back ends that a program lists: -netdev help."""
    return set(Program(program, environment).said("-netdev", "help").split("types:")[1].split())


@pytest.mark.needs("qemu-system-x86_64")
def test_the_programs_say_the_same(index: Index, newer: Index, newer_program: Program) -> None:
    """Of every back end that the tree has for Linux; net/net.c lists those without an init function, too."""
    for known, path, environment in (
        (index, str(find_qemu()), {}),
        (newer, newer_program.path, newer_program.environment),
    ):
        inits = {name: init for name, init in init_functions(known).items() if name not in ("nic", "none")}
        left_out = backends_left_out(Path(path), inits)
        assert left_out == inits.keys() - said_by(path, environment)


@pytest.mark.needs("qemu-system-x86_64")
def test_a_back_end_that_is_left_out_is_refused(newer: Index, newer_program: Program) -> None:
    """Debian builds without AF_XDP."""
    line = ["-nic", "af-xdp,ifname=lo"]
    assert run(newer, "--", "qemu-system-x86_64", *line).exit_code == 0
    said = run(newer, "--program", newer_program.path, "--", "qemu-system-x86_64", *line)
    assert isinstance(said.exception, RefusedLine) and "af-xdp is not compiled" in str(said.exception)
    assert (
        run(newer, "--program", newer_program.path, "--", "qemu-system-x86_64", "-nic", "user").exit_code == 0
    )


def test_without_libslirp_the_way_to_passt_is_said(index: Index) -> None:
    reader = Reader(index, left_out={"user"})
    for line in ("-netdev user,id=n -device e1000,netdev=n", "-nic user", "-net nic -net user"):
        with pytest.raises(RefusedLine, match="user is not compiled into this program") as refusal:
            reader.explain(["qemu-system-x86_64", *line.split()])
        assert "passt -s" in refusal.value.hint
    with pytest.raises(RefusedLine, match="not compiled"):
        reader.explain(["qemu-system-x86_64", "-netdev", '{"type":"user","id":"n"}'])
    # By default QEMU then makes a NIC, and no back end for it.
    data = reader.explain(["qemu-system-x86_64"])
    assert [nic["type"] for nic in data["nics"]] == ["e1000"] and data["netdevs"] == []


@pytest.mark.needs("gcc")
def test_the_functions_that_a_program_exports_decide(tmp_path: Path) -> None:
    source = tmp_path / "made.c"
    names = [name for name in _OTHER.values() if name != "no"]
    source.write_text("".join(f"int {name}(void) {{ return 0; }}\n" for name in names) + "int main() {}\n")
    argv = ["gcc", "-rdynamic", "-o", str(tmp_path / "made"), str(source)]
    subprocess.run(argv, check=True)
    assert backends_left_out(tmp_path / "made", _OTHER) == {"dgram"}
    # One that exports nothing tells nothing: Debian's program for Xen is such a one.
    subprocess.run([word for word in argv if word != "-rdynamic"], check=True)
    assert backends_left_out(tmp_path / "made", _OTHER) is None


def test_a_program_that_does_not_tell_is_no_refusal(index: Index) -> None:
    said = run(index, "--program", str(shutil.which("true")), "--", "qemu-system-x86_64", "-nic", "user")
    assert said.exit_code == 0 and "cannot be read from it" in said.output
