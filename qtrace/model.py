"""The nouns of the project, as frozen dataclasses that every room may use.

The central one is `Path`: (NIC, netdev, direction) as an ordered list of steps, some of which are
stages. The source index finds it, the walk shows it, the tracer times it, the report draws it.
Nothing here does I/O.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

__all__ = [
    "BY_TYPE",
    "EXACT",
    "PARTLY",
    "PLAIN",
    "STAGE_ORDER",
    "Boundary",
    "CallSite",
    "Cell",
    "Direction",
    "Evidence",
    "Path",
    "Probe",
    "Role",
    "Setting",
    "Step",
    "Symbol",
    "Way",
    "path_from_json",
]


# Confidence of a call's target: see `CallSite`.
EXACT, BY_TYPE = "exact", "by type"
# Confidence of an address that not all calls reach: some callers have the function inlined.
PARTLY = "partly"


class Direction(enum.StrEnum):
    """A direction seen from the guest; the two are never averaged together."""

    TX = "tx"  # guest to host
    RX = "rx"  # host to guest


class Role(enum.StrEnum):
    """A stage by role, not by function name: a boundary that every path has in some form."""

    KICK = "kick"  # the guest writes the doorbell
    DEQUEUE = "dequeue"  # the NIC takes the frame off its ring
    HOST = "host"  # system call, library call or kernel hand-off
    SEND = "send"  # the frame leaves the client: qemu_send*_packet*
    DELIVER = "deliver"  # the peer's NetClientInfo.receive*
    ENQUEUE = "enqueue"  # the frame lands in guest memory
    COMPLETE = "complete"  # the descriptor is returned
    INTERRUPT = "interrupt"  # the guest is notified


# The order in which a frame passes its stages.
STAGE_ORDER: dict[Direction, tuple[Role, ...]] = {
    Direction.TX: (
        Role.KICK,
        Role.DEQUEUE,
        Role.SEND,
        Role.DELIVER,
        Role.HOST,
        Role.COMPLETE,
        Role.INTERRUPT,
    ),
    Direction.RX: (Role.HOST, Role.SEND, Role.DELIVER, Role.ENQUEUE, Role.INTERRUPT),
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why an indirect call leads to its target: one place and one reason."""

    file: str
    line: int
    why: str


@dataclass(frozen=True, slots=True)
class CallSite:
    """The call with which the previous step reaches this one.

    `kind` is `direct`, `table` (a function pointer in a static table or class field), `argument` (a function
    passed as an argument and stored), `async` (bottom half, timer, fd handler, poll ...), `hardware` (the
    guest's access enters the device model) or `kernel`. `confidence` is `exact` if the call has no other
    target (a direct call; the only function that is ever stored there; the one of the chosen pair), `by type`
    if several functions share the struct and field. `loop` tells whether the call is in a loop of the caller:
    one step, many calls.
    """

    file: str
    line: int
    kind: str
    evidence: tuple[Evidence, ...] = ()
    confidence: str = EXACT
    loop: bool = False

    @property
    def how(self) -> str:
        """The kind, and the confidence unless it is exact."""
        return self.kind if self.confidence == EXACT else f"{self.kind}, {self.confidence}"


@dataclass(frozen=True, slots=True)
class Step:
    """One function on a path. `call` is None on the first step; `stage` is None between stages.

    `file` is relative to the QEMU tree; for a kernel function it is relative to Linux's tree and
    `line` is 0. `note` mentions other events at this step, such as waiting in a queue.
    """

    function: str
    file: str
    line: int
    stage: Role | None = None
    call: CallSite | None = None
    note: str = ""

    @property
    def remarks(self) -> tuple[str, ...]:
        """Remarks on the step, besides the call that reaches it."""
        loop = ("called in a loop",) if self.call and self.call.loop else ()
        return (*loop, self.note) if self.note else loop


@dataclass(frozen=True, slots=True)
class Boundary:
    """The end of the path in QEMU: `kind` is `syscall`, `library` or `kernel`.

    `note` has further information: how to walk on, why the walk ends here, other ends.
    """

    kind: str
    name: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Way:
    """One of the functions by which a stage may be passed. A stage is a boundary; it has at least one way.

    `function` crosses the boundary (`msix_notify`, `tap_receive_iov`, `sendto`); `file` and `line` are the
    place of its definition, empty and 0 outside of QEMU. `condition` selects this way, as far as the source
    tree shows it, in the source's words (`msix_enabled(…)`), else empty. `evidence` has the calls that lead
    to the function, in order, from a function on the path or from the guest's entry. `usual` marks the way
    that the path itself takes. `pointed`: the way reaches the function through a pointer and no other way, so
    its calls reach the function's own body, wherever else the compiler has put copies of it.
    """

    stage: Role
    function: str
    file: str
    line: int
    condition: str = ""
    evidence: tuple[Evidence, ...] = ()
    usual: bool = False
    pointed: bool = False


@dataclass(frozen=True, slots=True)
class Path:
    """The path of a frame through QEMU for one NIC, netdev and direction.

    `netdev` is the QAPI name (`tap`); `datapath` is `qemu`, or `vhost-net` if the kernel carries the frames.
    `steps` are in the order in which a frame passes them. `ways` are all ways of all stages, in the order of
    the stages, the usual one first; empty unless they were asked for. `qemu` names the QEMU of a plan that
    has several.
    """

    nic: str
    netdev: str
    datapath: str
    direction: Direction
    steps: tuple[Step, ...]
    boundary: Boundary
    ways: tuple[Way, ...] = ()
    qemu: str = ""

    @property
    def stages(self) -> tuple[Step, ...]:
        """The steps that have a role, in order."""
        return tuple(step for step in self.steps if step.stage is not None)

    def ways_of(self, stage: Role) -> tuple[Way, ...]:
        """The ways of one stage, the usual one first."""
        return tuple(way for way in self.ways if way.stage is stage)

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict; `path_from_json` is its inverse."""
        data = asdict(self)
        return data if self.qemu else {key: value for key, value in data.items() if key != "qemu"}


def path_from_json(data: dict[str, Any]) -> Path:
    """Rebuild a `Path`. Raises KeyError, TypeError or ValueError for data of another shape."""
    steps = []
    for raw in data["steps"]:
        call = raw["call"]
        site = None
        if call is not None:
            evidence = tuple(Evidence(**item) for item in call["evidence"])
            sure = call.get("confidence", EXACT)
            place = (call["file"], int(call["line"]), call["kind"])
            site = CallSite(*place, evidence, sure, bool(call.get("loop")))
        stage = Role(raw["stage"]) if raw["stage"] is not None else None
        steps.append(Step(raw["function"], raw["file"], int(raw["line"]), stage, site, raw.get("note", "")))
    return Path(
        nic=data["nic"],
        netdev=data["netdev"],
        datapath=data["datapath"],
        direction=Direction(data["direction"]),
        steps=tuple(steps),
        boundary=Boundary(**data["boundary"]),
        ways=tuple(_way(raw) for raw in data.get("ways", ())),
        qemu=str(data.get("qemu", "")),
    )


def _way(raw: dict[str, Any]) -> Way:
    evidence = tuple(Evidence(**item) for item in raw.get("evidence", ()))
    place = (Role(raw["stage"]), raw["function"], raw["file"], int(raw["line"]))
    return Way(*place, raw.get("condition", ""), evidence, bool(raw.get("usual")), bool(raw.get("pointed")))


@dataclass(frozen=True, slots=True)
class Probe:
    """One eBPF attach point that measures one step of one path; `stage` is None for a step between stages.

    `kind`: `uprobe`, `uretprobe`, `kprobe` or `tracepoint`. `binary` and `offset` (file offset, not virtual
    address) place a uprobe; a kprobe or tracepoint leaves them empty and names the kernel's symbol
    (`tun_sendmsg`) or event (`net:netif_receive_skb`) in `function`.

    `rule` selects how the handlers of `qtrace.probes` derive frames and bytes from one hit: `calls` (a hit is
    a call, no bytes), `buffer` (frame length in an argument), `iovec` (pointer and count in arguments).
    `position` orders the probes of one direction as the frame passes them. `stepped`: the kernel must
    single-step the instruction at `offset`, so a hit is expensive (`qtrace.binary.code.entry`). `way_of` is
    set on a probe of another way of a stage: the function of the stage's usual way. Both count for the stage.
    """

    direction: Direction
    stage: Role | None
    function: str
    position: int
    kind: str
    binary: str = ""
    offset: int = 0
    rule: str = "calls"
    stepped: bool = False
    way_of: str = ""

    @property
    def role(self) -> str:
        """The stage's name, empty for a step between stages."""
        return self.stage.value if self.stage else ""


@dataclass(frozen=True, slots=True)
class Symbol:
    """The place of a function in a binary, and its evidence.

    `address` is the ELF virtual address, `offset` the file offset for a uprobe. `how` is
    `symtab`, `dynsym`, `debug-file`, `table`, `argument`, `assignment` or `call shape`; without an address
    `ambiguous`, `inlined` or `not found`. `confidence` is `exact` for a symbol, `high` if tables, calls
    and stores show the place, `good` if the body fits no other function, `partly` if some callers have the
    function inlined, `none` without an address.
    """

    name: str
    file: str
    address: int
    offset: int
    how: str
    evidence: str
    confidence: str = EXACT


@dataclass(frozen=True, slots=True)
class Setting:
    """The axes of a cell beside NIC, back end, direction and workload; a default is how things come.

    `mtu` in bytes (0: as it comes, 1500); `size` of a message in bytes (0: the workload's own); `rate` in
    bit/s (0: as fast as it goes); `streams` and `queues` are numbers; `rtt` is a round trip in ms and `loss`
    a percentage of the packets of each direction, both made on purpose; `offloads` is `on`, as they come, or
    `off` at both ends; `peer` is the machine at the other end: the `host`, or a `neighbour` behind a bridge
    of the host; `qemu` is the QEMU by its name in the plan, empty for the installed one.
    """

    mtu: int = 0
    size: int = 0
    rate: int = 0
    streams: int = 1
    queues: int = 1
    rtt: float = 0.0
    loss: float = 0.0
    offloads: str = "on"
    peer: str = "host"
    qemu: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """What differs from the defaults, each as one word of a cell's id: `mtu-9000`, `rtt-0.5`."""
        return tuple(
            f"{item.name}-{_number(getattr(self, item.name))}"
            for item in fields(self)
            if getattr(self, item.name) != item.default
        )

    @property
    def shape(self) -> Setting:
        """The part of it that belongs to a guest and its link, and not to the traffic of one measurement."""
        return replace(self, size=PLAIN.size, rate=PLAIN.rate, streams=PLAIN.streams)

    @classmethod
    def of_words(cls, words: Iterable[str]) -> Setting:
        """The setting with these words. Raises ValueError for a word that no setting has."""
        kinds = {item.name: type(getattr(PLAIN, item.name)) for item in fields(cls)}
        found: dict[str, Any] = {}
        for word in words:
            axis, _, value = word.partition("-")
            if axis not in kinds or axis in found:
                raise ValueError(word)
            found[axis] = kinds[axis](value)
        return cls(**found)


def _number(value: float | str) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


PLAIN = Setting()


# The netdev that hands the queues to another process, and the datapath of its frames.
VHOST_USER = "vhost-user"


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination in a plan. `direction` is None for a round trip, which uses both.

    `netdev` is the back end: its kind, as QEMU names it, and after a dot the form or the program behind it
    (`socket.udp`, `hubport.tap`). `again` marks the second measurement of a baseline under a name of its own
    (A/A): the same guest and the same traffic, so whatever it differs by is no difference.
    """

    nic: str
    netdev: str
    datapath: str
    direction: Direction | None
    workload: str
    setting: Setting = PLAIN
    again: bool = False

    @property
    def id(self) -> str:
        """A name that is unique in its plan and safe as a file name."""
        words = (*self.setting.words, *(("again",) if self.again else ()))
        return "+".join((self.nic, self.netdev, self.datapath, self.way, self.workload, *words))

    @property
    def way(self) -> str:
        """The payload's direction: `tx`, `rx` or `both`."""
        return self.direction.value if self.direction else "both"

    @property
    def kind(self) -> str:
        """The netdev's kind: `socket` of `socket.udp`."""
        return self.netdev.partition(".")[0]
