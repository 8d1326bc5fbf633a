"""`qtrace post` refuses what it cannot write before a lab is started: one message, what there is, status 1"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from qtrace.store.index import Index

QTRACE = (sys.executable, "-m", "qtrace")


@pytest.mark.parametrize(
    ("words", "said", "known"),
    [
        (("vde", "--lang", "en"), "there is no post 'vde'", "user, tap, socket, virtio"),
        (("user", "--lang", "fr"), "there is no language 'fr'", "en, zh"),
        (
            ("user", "--lang", "en", "--site", "wordpress"),
            "there is no profile of a site 'wordpress'",
            "al-folio",
        ),
    ],
)
def test_what_is_not_there_is_named_with_what_is(
    words: tuple[str, ...], said: str, known: str, index: Index, tmp_path: Path
) -> None:
    argv = [*QTRACE, "post", *words, "-o", str(tmp_path / "blog")]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert said in done.stderr and known in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "blog").exists()


def test_a_damaged_transcript_is_one_message(index: Index, tmp_path: Path) -> None:
    material = tmp_path / "material"
    material.mkdir()
    (material / "reach.json").write_text("{}")
    (material / "transcript.json").write_text("{")
    argv = [
        *QTRACE,
        "post",
        "user",
        "--lang",
        "en",
        "-o",
        str(tmp_path / "blog"),
        "--material",
        str(material),
    ]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 1 and "transcript.json cannot be read" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "blog").exists()
