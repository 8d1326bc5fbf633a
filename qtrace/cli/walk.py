"""`qtrace walk`: the path of a frame through QEMU's source."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import TYPE_CHECKING

import click

from qtrace.cli._help import Verb, completing
from qtrace.cli._options import flag_errors, index_option, named_index
from qtrace.model import Direction, Path
from qtrace.report.walk_formats import walk_formats, write_walk

if TYPE_CHECKING:
    from qtrace.report.measured import Measured
    from qtrace.report.walked import Walked
    from qtrace.store.index import Index

__all__ = ["command"]


def _nics() -> list[str]:
    from qtrace.path.catalogue import nics
    from qtrace.store.index import find_index

    return [nic.name for nic in nics(find_index(""))]


def _netdevs() -> list[str]:
    from qtrace.path.netdevs import netdev_names
    from qtrace.store.index import find_index

    return netdev_names(find_index(""))


@click.command(
    "walk",
    cls=Verb,
    examples=(
        (
            "qtrace walk virtio-net-pci tap --direction tx",
            "from the doorbell to writev, each step with its evidence",
        ),
        ("qtrace walk e1000 tap --direction rx --run RUN", "the same with the counts of a run at each stage"),
        ("qtrace walk e1000e tap --direction rx --ways", "all ways of each stage: MSI-X, MSI or a pin"),
        ("qtrace walk --from tap_send --to e1000_receive_iov", "the calls between any two functions"),
    ),
)
@click.argument("nic", required=False, shell_complete=completing(_nics))
@click.argument("netdev", required=False, shell_complete=completing(_netdevs))
@click.option(
    "--direction",
    type=click.Choice([direction.value for direction in Direction]),
    help="tx: from the guest to the host; rx: from the host to the guest.",
)
@click.option(
    "--vhost", is_flag=True, help="Let the kernel carry the frames (the same as NETDEV 'tap,vhost=on')."
)
@click.option(
    "--ways",
    "unfolded",
    is_flag=True,
    help="Show all ways of each stage, each with its condition and the calls that lead to it.",
)
@click.option("--from", "first", metavar="F", help="Instead of a path, show the calls from the function F …")
@click.option("--to", "last", metavar="G", help="… to the function G.")
@click.option(
    "--format",
    "form",
    type=click.Choice(walk_formats()),
    default="text",
    show_default=True,
)
@click.option(
    "--run",
    "run",
    type=click.Path(path_type=FilePath),
    help="Show beside each stage the counts and times of this run (of 'qtrace bench' or 'qtrace record').",
)
@click.option("--workload", default="", help="With --run: the workload to show, such as 'tcp' or 'tcp rx'.")
@index_option
def command(
    nic: str | None,
    netdev: str | None,
    direction: str | None,
    vhost: bool,
    unfolded: bool,
    first: str | None,
    last: str | None,
    form: str,
    run: FilePath | None,
    workload: str,
    index_name: str,
) -> None:
    """Walk a frame's path through QEMU's source, from the guest's doorbell to the host, or back.

    NIC is a model or type (e1000, virtio-net-pci), NETDEV a back end (user, tap). --format html writes a
    page to stdout that shows each step's source, read from the indexed tree.

    A stage may be passed in more ways than the one that is walked: the others stand below it. On vhost-user
    and vhost-vdpa no frame passes QEMU: the walk shows how QEMU hands over its queue.

    With --run each stage shows its calls, frames and bytes, and the time of a frame to the next stage.
    """
    from qtrace.path.calls_between import between
    from qtrace.path.handed_queues import CARRIERS
    from qtrace.report.walked import walked_between

    if first or last:
        if not (first and last) or nic or netdev or direction or vhost or unfolded or run:
            raise click.UsageError(
                "--from and --to go together, without NIC, NETDEV, --direction, --ways and --run"
            )
        index = named_index(index_name)
        walked = walked_between(first, last, between(index, first, last), index)
    else:
        if not (nic and netdev and direction):
            raise click.UsageError("give NIC, NETDEV and --direction, or --from and --to")
        name, datapath = _datapath(netdev, vhost)
        index = named_index(index_name)
        if name in CARRIERS:
            if datapath != "qemu" or name != netdev or run or unfolded:
                raise click.UsageError(f"no frame passes QEMU on {name}: without --vhost, --ways and --run")
            walked = _handed(index, nic, name, Direction(direction))
        else:
            walked = _of_frame(index, nic, name, datapath, Direction(direction), unfolded, run, workload)
    flag_errors(index, [step.file for step in walked.steps if step.file])
    click.echo(write_walk(walked, form), nl=False)


def _datapath(netdev: str, vhost: bool) -> tuple[str, str]:
    """`tap,vhost=on` -> the netdev's name and the datapath."""
    name, _, option = netdev.partition(",")
    if option not in ("", "vhost=on", "vhost=off"):
        raise click.UsageError(f"NETDEV {netdev!r}: only 'vhost=on' can follow the name")
    if vhost and option == "vhost=off":
        raise click.UsageError(f"--vhost contradicts NETDEV {netdev!r}")
    return name, "vhost-net" if vhost or option == "vhost=on" else "qemu"


def _of_frame(
    index: Index,
    nic: str,
    netdev: str,
    datapath: str,
    direction: Direction,
    unfolded: bool,
    run: FilePath | None,
    workload: str,
) -> Walked:
    """The walk of a frame, with what a run measured on it."""
    from qtrace.path.walk import walk
    from qtrace.path.ways import with_ways
    from qtrace.report.walked import walked_path

    path = with_ways(index, walk(index, nic, netdev, datapath, direction=direction))
    figures = _figures(run, path, workload, index.meta["qemu"]) if run else None
    return walked_path(path, index, figures, unfolded=unfolded)


def _handed(index: Index, nic: str, netdev: str, direction: Direction) -> Walked:
    """The walk of a queue that QEMU hands over: no frame passes QEMU."""
    from qtrace.path.handed_queues import hand_over
    from qtrace.report.walked import Walked

    handed = hand_over(index, nic, netdev, direction)
    return Walked(handed.title, handed.end, handed.steps, handed.to_json(), index)


def _figures(run: FilePath, path: Path, workload: str, release: str) -> Measured:
    from qtrace.report.measured import measured
    from qtrace.store.run import RunReader

    reader = RunReader.open(run)
    figures = measured(reader, path, workload, release)
    for damaged in reader.damaged:
        click.echo(f"!!  damaged and left out: {damaged}", err=True)
    return figures
