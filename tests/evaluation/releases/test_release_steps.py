"""Debian 13 as it is: its column of docs/releases.md, each step a test, in a fresh clone in a root that
debootstrap made. Ten minutes and more: no part of `make test`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest
from release_root import ReleaseRoot, open_root
from release_steps import STEPS, Step, clone, take

from qtrace.errors import MissingPrerequisite

pytestmark = [pytest.mark.long, pytest.mark.needs("root", "unshare", "setpriv", "pivot_root", "git")]
SUITE = "trixie"
# What a step must have found, besides that it ended well.
FOUND = {
    "source fetched and indexed: `qtrace index`": "index of QEMU 10.0.",
    "`qtrace map`": "16 back ends, 39 NICs",
    "`qtrace walk`, every pair": "702 walks, 546 reasons why not",
    "`qtrace lab up` of five modes": "tap, tap-bridge, user, vde, stream-unix",
    "`qtrace record`, exact counts": "e1000 on user rx: 1009 at host, send, deliver, enqueue",
    "a plan of two cells, and its report": "× tap",
}


@pytest.fixture(scope="module")
def root(skip_or_fail: Callable[[str], NoReturn]) -> Iterator[ReleaseRoot]:
    """A root of the release with a fresh clone; what one step makes, the next one finds."""
    try:
        with open_root(SUITE) as opened:
            clone(opened)
            yield opened
    except MissingPrerequisite as exc:
        skip_or_fail(f"{exc} {exc.hint}")


TESTS = [
    pytest.param(step, id=step.name, marks=pytest.mark.timeout(step.seconds + 300))
    for step in STEPS
    if not step.whole and not step.instead
]


@pytest.mark.parametrize("step", TESTS)
def test_a_step_of_the_trial_does_what_it_should(root: ReleaseRoot, step: Step) -> None:
    ok, _, said = take(root, step)
    assert ok, said
    assert FOUND.get(step.name, "") in said
