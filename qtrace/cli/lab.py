"""`qtrace lab`: the connection modes, live."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qtrace.cli._console import ConsoleProgress, echo_json, pass_on, plain
from qtrace.cli._help import VerbGroup, completing

if TYPE_CHECKING:
    from qtrace.lab.mode.live_lab import Lab

__all__ = ["command"]

_format = click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True
)


def _modes() -> list[str]:
    from qtrace.lab.mode.mode import load_modes

    return [mode.name for mode in load_modes()]


def _scripts() -> list[str]:
    from qtrace.lab.experiment.lab_script import script_names

    return script_names()


def _machines() -> list[str]:
    from qtrace.lab.mode.running_labs import labs

    return [name for entry in labs() for name in entry.guests] + ["host", "lan", "router", "internet"]


def _captured() -> list[str]:
    from qtrace.lab.experiment.place_capture import place_names

    return [*_modes(), *(name.partition(":")[2] for name in place_names())]


@click.group("lab", cls=VerbGroup)
def command() -> None:
    """Start a connection mode in network namespaces of its own, log in, and end it."""


@command.command("list", examples=(("qtrace lab list", "the connection modes, each with a picture"),))
@_format
def list_modes(form: str) -> None:
    """List the connection modes, each with a picture of one line."""
    from qtrace.lab.mode.mode import load_modes

    modes = load_modes()
    if form == "json":
        keys = ("name", "title", "picture", "most", "needs")
        echo_json([{key: getattr(mode, key) for key in keys} for mode in modes])
        return
    width = max(len(mode.name) for mode in modes)
    for mode in modes:
        click.echo(f"{mode.name:<{width}}  {mode.title}\n{'':<{width}}  {mode.picture}\n")


@command.command(examples=(("qtrace lab up tap --guests 2", "a mode, live; Ctrl-C ends it"),))
@click.argument("mode", shell_complete=completing(_modes))
@click.option("--nic", default="", help="The guests' NIC model [default: the mode's, mostly virtio-net-pci].")
@click.option(
    "--guests", type=click.IntRange(1, 8), default=1, show_default=True, metavar="N", help="Start N guests."
)
@click.option(
    "--venue",
    type=click.Choice(["host", "vm"]),
    default="host",
    show_default=True,
    help="host: on this machine; vm: in the lab machine.",
)
@click.option(
    "--run",
    "line",
    default="",
    metavar="COMMAND",
    help="Run COMMAND in vm1 and end the lab with its exit status.",
)
def up(mode: str, nic: str, guests: int, venue: str, line: str) -> None:
    """Start MODE, print every command that made it and some to try, and stay until Ctrl-C.

    In the lab machine (--venue vm) other terminals cannot reach the lab: use --run.
    """
    from qtrace.lab.experiment.lab_script import typed_programs
    from qtrace.lab.host.owned import remove_leftovers
    from qtrace.lab.mode.live_lab import open_lab
    from qtrace.lab.mode.mode import load_mode

    chosen = load_mode(mode)
    progress = ConsoleProgress()
    try:
        guests = max(guests, chosen.least)
        if venue == "vm":
            from qtrace.lab.machine.machine_run import run_in_machine

            argv = ["lab", "up", mode, "--guests", str(guests)]
            argv += ["--nic", nic] if nic else []
            argv += ["--run", line] if line else []
            sys.exit(run_in_machine(argv, [nic or chosen.nic], progress, pass_on))
        began = time.monotonic()
        for item in remove_leftovers():
            progress.warn(f"removed the remains of a dead lab or run: {item}")
        with open_lab(chosen, nic, guests, progress, programs=typed_programs(chosen.name)) as lab:
            progress.step(f"waiting for {guests} guest{'s' * (guests > 1)}")
            lab.wait_until_up()
            took = time.monotonic() - began
            if line:
                done, text = lab.guests["vm1"].try_sh(line, 3600)
                click.echo(plain(text) if sys.stdout.isatty() else text, nl=False)
                sys.exit(done)
            for guest in lab.guests.values():
                guest.leave()
            _show(lab)
            progress.done(f"the lab {lab.name} is up after {took:.1f} s; Ctrl-C or 'qtrace lab down' ends it")
            try:
                lab.wait_for_end()
                progress.warn("the last guest has ended")
            except KeyboardInterrupt:
                progress.step("taking the lab down")
        progress.done(f"the lab {lab.name} is gone")
    finally:
        progress.close()


def _show(lab: Lab) -> None:
    """Print the commands that made the lab, and commands to log in and to try it."""
    from qtrace.lab.mode.running_labs import labs

    click.echo(f"{lab.mode.title}\n{lab.mode.picture}\n\n{lab.mode.about.strip()}\n\nThe commands:\n")
    for line in lab.recorder.lines:
        click.echo(line)
    click.echo("\nLog in (leave a console with Ctrl-]; one command: qtrace lab shell vm1 -- ip a):\n")
    # With a second lab, a guest's name alone is ambiguous.
    where = "lab shell " if len(labs()) == 1 else f"lab shell {lab.name}:"
    for name in lab.guests:
        click.echo(f"qtrace {where}{name:<12} # {plain(lab.addresses[name])}")
    click.echo("\nTry, in another terminal:\n")
    for text in lab.mode.tries:
        click.echo(lab.fill(text).replace("lab shell ", where))
    click.echo("")


@command.command(examples=(("qtrace lab status", "the labs that run, with their guests"),))
@_format
def status(form: str) -> None:
    """List the labs that run, whoever started them."""
    from qtrace.lab.mode.running_labs import labs

    rows = []
    for entry in labs():
        guests = {
            name: {
                "pid": pid,
                "address": entry.addresses.get(name, ""),
                "runs": Path(f"/proc/{pid}").exists(),
            }
            for name, pid in entry.guests.items()
        }
        state = ("up" if entry.up else "starting") if entry.alive else "left over"
        rows.append(
            {"name": entry.name, "mode": entry.mode, "nic": entry.nic, "owner": entry.owner}
            | {"state": state, "guests": guests}
        )
    if form == "json":
        echo_json(rows)
        return
    if not rows:
        click.echo("no lab runs")
    for row in rows:
        click.echo(f"{row['name']}: {row['state']}, mode {row['mode']}, {row['nic']}, pid {row['owner']}")
        told = row["guests"]
        assert isinstance(told, dict)
        for name, guest in told.items():
            text = f"  {name}  {plain(guest['address']) or '-':<16} QEMU {guest['pid']}"
            click.echo(text + ("" if guest["runs"] else " (has ended)"))


@command.command(examples=(("qtrace lab down --all", "end all labs, and remove a killed lab's remains"),))
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="End every lab, and remove the remains of dead ones.")
def down(names: tuple[str, ...], everything: bool) -> None:
    """End labs by name, or all labs.

    --all also removes the namespaces and folders that a killed lab has left, and nothing else.
    """
    from qtrace.lab.mode.running_labs import labs, stop

    running = [entry.name for entry in labs()]
    if not names and not everything:
        if len(running) > 1:
            raise click.UsageError(f"several labs run: name one of {', '.join(running)}, or give --all")
        names = tuple(running)
    said = stop(running if everything else list(names))
    for item in said:
        click.echo(f"removed {item}")
    if not said:
        click.echo("nothing to remove")


@command.command(
    context_settings={"ignore_unknown_options": True},
    examples=(
        ("qtrace lab shell vm1", "the guest's console; Ctrl-] leaves it"),
        ("qtrace lab shell lan -- ip neighbour", "a command on host, lan, router or internet"),
    ),
)
@click.argument("machine", shell_complete=completing(_machines))
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--timeout", type=float, default=3600.0, show_default=True, metavar="S", help="Give up after S seconds."
)
def shell(machine: str, words: tuple[str, ...], timeout: float) -> None:
    """Run a command in a machine of a lab, or log in on a guest's console.

    MACHINE is a guest (vm1, or LAB:vm1) or a namespace (host, lan, router, internet). The exit status is the
    command's.
    """
    from qtrace.lab.mode.login import open_console, run_in_guest, run_in_space
    from qtrace.lab.mode.running_labs import find_machine

    entry, name = find_machine(machine)
    if name not in entry.guests:
        sys.exit(run_in_space(entry, name, words))
    if not words:
        click.echo("the guest's console; leave with Ctrl-]", err=True)
        open_console(entry, name)
        return
    done, text = run_in_guest(entry, name, words, timeout)
    click.echo(plain(text) if sys.stdout.isatty() else text, nl=False)
    sys.exit(done)


@command.command(
    examples=(
        ("qtrace lab capture tap-nat -o FOLDER", "one packet at every place that it passes, decoded"),
        (
            "qtrace lab capture user --run 'ping -c 1 10.0.2.2' --marker abcdefgh -o FOLDER",
            "a command of your own",
        ),
        ("qtrace lab capture host-tap1 -o FOLDER", "all packets at a place of a lab that runs, until Ctrl-C"),
    )
)
@click.argument("what", metavar="MODE|PLACE", shell_complete=completing(_captured))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The captures' folder.",
)
@click.option("--nic", default="", help="The guests' NIC model [default: the mode's, mostly virtio-net-pci].")
@click.option(
    "--run", "line", default="", metavar="COMMAND", help="Run COMMAND in vm1 [default: ask port 7]."
)
@click.option(
    "--marker",
    default="",
    metavar="TEXT",
    help="With --run: what the packet that is looked for has in its payload.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    metavar="S",
    help="At a place: end after S seconds [default: with Ctrl-C].",
)
def capture(what: str, output: Path, nic: str, line: str, marker: str, seconds: float | None) -> None:
    """Capture a packet of MODE in the guest, at the netdev and on the host, and show it at each place; or all
    packets at one PLACE of a lab that runs.

    Of a mode every place has a pcap file, which Wireshark opens too; capture.json and capture.txt have the
    packet at each place, decoded by tcpdump. Then ten echo requests are sent and counted at every place.

    A place is MACHINE-DEVICE, with LAB: before it if several labs run: vm1-net0 is the netdev of vm1,
    host-tap1 a tap on the host, lan-eth0 a neighbour's card.
    """
    if bool(line) != bool(marker):
        raise click.UsageError("--run and --marker go together")
    progress = ConsoleProgress()
    try:
        if what not in _modes():
            if nic or line:
                raise click.UsageError("--nic and --run are for a mode, which starts a lab of its own")
            _capture_place(what, output, seconds, progress)
            return
        if seconds is not None:
            raise click.UsageError("--seconds is for a place of a lab that runs")
        _capture_mode(what, output, nic, (line, marker), progress)
    finally:
        progress.close()


def _capture_place(place: str, output: Path, seconds: float | None, progress: ConsoleProgress) -> None:
    from qtrace.lab.experiment.place_capture import capture_place

    file, number = capture_place(place, output, float("inf") if seconds is None else seconds, progress)
    progress.done(f"captured: {file}")
    click.echo(f"{plain(file.stem):<20} {number} packet{'s' * (number != 1)}")


def _capture_mode(mode: str, output: Path, nic: str, own: tuple[str, str], progress: ConsoleProgress) -> None:
    from qtrace.lab.experiment.experiment import capture_mode

    counts = capture_mode(mode, output, nic, own, progress)
    progress.done(f"captured: {output}")
    click.echo(plain((output / "capture.txt").read_text()))
    sent = counts.pop("sent")
    for place, number in counts.items():
        click.echo(f"{plain(place):<20} {number} of {sent} echo requests")


@command.command(
    "record-transcript",
    examples=(
        ("qtrace lab record-transcript user -o FOLDER", "the commands of an experiment, with their output"),
    ),
)
@click.argument("script", shell_complete=completing(_scripts, files=True))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The transcript's folder.",
)
@click.option("--nic", default="", help="The guests' NIC model [default: the mode's, mostly virtio-net-pci].")
def transcribe(script: str, output: Path, nic: str) -> None:
    """Carry out SCRIPT in a lab of its own, and keep every command with what it printed.

    SCRIPT is the name of a script that comes with qtrace (user, tap, socket, virtio) or a TOML file. The
    transcript is written as transcript.json and transcript.txt.
    """
    from qtrace.lab.experiment.experiment import record_transcript
    from qtrace.lab.experiment.lab_script import load_script

    progress = ConsoleProgress()
    try:
        record_transcript(load_script(script), output, nic, progress)
        progress.done(f"the transcript: {output / 'transcript.json'}")
    finally:
        progress.close()
    click.echo(plain((output / "transcript.txt").read_text()))


@command.command(examples=(("qtrace lab monitor vm1 -- info network", "what QEMU says of its network"),))
@click.argument("guest", shell_complete=completing(_machines))
@click.argument("words", nargs=-1, required=True)
def monitor(guest: str, words: tuple[str, ...]) -> None:
    """Give one command to the monitor of the QEMU that runs GUEST, and print its answer."""
    from qtrace.lab.mode.login import ask_monitor
    from qtrace.lab.mode.running_labs import find_machine

    entry, name = find_machine(guest)
    click.echo(plain(ask_monitor(entry, name, " ".join(words))), nl=False)
