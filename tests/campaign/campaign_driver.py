"""A small campaign on this machine under whatever accelerator it has, as a process to be disturbed.

A run that is there already is resumed."""

import sys
from pathlib import Path

from plain_steps import Steps

from qtrace.campaign.assignment import assigned, resumed
from qtrace.campaign.brief import make_brief
from qtrace.campaign.carry_out import record_here
from qtrace.index.build import ensure_index


def main() -> None:
    run = Path(sys.argv[2])
    assignment = resumed(run) if run.exists() else assigned(sys.argv[1], run)
    index, _ = ensure_index()
    brief = make_brief(assignment.plan.cells, {"": index}, "a test", ())
    outcome = record_here(assignment, "host", brief, Steps())
    sys.exit(int(outcome.partial))


if __name__ == "__main__":
    main()
