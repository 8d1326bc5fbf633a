"""Faults are made with what the tests of measuring and of strangers' guests have."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path += [str(Path(__file__).parents[1] / name) for name in ("measure", "foreign")]
