"""A walk as one JSON document."""

from __future__ import annotations

import json

from qtrace.report.walked import Walked

__all__ = ["write"]


def write(walked: Walked) -> str:
    """The path or the calls, with the run's measurements as `measured`."""
    return json.dumps(walked.data, indent=2, ensure_ascii=False) + "\n"
