"""Names in an index and words in a run are data: markup and marks of direction stay text."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from pathlib import Path

import pytest
from page_tree import read_page

from qtrace.atlas.builder import Built, build_atlas
from qtrace.errors import StoreError
from qtrace.store.index import Index
from qtrace.store.run import RunReader

pytestmark = pytest.mark.slow
RUN = Path(__file__).parents[1] / "store" / "runs" / "format-1" / "measured"
MARKUP = "<script>alert(1)</script>"
BREAKS = "\"' onload=alert(1) x=\u202egnp.\x1b[31m\x00</style><img src=x>"
UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


CHANGES = (
    ("UPDATE functions SET name = ? || name WHERE name = 'e1000_send_packet'", MARKUP),
    ("UPDATE functions SET name = ? || name WHERE name = 'tap_write_packet'", MARKUP),
    ("UPDATE functions SET name = name || ? WHERE name = 'e1000_receive_iov'", BREAKS),
    ("UPDATE functions SET file = file || ? WHERE file = 'net/util.c'", BREAKS),
    ("UPDATE variables SET name = name || ? WHERE name = 'net_tap_info'", MARKUP),
    ("UPDATE tables SET variable = variable || ? WHERE variable = 'net_tap_info'", MARKUP),
    ("UPDATE tables SET value = ? WHERE struct = 'TypeInfo' AND value = 'tulip'", MARKUP + BREAKS),
    ("UPDATE files SET kconfig = kconfig || ? WHERE file LIKE 'hw/net/%'", BREAKS),
    ("UPDATE backends SET driver = driver || ?, guard = ? WHERE init LIKE '%netmap%'", BREAKS, MARKUP),
    ("UPDATE registrations SET field = field || ? WHERE file = 'hw/net/e1000.c'", MARKUP),
    ("UPDATE meta SET value = ? WHERE key = 'configuration'", MARKUP + BREAKS),
)


@pytest.fixture(scope="module")
def hostile(installed: Index, tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("hostile")
    copy = folder / "hostile.sqlite"
    shutil.copy(installed.path, copy)
    with sqlite3.connect(copy) as db:
        for change, *values in CHANGES:
            assert db.execute(change, values).rowcount, change
    db.close()
    shutil.copytree(RUN, folder / "run")
    meta = json.loads((folder / "run" / "run.json").read_text())
    meta["conditions"] |= {"accelerator": MARKUP + BREAKS, "QEMU": f"{installed.meta['qemu']} {MARKUP}"}
    meta["id"] = MARKUP
    (folder / "run" / "run.json").write_text(json.dumps(meta))
    return build_atlas([copy], folder / "atlas", runs=[RunReader.open(folder / "run")])


def test_hostile_names_stay_text(hostile: Built) -> None:
    said = 0
    for path in hostile.folder.rglob("*.html"):
        page = read_page(path)
        assert len(list(page.all("script"))) == 2, path
        assert not list(page.all("style"))
        # Only a post has pictures, which are files of its own.
        pictures = [e.values["src"] for e in page.all("img")]
        assert not pictures or path.parent.name == "post", path
        assert all((path.parent / name).is_file() for name in pictures), path
        for element in page.all():
            assert not [name for name in element.values if name.startswith("on")], path
            assert element.values.get("href", "#").split(":")[0] in ("https", element.values.get("href", "#"))
        text = path.read_text(encoding="utf-8")
        assert not UNSEEN.search(text), path
        said += page.text.count(MARKUP)
    assert said > 20
    script = (hostile.folder / "assets" / "search.js").read_text()
    assert script.isascii() and not UNSEEN.search(script)


def test_a_run_of_another_qemu_is_refused(installed: Index, tmp_path: Path) -> None:
    shutil.copytree(RUN, tmp_path / "run")
    meta = json.loads((tmp_path / "run" / "run.json").read_text())
    meta["conditions"]["QEMU"] = "5.1.0"
    (tmp_path / "run" / "run.json").write_text(json.dumps(meta))
    with pytest.raises(StoreError, match=r"5\.1\.0"):
        build_atlas([installed.path], tmp_path / "atlas", runs=[RunReader.open(tmp_path / "run")])
    assert not (tmp_path / "atlas").exists()
