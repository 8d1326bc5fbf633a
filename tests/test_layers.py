"""The order of the house: imports go only downward, no circles, one name for one file, no shell."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# What every room may import.
FLOOR = {"model", "errors", "cache", "progress", "proc", "wordbook", "worker", "__init__"}
# Each room, from the ground up, with the rooms below that it may import besides.
MAY_IMPORT: dict[str, set[str]] = {
    "distribution": set(),
    "store": set(),
    "index": {"distribution", "store"},
    "path": {"index", "store"},
    "explain": {"path", "index", "store"},
    "binary": {"store"},
    "probes": set(),
    "trace": {"probes", "distribution", "store"},
    "analyses": set(),
    "lab": {"distribution", "store"},
    "conditions": {"binary", "distribution"},
    "measure": {"analyses", "conditions", "explain", "path", "index", "binary", "probes", "trace", "store"},
    "diagnosis": {"measure", "trace", "analyses", "store"},
    "campaign": {"measure", "analyses", "conditions", "lab", "trace", "path", "binary", "store"},
    "report": {"analyses", "store"},
    "post": {"report", "explain", "path", "index", "lab", "analyses", "distribution", "store"},
    "atlas": {"post", "report", "explain", "path", "lab", "store"},
    "doctor": {"distribution", "lab", "trace", "binary", "index", "store"},
    "cli": {
        *(
            "doctor",
            "atlas",
            "post",
            "report",
            "campaign",
            "diagnosis",
            "measure",
            "lab",
            "analyses",
            "trace",
            "probes",
        ),
        *("binary", "explain", "path", "index", "store"),
    },
    "__main__": {"cli"},
}
# Within a large room: its own rooms, from the ground up.
INSIDE: dict[str, tuple[str, ...]] = {
    "binary": ("file", "code", "recovery", "symbols"),
    "trace": ("bpf", "qemu", "frames", "session", "budget"),
    "lab": ("host", "guest", "link", "mode", "machine", "workload", "reachability", "experiment"),
}
# No function branches more often than this; where rooms are still to be tidied, than what is there today.
MOST_BRANCHES = 15
BRANCHES_TODAY = {
    "index": 27,
    "path": 24,
    "lab": 24,
    "binary": 21,
    "cli": 22,
}
TIDY = ("cli.explain", "cli._explanation")
# A feature has one name on all of these floors.
FEATURE_FLOORS = {"probes", "measure.instruments", "analyses", "report.sections"}


def files() -> list[Path]:
    """Every Python file of the product, each once (the two links are not followed)."""
    found = [*ROOT.glob("probes/**/*.py"), *ROOT.glob("analyses/**/*.py")]
    for path in ROOT.glob("qtrace/**/*.py"):
        if not any(parent.is_symlink() for parent in path.parents):
            found.append(path)
    return sorted(found)


def module_of(path: Path) -> str:
    """Its name without `qtrace.`; a package's is its folder's."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[1:] if parts[0] == "qtrace" else parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in files()}


def imported(path: Path) -> set[str]:
    """The modules of the product that a file imports, wherever in it, under TYPE_CHECKING too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in inside if name.removeprefix("qtrace.") in MODULES}
            names |= modules or {node.module}
    return {name.removeprefix("qtrace.") for name in names if name.split(".")[0] == "qtrace"} & {*MODULES}


def room_of(module: str) -> str:
    return module.split(".")[0]


def test_every_room_is_in_the_order() -> None:
    rooms = {room_of(module) for module in MODULES}
    assert rooms == {*MAY_IMPORT, *FLOOR}
    order = list(MAY_IMPORT)
    for room, below in MAY_IMPORT.items():
        assert all(order.index(other) < order.index(room) for other in below), room


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_downward(module: str) -> None:
    room = room_of(module)
    below = FLOOR if room in FLOOR else FLOOR | {room} | MAY_IMPORT[room]
    others = imported(MODULES[module])
    assert {room_of(other) for other in others} <= below
    if len(parts := module.split(".")) > 2 and room in INSIDE:
        order = INSIDE[room]
        within = {other.split(".")[1] for other in others if room_of(other) == room}
        assert all(order.index(other) <= order.index(parts[1]) for other in within)


def test_no_file_imports_itself_through_others() -> None:
    graph = {module: imported(path) - {module} for module, path in MODULES.items()}
    assert list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def test_a_name_stands_in_one_room() -> None:
    """But for a verb and the room that does its work, and for a feature on its floors."""
    packages = {module for module, path in MODULES.items() if path.name == "__init__.py"}
    names: dict[str, set[str]] = {}
    for module in MODULES.keys() - packages:
        room, _, name = module.rpartition(".")
        if room != "cli":
            names.setdefault(name, set()).add(room)
    twice = {name: rooms for name, rooms in names.items() if len(rooms) > 1 and not rooms <= FEATURE_FLOORS}
    assert not twice


def test_a_test_module_has_a_name_of_its_own() -> None:
    """pytest imports each by its name alone."""
    names = [path.name for path in ROOT.glob("tests/**/test_*.py")]
    assert not {name for name in names if names.count(name) > 1}


def test_files_stay_under_500_lines() -> None:
    rooms = ("qtrace", "probes", "analyses", "tests")  # and not build/, where `make accuracy` makes a QEMU
    sources = [path for room in rooms for end in ("py", "c") for path in ROOT.glob(f"{room}/**/*.{end}")]
    assert sources
    too_long = [path for path in sources if len(path.read_text().splitlines()) > 500]
    assert not too_long


def test_functions_stay_under_60_lines() -> None:
    """Its statements; a reason beside `def` (`# long: …`) excuses one."""
    too_long = []
    for path in files():
        lines = path.read_text().splitlines()
        for node in ast.walk(ast.parse("\n".join(lines))):
            if not isinstance(node, ast.FunctionDef):
                continue
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            if length > 60 and "# long: " not in lines[node.lineno - 1]:
                too_long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name} {length}")
    assert not too_long


def branches(function: ast.FunctionDef) -> int:
    """McCabe's number: 1, and one for each place where it goes on in one of two directions; a function inside
    another counts for itself."""
    found, waiting = 1, list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.If | ast.For | ast.While | ast.IfExp | ast.ExceptHandler | ast.match_case):
            found += 1
        elif isinstance(node, ast.BoolOp):
            found += len(node.values) - 1
        elif isinstance(node, ast.comprehension):
            found += len(node.ifs)
    return found


def test_branches_are_counted() -> None:
    text = "def f(a):\n for b in [c for c in a if c and a]:\n  if b: return 1 if a else 2\n  elif a: pass"
    assert branches(next(node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef))) == 7


def test_functions_do_not_branch_too_often() -> None:
    """A reason beside `def` (`# branches: …`, or `# long: …`) excuses one."""
    too_many = []
    for path in files():
        module = module_of(path)
        most = MOST_BRANCHES if module in TIDY else BRANCHES_TODAY.get(room_of(module), MOST_BRANCHES)
        lines = path.read_text().splitlines()
        for node in ast.walk(ast.parse("\n".join(lines))):
            if not isinstance(node, ast.FunctionDef) or (count := branches(node)) <= most:
                continue
            if not any(mark in lines[node.lineno - 1] for mark in ("# branches: ", "# long: ")):
                too_many.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name} {count}")
    assert not too_many


def test_no_shell() -> None:
    for path in files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "shell":
                raise AssertionError(f"{path}:{node.value.lineno} passes shell=")


def test_only_the_command_line_prints() -> None:
    for path in files():
        if room_of(module_of(path)) in ("cli", "__main__"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            printed = isinstance(node, ast.Name) and node.id == "print"
            stream = isinstance(node, ast.Attribute) and node.attr in ("stdout", "stderr")
            ours = stream and isinstance(node.value, ast.Name) and node.value.id == "sys"
            assert not printed and not ours, f"{path}:{node.lineno} prints"
