"""`qtrace completion SHELL`: the script as bash runs it, and the answers that each shell asks for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qtrace.store.index import Index

PROGRAM = Path(sys.executable).parent / "qtrace"
ENVIRONMENT = {**os.environ, "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}"}


def run(*argv: str, **asked: str) -> str:
    done = subprocess.run(
        argv, env=ENVIRONMENT | asked, capture_output=True, text=True, timeout=300, check=True
    )
    return done.stdout


def in_bash(*words: str) -> list[str]:
    """What bash offers for the last word, having read the script as a user's .bashrc does."""
    line = " ".join(f"'{word}'" for word in words)
    script = (
        'eval "$(qtrace completion bash)"\n'
        f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}\n"
        '_qtrace_completion qtrace; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    return run("bash", "--norc", "-c", script).split()


@pytest.mark.needs("bash")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("qtrace", "re"), ["record", "reach", "report"]),
        (("qtrace", "lab", "sh"), ["shell"]),
        (("qtrace", "lab", "up", "tap-"), ["tap-bridge", "tap-nat", "tap-vhost"]),
        (("qtrace", "bench", "qu"), ["quick"]),
        (("qtrace", "walk", "--dir"), ["--direction"]),
        (("qtrace", "walk", "rtl"), ["rtl8139"]),
        (("qtrace", "walk", "rtl8139", "use"), ["user"]),
        (("qtrace", "completion", "f"), ["fish"]),
    ],
)
def test_bash_offers(index: Index, words: tuple[str, ...], offered: list[str]) -> None:
    assert sorted(word for word in in_bash(*words) if word != words[-1]) == sorted(offered)


def test_nothing_is_said_where_nothing_is_indexed(tmp_path: Path) -> None:
    asked = {"_QTRACE_COMPLETE": "bash_complete", "COMP_WORDS": "qtrace walk e10", "COMP_CWORD": "2"}
    argv = [str(PROGRAM)]
    env = ENVIRONMENT | asked | {"QTRACE_CACHE": str(tmp_path)}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


@pytest.mark.parametrize(("shell", "word"), [("zsh", "tx"), ("fish", "tx")])
def test_the_other_shells_ask_the_same_program(shell: str, word: str) -> None:
    script = run(str(PROGRAM), "completion", shell)
    assert f"_QTRACE_COMPLETE={shell}_complete" in script
    asked = {"_QTRACE_COMPLETE": f"{shell}_complete", "COMP_WORDS": "qtrace walk --direction "}
    asked["COMP_CWORD"] = "3" if shell == "zsh" else ""
    assert word in run(str(PROGRAM), **asked)


def test_a_name_loads_only_the_verbs_that_begin_so() -> None:
    """Else every Tab would wait for pandas and matplotlib."""
    asked = (
        "import sys, qtrace.cli.main as m\n"
        "found = m.command.shell_complete(m.click.Context(m.command), 'wa')\n"
        "print([item.value for item in found], {'pandas', 'matplotlib'} & {*sys.modules})"
    )
    assert run(sys.executable, "-c", asked).strip() == "['walk'] set()"


def test_no_verb_loads_the_cluster_before_it_is_asked_for() -> None:
    asked = (
        "import sys, qtrace.cli.main as m\n"
        "context = m.click.Context(m.command)\n"
        "found = [m.command.get_command(context, name) for name in m.command.list_commands(context)]\n"
        "print(len(found) > 20, {'distributed', 'dask', 'tornado'} & {*sys.modules})"
    )
    assert run(sys.executable, "-c", asked).strip() == "True set()"
