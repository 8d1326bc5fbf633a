"""The page's parts use the methods of docs/overhead.md."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "speed"))
