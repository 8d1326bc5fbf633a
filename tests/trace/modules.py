"""How a test of programs asks for a module of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

# (text, headers) -> (module, whether it was kept); it is freed when the test ends.
Make = Callable[[str, Path | None], tuple[Any, bool]]
