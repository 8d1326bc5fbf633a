"""The half of a walk that is the NIC's and the half that is the back end's, for what changed in either."""

from __future__ import annotations

from qtrace.model import Direction, Path, Role

__all__ = ["Half", "host_half", "nic_half"]

Half = dict[str, str]  # function -> its file


def nic_half(path: Path) -> Half:
    """What is the NIC's: up to the send and behind the host, or from its receive callback on."""
    roles = [step.stage for step in path.steps]
    if path.direction is Direction.TX:
        steps = path.steps[: roles.index(Role.SEND)] + path.steps[roles.index(Role.HOST) + 1 :]
    else:
        steps = path.steps[roles.index(Role.DELIVER) :]
    return {step.function: step.file for step in steps}


def host_half(path: Path) -> Half:
    """What is the back end's."""
    roles = [step.stage for step in path.steps]
    if path.direction is Direction.TX:
        steps = path.steps[roles.index(Role.DELIVER) : roles.index(Role.HOST) + 1]
    else:
        steps = path.steps[: roles.index(Role.SEND) + 1]
    return {step.function: step.file for step in steps}
