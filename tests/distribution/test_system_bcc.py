"""bcc is the distribution's own, and what is on PyPI under its name is not taken for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from qtrace.distribution.identity import distribution
from qtrace.distribution.system_bcc import mend_for

# As a virtual environment without the system's packages sees it, with a folder of ours before all else.
ALONE = "import sys; sys.path = [{folder!r}, *(path for path in sys.path if 'dist-packages' not in path)];"


def ask(folder: Path, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", ALONE.format(folder=str(folder)) + code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.needs("bcc")
def test_pypis_package_of_that_name_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "bcc").mkdir()
    (tmp_path / "bcc/__init__.py").write_text("raise SystemExit('this is not BPF')\n")
    code = (
        "from qtrace.distribution.system_bcc import find_bcc; assert find_bcc(); import bcc; print(bcc.BPF)"
    )
    assert "bcc.BPF" in ask(tmp_path, code)


@pytest.mark.needs("bcc")
def test_nothing_else_of_the_distribution_is_seen(tmp_path: Path) -> None:
    (tmp_path / "of_nobody").mkdir()
    code = "from qtrace.distribution.system_bcc import find_bcc; assert find_bcc(); import importlib.util;"
    theirs = {path.name.partition(".")[0] for path in Path("/usr/lib/python3/dist-packages").glob("*.py")}
    only = sorted(name for name in theirs if name.isidentifier() and name not in sys.modules)[:20]
    code += f"print([name for name in {only!r} if (spec := importlib.util.find_spec(name)) and "
    code += "'dist-packages' in str(spec.origin)], [path for path in sys.path if 'dist-packages' in path])"
    assert ask(tmp_path, code) == "[] []"  # a small system has nothing beside bcc there


def test_the_reason_and_the_one_command() -> None:
    reason, mend = mend_for(None, "3.13", "3.13")
    assert "not installed" in reason and mend == distribution().hint("bcc")
    folder = Path("/usr/lib/python3/dist-packages")
    reason, mend = mend_for(folder, "3.13", "3.11")
    assert "for Python 3.13" in reason and "this is Python 3.11" in reason
    assert mend.startswith("run: /usr/bin/python3 -m venv --system-site-packages")
    reason, mend = mend_for(folder, "3.13", "3.13")
    assert "does not see it" in reason and sys.prefix in mend and "apt-get" not in mend
