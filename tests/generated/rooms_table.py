"""The rooms in docs/architecture.md: the order of tests/test_layers.py, the docstrings of the packages."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from types import ModuleType

from write import ROOT, between

PAGE = "docs/architecture.md"


def _layers() -> ModuleType:
    spec = importlib.util.spec_from_file_location("layers_for_rooms", ROOT / "tests" / "test_layers.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _file(module: str) -> Path:
    base = ROOT / "qtrace" / module.replace(".", "/")
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def _row(module: str, below: str) -> str:
    file = _file(module)
    summary = (ast.get_docstring(ast.parse(file.read_text())) or "").splitlines()[0]
    name = module.replace(".", "/") + ("/" if file.name == "__init__.py" else ".py")
    return f"| `{name}` | {summary} | {below} |"


def text() -> str:
    layers = _layers()
    ground = sorted(layers.FLOOR - {"__init__"})
    rows = [_row(room, "nothing but each other") for room in ground]
    for room, below in layers.MAY_IMPORT.items():
        if room == "__main__":
            continue
        order = [name for name in layers.MAY_IMPORT if name in below]
        rows.append(_row(room, ", ".join(order) or "the ground alone"))
        rows += [_row(f"{room}.{inner}", "") for inner in layers.INSIDE.get(room, ())]
    head = ["| room | holds | imports, besides the ground |", "| --- | --- | --- |"]
    return between(PAGE, "<!-- rooms -->", "\n".join([*head, *rows]))
