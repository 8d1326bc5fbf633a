"""The quick trials as tests; docs/reliability.md has all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import of_host  # noqa: F401  registers its trials
import of_qemu  # noqa: F401
import of_second  # noqa: F401
import of_tracer  # noqa: F401
import pytest
from trial import TRIALS, Bench, Report, Trial, Untried

pytestmark = pytest.mark.needs("root", "bcc", "tun", "qemu-system-x86_64")

_QUICK = [trial for trial in TRIALS if trial.quick]


@pytest.mark.parametrize("trial", _QUICK, ids=[f"{trial.group}: {trial.name}" for trial in _QUICK])
def test_trial(trial: Trial, bench: Bench, skip_or_fail: Callable[[str], NoReturn]) -> None:
    report = Report()
    try:
        trial.run(bench, report)
    except Untried as exc:
        skip_or_fail(str(exc))
    assert report.seen
