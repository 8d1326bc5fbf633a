"""kill -9 of a guest, Ctrl-C, kill -9 of qtrace itself: nothing is left, what was recorded is readable."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from qtrace.lab.host.owned import remove_leftovers
from qtrace.store.run import RunReader

pytestmark = pytest.mark.needs("root", "bcc", "tun", "qemu-system-x86_64")

DRIVER = Path(__file__).with_name("campaign_driver.py")
PLAN = """
name = "disturbed"
repetitions = 2
seed = 7
[seconds]
tcp = 2.0
rr = 2.0
[[cells]]
nic = "virtio-net-pci"
netdev = "tap"
directions = ["tx"]
workloads = ["tcp"]
mtu = 1400
streams = 2
"""
# Two measurements of the cell in either repetition, and one of it as the baseline once more.
TOTAL = 6
# Goes on after its one repetition, which has no interval, for two rounds or more.
PRECISE = (
    PLAN.replace("repetitions = 2", "repetitions = 1\nprecision = 0.3\nat_most = 200")
    + """
[[cells]]
nic = "virtio-net-pci"
netdev = "user"
directions = ["tx"]
workloads = ["tcp"]
mtu = 1400
streams = 2
"""
)


class Campaign:
    """The driver as a process; what it says is read line by line."""

    def __init__(self, folder: Path, text: str = PLAN) -> None:
        self.run = folder / "run"
        plan = folder / "plan.toml"
        plan.write_text(text)
        self.process = subprocess.Popen(
            [sys.executable, str(DRIVER), str(plan), str(self.run)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
        self.said: list[str] = []

    def until(self, text: str) -> None:
        """Read on until a line holds `text`."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.said.append(line)
            if text in line:
                return
        pytest.fail(f"it ended before it said {text!r}:\n{''.join(self.said)}")

    def end(self) -> int:
        """The rest of what it says, and its exit status."""
        assert self.process.stdout
        self.said += self.process.stdout
        return self.process.wait(timeout=300)

    @property
    def begun(self) -> int:
        """Measurements that were begun, of what was read of it."""
        return sum(line.startswith("step [") for line in self.said)

    def guests(self) -> list[int]:
        """Processes of QEMU that carry a namespace of this campaign in their command line or ancestry."""
        mark = f"qt-{self.process.pid:x}-"
        spaces = {path.stat().st_ino for path in Path("/run/netns").glob(f"{mark}*")}
        return [pid for pid in qemus() if _namespace(pid) in spaces]

    def left_behind(self) -> list[str]:
        """Namespaces, state folders and private folders of this campaign that still exist."""
        pid = self.process.pid
        found = [str(path) for path in Path("/run/netns").glob(f"qt-{pid:x}-*")]
        found += [str(path) for path in Path("/run/qtrace").glob(f"{pid}-*")]
        return found


def qemus() -> list[int]:
    """Those that run; one that has ended, and that nobody waits for where no init does, is none."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            running = (entry / "cmdline").read_bytes()
            if running and (entry / "comm").read_text().startswith("qemu-system"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def _namespace(pid: int) -> int:
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except OSError:
        return 0


def wait_until_gone(pids: list[int], deadline: float = 120.0) -> None:
    until = time.monotonic() + deadline
    while set(pids) & set(qemus()):
        assert time.monotonic() < until, f"still there: {set(pids) & set(qemus())}"
        time.sleep(0.05)


def wait_for_traffic(guest: int, frames: int = 200, deadline: float = 120.0) -> None:
    """Until the tap in the guest's namespace has carried that many frames more."""

    def carried() -> int:
        table = Path(f"/proc/{guest}/net/dev").read_text()
        (line,) = (line for line in table.splitlines() if "tap0:" in line)
        return int(line.split(":")[1].split()[1])

    until, before = time.monotonic() + deadline, carried()
    while carried() < before + frames:
        assert time.monotonic() < until, "there is no traffic"
        time.sleep(0.02)


@pytest.fixture
def campaign(tmp_path: Path) -> Iterator[Campaign]:
    yield from started(tmp_path, PLAN)


def started(folder: Path, plan: str) -> Iterator[Campaign]:
    """A campaign that is ended, whatever the test did with it."""
    campaign = Campaign(folder, plan)
    yield campaign
    if campaign.process.poll() is None:
        campaign.process.kill()
    campaign.process.wait()
    remove_leftovers()


def results(run: Path) -> dict[int, tuple[str, str]]:
    """Order -> (status, reason)."""
    frame = RunReader.open(run).table("results").to_pandas()
    return {int(row.order): (row.status, row.reason) for row in frame.itertuples()}


def test_a_killed_guest_fails_its_cell_and_no_other(campaign: Campaign) -> None:
    campaign.until(f"[2/{TOTAL}]")
    (guest,) = campaign.guests()
    wait_for_traffic(guest)
    os.kill(guest, signal.SIGKILL)
    assert campaign.end() == 1, "".join(campaign.said)
    found = results(campaign.run)
    (failed,) = (order for order, (status, _) in found.items() if status != "ok")
    assert sorted(found) == [*range(TOTAL)] and found[failed][0] == "failed"
    assert failed >= 1 and "SIGKILL" in found[failed][1]  # the second, unless it was over when we came
    reader = RunReader.open(campaign.run)
    assert reader.meta["status"] == "partial" and not reader.damaged
    ledger = reader.table("ledger").to_pandas()
    assert ledger[ledger.kind == "failed"].note.str.contains("SIGKILL").all()
    assert not campaign.left_behind()


@pytest.mark.parametrize("moment", ["compiling", f"[2/{TOTAL}]"])
def test_ctrl_c_leaves_nothing_and_keeps_what_was_recorded(campaign: Campaign, moment: str) -> None:
    campaign.until(moment)
    guests = campaign.guests()
    campaign.process.send_signal(signal.SIGINT)
    assert campaign.end() != 0
    wait_until_gone(guests)
    assert not campaign.left_behind()
    reader = RunReader.open(campaign.run)
    assert reader.meta["status"] == "interrupted" and not reader.damaged
    if moment.startswith("["):
        # What was under way is gone, or was recorded in the moment before.
        recorded = results(campaign.run)
        assert len(recorded) in (campaign.begun - 1, campaign.begun)
        assert recorded == dict.fromkeys(range(len(recorded)), ("ok", "")) != {}


def test_a_killed_qtrace_takes_its_guests_along_and_the_next_one_sweeps(campaign: Campaign) -> None:
    campaign.until(f"[1/{TOTAL}]")
    guests = campaign.guests()
    assert guests
    campaign.process.kill()
    campaign.process.wait()
    wait_until_gone(guests)
    assert campaign.left_behind()
    assert remove_leftovers()
    assert not campaign.left_behind()
    assert RunReader.open(campaign.run).meta["status"] == "running"


Start = Callable[[str], Campaign]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts campaigns, each in a folder of its own, and ends them, whatever the test did with them."""
    with ExitStack() as stack:
        numbers = itertools.count(1)

        def one(plan: str) -> Campaign:
            folder = tmp_path / str(next(numbers))
            folder.mkdir()
            return stack.enter_context(contextmanager(started)(folder, plan))

        yield one


def under_way(start: Start, plan: str, *moments: str) -> Campaign:
    """A campaign that is as far as the moments, and in which nothing has failed: what is resumed ends with
    status 1 where something had, and that is not what is asked here. What failed is told."""
    for last in (False, True):
        campaign = start(plan)
        for moment in moments:
            campaign.until(moment)
        failed = [line for line in campaign.said if ": failed: " in line]
        if not failed:
            break
        assert not last, failed
        warnings.warn(f"begun anew: {failed}", stacklevel=2)
        campaign.process.send_signal(signal.SIGINT)
        campaign.end()
    return campaign


def test_an_interrupted_run_is_resumed_without_measuring_anything_twice(start: Start) -> None:
    campaign = under_way(start, PLAN, f"[3/{TOTAL}]")
    rest = resumed_after(signal.SIGINT, campaign, PLAN)
    said = [line for line in rest.said if line.startswith("step [")]
    first = TOTAL + 1 - len(said)
    assert first in (campaign.begun, campaign.begun + 1) and campaign.begun >= 3
    assert [line.partition("]")[0] for line in said] == [
        f"step [{n}/{TOTAL}" for n in range(first, TOTAL + 1)
    ]
    assert {order: status for order, (status, _) in results(campaign.run).items()} == dict.fromkeys(
        range(TOTAL), "ok"
    )


@pytest.mark.long
def test_a_run_that_is_killed_in_a_later_round_goes_on_until_its_ratio_is_known(
    start: Start,
) -> None:
    campaign = under_way(start, PRECISE, "repetition 2", "repetition 2")
    resumed_after(signal.SIGKILL, campaign, PRECISE)
    reader = RunReader.open(campaign.run)
    frame = reader.table("results").to_pandas()
    frame = frame[frame.metric == "throughput"]
    assert (
        sorted(frame.order) == [*range(len(frame))] and not frame.duplicated(["cell", "rep", "probed"]).any()
    )
    (found,) = reader.meta["precision"]
    assert found["cell"] == "virtio-net-pci+user+qemu+tx+tcp+mtu-1400+streams-2"
    assert found["reached"] and not found["reason"]
    mine = frame[frame.cell == found["cell"]]
    assert found["n"] == (~mine.probed).sum() >= 3 and found["half_width"] <= 0.3
    assert found["seconds"] == pytest.approx(mine.seconds.sum(), abs=0.01)


def resumed_after(how: signal.Signals, campaign: Campaign, plan: str) -> Campaign:
    """End the campaign so, and carry out the rest: what was recorded is as it was, and nothing is left."""
    campaign.process.send_signal(how)
    campaign.end()
    said = "".join(campaign.said)
    kept = {file: file.stat().st_mtime_ns for file in campaign.run.rglob("*.parquet")}
    assert kept
    remove_leftovers()
    rest = Campaign(campaign.run.parent, plan)
    assert rest.end() == 0, "".join(rest.said)
    assert all(file.stat().st_mtime_ns == before for file, before in kept.items())
    reader = RunReader.open(campaign.run)
    assert reader.meta["status"] == "complete" and not reader.damaged, said + "".join(rest.said)
    assert not rest.left_behind() and not (campaign.run / ".reserve").exists()
    return rest
