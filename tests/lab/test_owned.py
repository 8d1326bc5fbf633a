"""What we make outside ourselves is gone afterwards, or its record is there for the next start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from qtrace.lab.host.netns import open_namespace
from qtrace.lab.host.owned import STATE, private_dir, remove_leftovers
from qtrace.lab.mode.running_labs import claim

pytestmark = pytest.mark.needs("root", "ip")


def test_a_namespace_is_gone_with_its_block_also_after_an_error() -> None:
    with pytest.raises(RuntimeError), open_namespace() as space:
        assert Path(space.path).exists()
        raise RuntimeError
    assert not Path(space.path).exists()


def test_what_cannot_be_taken_down_keeps_its_record_and_the_next_start_removes_it() -> None:
    code = (
        "import os\nfrom qtrace.lab.host.netns import open_namespace\n"
        "with open_namespace() as space:\n"
        "    print(os.getpid(), space.path, flush=True)\n"
        "    os.environ['PATH'] = '/nowhere'\n"  # now there is no ip to delete it with
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.returncode != 0 and "the program 'ip' is missing" in said.stderr
    pid, path = said.stdout.split()
    assert Path(path).exists() and list(STATE.glob(f"{pid}-*"))
    assert f"netns {Path(path).name}" in remove_leftovers()
    assert not Path(path).exists() and not list(STATE.glob(f"{pid}-*"))


def test_a_private_folder_is_its_owner_s_alone_and_gone_afterwards() -> None:
    with private_dir(65534) as path:
        (path / "file").write_text("x")
        assert path.stat().st_uid == 65534 and path.stat().st_mode & 0o077 == 0
    assert not path.exists()


def test_a_lab_that_has_taken_a_dead_one_s_name_is_left_alone() -> None:
    """The dead process's record names the folder; whose it is now stands in the folder."""
    code = "import os; print(os.getpid())"
    dead = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
    with claim("of-tests") as (name, home):
        record = STATE / f"{dead}-1" / "dir-1"
        record.parent.mkdir()
        record.write_text(str(home))
        assert f"dir {home}" not in remove_leftovers()
        assert home.is_dir() and not record.exists() and name.startswith("of-tests")
    assert not home.exists()
