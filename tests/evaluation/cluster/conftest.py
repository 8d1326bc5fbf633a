"""The page uses the cluster of the campaigns' tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "campaign"))
