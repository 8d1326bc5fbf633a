"""A fault that is made on purpose in a live guest, at full strength and near its threshold.

Each is a generator: it makes the fault, yields what is to be done while `why` looks, and takes the fault away
again. Where it is not `full`, it makes half of it, or as much as must not be named.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

from bed import Act, Bed, Form

from qtrace.measure.effort import Effort

__all__ = ["FAULTS", "MANY", "NO_OFFLOADS", "SECONDS", "TAP", "USER", "Fault", "fault"]

SECONDS = 3.0
# (bed, whether at full strength) -> what is to be done meanwhile.
Make = Callable[[Bed, bool], Generator[Act, None, None]]


@dataclass(frozen=True)
class Fault:
    """`cause` is what must be named first; `what` is done to the guest, and `near` where it must not be."""

    cause: str
    what: str
    near: str
    form: Form
    make: Make
    seconds: float = SECONDS
    effort: Effort | None = None
    near_form: Form | None = None
    last: bool = False  # its guest is of no use afterwards

    @property
    def needs_vhost(self) -> bool:
        """Whether it can be made only where the kernel has vhost-net: here, in the lab machine."""
        return self.form.vhost

    def __str__(self) -> str:
        return f"{self.cause}: {self.what}"


FAULTS: list[Fault] = []
TAP = Form()
NO_OFFLOADS = Form("virtio-net-pci,csum=off,guest_csum=off")
USER = Form(netdev="user")
MANY = Form("virtio-net-pci,mq=on,vectors=6", queues=2)


def fault(
    cause: str,
    what: str,
    near: str,
    form: Form = TAP,
    *,
    seconds: float = SECONDS,
    effort: Effort | None = None,
    near_form: Form | None = None,
    last: bool = False,
) -> Callable[[Make], Make]:
    """Registers a generator."""

    def register(make: Make) -> Make:
        FAULTS.append(Fault(cause, what, near, form, make, seconds, effort, near_form, last))
        return make

    return register
