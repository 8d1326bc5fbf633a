"""The order of the house: imports go only downward, files stay small, nothing opens a shell."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Each room with the rooms it may import; a room may always import itself and the floor.
FLOOR = {"model", "errors", "cache", "progress", "proc", "debian", "__init__"}
MAY_IMPORT: dict[str, set[str]] = {
    "cli": {"report", "analyses", "bench", "explain", "probes", "trace", "lab", "binary", "source", "store"},
    "__main__": {"cli"},
    "report": {"analyses", "store"},
    "bench": {"analyses", "explain", "probes", "trace", "lab", "binary", "source", "store"},
    "analyses": set(),
    "explain": {"source", "store"},
    "trace": {"probes", "store"},
    "probes": set(),
    "lab": {"store"},
    "binary": {"store"},
    "source": {"store"},
    "store": set(),
}


def files() -> list[Path]:
    """Every Python file of the product, each once (the two links are not followed)."""
    found = [*ROOT.glob("probes/**/*.py"), *ROOT.glob("analyses/**/*.py")]
    for path in ROOT.glob("qtrace/**/*.py"):
        if not any(parent.is_symlink() for parent in path.parents):
            found.append(path)
    return sorted(found)


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    if parts[0] != "qtrace":
        return parts[0]
    return parts[1] if len(parts) > 2 else parts[1].removesuffix(".py")


def imported_rooms(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    rooms = {name.split(".")[1] for name in names if name.startswith("qtrace.")}
    return {room for room in rooms if room in MAY_IMPORT or room in FLOOR}


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_downward(path: Path) -> None:
    room = room_of(path)
    allowed = FLOOR | {room} | MAY_IMPORT.get(room, set())
    assert imported_rooms(ast.parse(path.read_text())) <= allowed


def test_the_floor_imports_only_itself() -> None:
    for name in FLOOR:
        tree = ast.parse((ROOT / "qtrace" / f"{name}.py").read_text())
        assert imported_rooms(tree) <= FLOOR


def test_files_stay_under_500_lines() -> None:
    rooms = ("qtrace", "probes", "analyses", "tests")  # and not build/, where `make accuracy` makes a QEMU
    sources = [path for room in rooms for end in ("py", "c") for path in ROOT.glob(f"{room}/**/*.{end}")]
    assert sources
    too_long = [path for path in sources if len(path.read_text().splitlines()) > 500]
    assert not too_long


def test_no_shell() -> None:
    for path in files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "shell":
                raise AssertionError(f"{path}:{node.value.lineno} passes shell=")


def test_only_the_command_line_prints() -> None:
    for path in files():
        if room_of(path) in ("cli", "__main__"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            printed = isinstance(node, ast.Name) and node.id == "print"
            stream = isinstance(node, ast.Attribute) and node.attr in ("stdout", "stderr")
            ours = stream and isinstance(node.value, ast.Name) and node.value.id == "sys"
            assert not printed and not ours, f"{path}:{node.lineno} prints"
