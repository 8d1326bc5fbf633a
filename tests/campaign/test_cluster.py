"""Blocks on a Dask cluster of this machine: none overlaps another, and whoever is killed, the next call goes
on: everything is measured, nothing twice."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from dask_cluster import Campaign, Client, DaskCluster, until

from qtrace.campaign.block_task import carry_out_order
from qtrace.campaign.cluster import Cluster, measure_on_cluster
from qtrace.errors import QtraceError
from qtrace.progress import SILENT
from qtrace.store.index import Index
from qtrace.store.run import RunReader

pytest.importorskip("distributed", reason="needs the Python package distributed")
psutil = pytest.importorskip("psutil")  # which distributed needs
pytestmark = [pytest.mark.slow, pytest.mark.needs("setpriv")]

BLOCKS, SECONDS = 4, 0.15
LAB = 300.0  # seconds; another campaign of this machine may be in its lab


@dataclass(frozen=True)
class Moment:
    """Of a kill: what has happened by then. The block that begins as number `held` does not end before."""

    come: Callable[[Campaign, Client], object]
    held: int = 0
    step: str = ""  # at which the client stays


MOMENTS = {
    "before the first block": Moment(lambda _, client: "to be measured" in client.said, 1),
    "in the first block": Moment(lambda campaign, _: campaign.number("begin"), 1),
    "after the first block": Moment(lambda campaign, _: campaign.done, 2),
    "half way": Moment(lambda campaign, _: campaign.number("begin") > BLOCKS // 2, BLOCKS // 2 + 1),
    "in the last block": Moment(lambda campaign, _: campaign.number("begin") == BLOCKS, BLOCKS),
}
LONG = [moment for moment in MOMENTS if moment != "half way"]
JOINING = "while blocks are joined"
MOMENTS[JOINING] = Moment(lambda _, client: "joining" in client.said, step="joining")


@pytest.fixture(scope="module", name="started")
def _started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    with DaskCluster(tmp_path_factory.mktemp("dask")) as started:
        yield started


@pytest.fixture
def cluster(started: DaskCluster) -> DaskCluster:
    if started.scheduler.poll() is not None:
        started.start_scheduler()
    return started


def keep_workers(cluster: DaskCluster, number: int = 2) -> None:
    """As many workers as these, and no more than were started."""
    cluster.workers = [worker for worker in cluster.workers if worker.poll() is None]
    before, missing = cluster.registered, number - len(cluster.workers)
    for _ in range(missing):
        cluster.start_worker()
    until(lambda: cluster.registered >= before + missing, "the scheduler knows the workers")


def processes(*words: bytes) -> list[int]:
    """Those whose command line has all of these, each within a word."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes()
        except OSError:
            continue
        if all(word in line for word in words):
            found.append(int(entry.parent.name))
    return found


def namespaces(owners: list[int]) -> list[str]:
    """The network namespaces of these campaigns."""
    return [str(path) for pid in owners for path in Path("/run/netns").glob(f"qt-{pid:x}-*")]


def sleepers(campaign: Campaign) -> list[int]:
    """The processes of blocks that still run."""
    return processes(b"sleeping_block.py", str(campaign.record).encode() + b"\0")


def test_two_workers_share_one_lab(cluster: DaskCluster, tmp_path: Path) -> None:
    keep_workers(cluster)
    campaign = Campaign(tmp_path, 6, SECONDS)
    client = campaign.start(cluster.address)
    assert client.end() == 0, client.said
    campaign.require_whole()
    assert {one["worker"] for one in campaign.events} == {worker.pid for worker in cluster.workers}
    assert "2 workers with lab=1: 6 of 6 blocks are to be measured" in client.said
    assert "[6/6]" in client.said and client.said.endswith("complete\n")
    again = campaign.start(cluster.address)
    assert again.end() == 0 and "is there already: nothing is measured" in again.said
    assert campaign.number("begin") == 6


def worker_addresses(cluster: DaskCluster) -> list[str]:
    return re.findall(r"Register worker addr: (\S+)", cluster.log)[-1:]


def until_moment(cluster: DaskCluster, folder: Path, moment: str) -> tuple[Campaign, Client]:
    """A campaign that has come so far, and comes no further until it is released."""
    campaign, at = Campaign(folder, BLOCKS, SECONDS), MOMENTS[moment]
    if at.step:
        campaign.hold_step(at.step)
    campaign.hold(at.held)
    client = campaign.start(cluster.address)
    until(lambda: at.come(campaign, client), moment)
    return campaign, client


def kill_worker(cluster: DaskCluster, folder: Path, moment: str) -> None:
    keep_workers(cluster)
    campaign, client = until_moment(cluster, folder, moment)
    # The one that measures, where there is one.
    pids = {worker.pid: worker for worker in cluster.workers}
    begun = [one["worker"] for one in campaign.events if one["event"] == "begin"]
    cluster.end(pids[begun[-1]] if begun else cluster.workers[0])
    campaign.release()
    assert client.end() == 0, client.said  # the other one does it
    campaign.require_whole()
    assert until(lambda: not sleepers(campaign), "no block's process is left")


def kill_scheduler(cluster: DaskCluster, folder: Path, moment: str) -> None:
    keep_workers(cluster)
    campaign, client = until_moment(cluster, folder, moment)
    address = cluster.address
    cluster.end(cluster.scheduler)
    campaign.release()
    assert client.end() == 1
    assert f"qtrace: the scheduler at {address} is gone" in client.said and "Traceback" not in client.said
    assert until(lambda: not sleepers(campaign), "no block's process is left")
    assert not campaign.run.exists()
    until(lambda: all(worker.poll() is not None for worker in cluster.workers), "the workers end")
    cluster.start_scheduler()
    keep_workers(cluster)
    again = campaign.start(cluster.address)
    assert again.end() == 0, again.said
    campaign.require_whole()


def kill_client(cluster: DaskCluster, folder: Path, moment: str) -> None:
    keep_workers(cluster)
    campaign, client = until_moment(cluster, folder, moment)
    assert client.interrupt(signal.SIGKILL) == -signal.SIGKILL
    campaign.release()
    again = campaign.start(cluster.address)  # at once: what the dead one began may still run
    assert again.end() == 0, again.said
    campaign.require_whole()
    assert until(lambda: not sleepers(campaign), "no block's process is left")


KILLS = {"worker": kill_worker, "client": kill_client, "scheduler": kill_scheduler}


@pytest.mark.parametrize("who", KILLS)
def test_who_is_killed_half_way(cluster: DaskCluster, who: str, tmp_path: Path) -> None:
    KILLS[who](cluster, tmp_path, "half way")


@pytest.mark.long
@pytest.mark.parametrize("moment", LONG)
@pytest.mark.parametrize("who", KILLS)
def test_who_is_killed_whenever(cluster: DaskCluster, who: str, moment: str, tmp_path: Path) -> None:
    KILLS[who](cluster, tmp_path, moment)


@pytest.mark.long
def test_the_client_is_killed_while_it_joins(cluster: DaskCluster, tmp_path: Path) -> None:
    kill_client(cluster, tmp_path, JOINING)


def test_an_interrupted_client_takes_its_blocks_back(cluster: DaskCluster, tmp_path: Path) -> None:
    keep_workers(cluster)
    campaign = Campaign(tmp_path, 2, 30.0)
    client = campaign.start(cluster.address)
    until(lambda: campaign.number("begin") == 1, "a block begins")
    assert client.interrupt(signal.SIGINT) == 130
    assert (
        f"0 of 2 blocks are measured and stay in {campaign.blocks}: the same command goes on" in client.said
    )
    assert until(lambda: not sleepers(campaign), "the block is ended")
    assert campaign.number("end") == 0 and not campaign.done
    assert until(lambda: not list(campaign.blocks.glob(".*.part")), "nothing half-written is left")
    campaign.seconds = SECONDS
    again = campaign.start(cluster.address)
    assert again.end() == 0, again.said
    campaign.require_whole()


def test_a_block_that_fails_prevents_no_other(cluster: DaskCluster, tmp_path: Path) -> None:
    keep_workers(cluster)
    campaign = Campaign(tmp_path, 3, 0)
    fail = Path(f"{campaign.record}.fail")
    fail.write_text(campaign.ids[1])
    client = campaign.start(cluster.address)
    assert client.end() == 1
    assert f"qtrace: 1 of 3 blocks were not measured: {campaign.ids[1]}: the guest did not" in client.said
    assert "the same command goes on" in client.said and "a step before" not in client.said
    assert campaign.done == [campaign.ids[0], campaign.ids[2]] and not campaign.run.exists()
    fail.unlink()
    again = campaign.start(cluster.address)
    assert again.end() == 0 and "1 of 3 blocks are to be measured" in again.said
    campaign.require_whole()
    assert campaign.number("begin") == 4


def test_what_is_not_whole_is_measured_again(cluster: DaskCluster, tmp_path: Path) -> None:
    keep_workers(cluster)
    campaign = Campaign(tmp_path, 5, 0)
    half, damaged, other, whole, _ = campaign.ids
    campaign.blocks.mkdir()
    campaign.write(campaign.blocks / half, half, status="interrupted")
    campaign.write(campaign.blocks / damaged, damaged)
    for file in (campaign.blocks / damaged).rglob("*.parquet"):
        os.truncate(file, 20)
    campaign.write(campaign.blocks / other, whole)
    shutil.copytree(tmp_path / "templates" / whole, campaign.blocks / whole)
    client = campaign.start(cluster.address)
    assert client.end() == 0 and "4 of 5 blocks are to be measured" in client.said
    for block, said in (
        (half, "not measured to its end"),
        (damaged, "is damaged"),
        (other, "is not the run"),
    ):
        assert any(block in line and said in line for line in client.said.splitlines()), client.said
    assert whole not in {one["block"] for one in campaign.events} and campaign.number("end") == 4
    assert RunReader.open(campaign.run).meta["status"] == "complete"


def refused(client: Client, *said: str) -> None:
    """One message, status 1."""
    assert client.end() == 1, client.said
    message = client.said.partition("qtrace: ")[2]
    assert all(text in message for text in said), client.said
    assert "Traceback" not in client.said and len(message.splitlines()) == 2


def refused_here(campaign: Campaign, cluster: Cluster, *said: str) -> None:
    """As `refused`, in this process."""
    with pytest.raises(QtraceError) as caught:
        measure_on_cluster(str(campaign.plan_file), campaign.run, cluster, SILENT, ["bench"])
    message = f"{caught.value}\n{caught.value.hint}"
    assert all(text in message for text in said) and len(message.splitlines()) == 2, message


def test_a_worker_must_have_the_resources(cluster: DaskCluster, tmp_path: Path) -> None:
    keep_workers(cluster, 1)
    said = f'dask worker {cluster.address} --nthreads 1 --resources "lab=1 kvm=1"'
    wanted = Cluster(cluster.address, {"lab": 1, "kvm": 1}, patience=5)
    none = "no worker of the scheduler at tcp://"
    refused_here(Campaign(tmp_path, 1, 0), wanted, none, "has the resources lab=1 kvm=1", said)


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("import qtrace; qtrace.__version__ = '0.0.9'", "has qtrace 0.0.9, and this is"),
        ("import sys; sys.modules['qtrace'] = None", "has qtrace none, and this is"),
    ],
)
def test_a_worker_with_another_qtrace_is_refused(before: str, said: str, tmp_path: Path) -> None:
    with DaskCluster(tmp_path) as other:
        other.start_worker(before=before)
        campaign = Campaign(tmp_path / "other", 2, 0)
        client = campaign.start(other.address)
        refused(client, f"the worker on {socket.gethostname()} {said}", "install the same")
        assert not campaign.events and not campaign.done


def test_nobody_and_strangers_at_the_address(cluster: DaskCluster, tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, 1, 0)

    def nothing(address: str, *said: str, patience: float = 0.5) -> None:
        no_scheduler = f"no Dask scheduler answers at {address}: "
        refused_here(campaign, Cluster(address, patience=patience), no_scheduler, *said)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        nothing(address, "no answer within 0.5 s")
    nothing(address, "dask scheduler --host")
    argv = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "0"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as other:
        assert other.stdout
        nothing(f"tcp://127.0.0.1:{other.stdout.readline().split()[5]}")
        other.kill()
    keep_workers(cluster, 1)
    (worker,) = until(lambda: worker_addresses(cluster), "a worker is up")
    nothing(worker, "it is a Worker", patience=120.0)
    refused_here(
        campaign, Cluster("somewhere"), "'somewhere' is no address of a scheduler", "tcp://HOST:8786"
    )


def test_without_the_package_it_says_how_to_install_it(tmp_path: Path) -> None:
    code = "import sys; sys.modules['distributed'] = None; from qtrace.cli.main import main; main()"
    words = ["bench", "quick", "--scheduler", "tcp://127.0.0.1:1", "--venue", "vm"]
    argv = [sys.executable, "-c", code, *words, "-o", str(tmp_path / "run")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert done.stderr == (
        "qtrace: --scheduler needs the Python package distributed\n        pip install 'qtrace[cluster]'\n"
    )


def test_a_folder_of_another_plan_is_refused(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, 2, 0)
    campaign.blocks.mkdir()
    (campaign.blocks / "plan.toml").write_text('name = "x"\n[[cells]]\nnic = "e1000"\nnetdev = "tap"\n')
    refused_here(campaign, Cluster("tcp://127.0.0.1:1"), "holds blocks of another plan", "another folder")


def test_a_worker_that_does_not_see_the_folder_is_refused(tmp_path: Path) -> None:
    """Nothing is written, and no command is run: `false` would fail."""
    order = {"block": "b", "blocks": str(tmp_path), "digest": "0", "command": ("false",)}
    told = carry_out_order(order)
    assert told["kind"] == "refused" and "must be shared" in told["text"]
    (tmp_path / "plan.toml").write_text("another")
    assert "has another plan" in carry_out_order(order)["text"]
    assert [path.name for path in tmp_path.iterdir()] == ["plan.toml"]


@pytest.mark.needs("openssl")
def test_tls_as_dask_has_it(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=here"]
    argv += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(argv, check=True, capture_output=True)
    words = ["--tls-ca-file", str(certificate), "--tls-cert", str(certificate), "--tls-key", str(key)]
    with DaskCluster(tmp_path, *words) as secured:
        assert secured.address.startswith("tls://")
        secured.start_worker()
        campaign = Campaign(tmp_path / "campaign", 1, 0)
        refused_here(campaign, Cluster(secured.address, patience=2), "no Dask scheduler answers at tls://")
        client = campaign.start(secured.address, tls=words)
        assert client.end() == 0, client.said
        campaign.require_whole()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["quick", "--venue", "vm"], "needs -o RUN"),
        (["quick", "-o", "run"], "needs --venue host or vm"),
        (["quick", "-o", "run", "--venue", "vm", "--resource", "kvm"], "'kvm' is not NAME=N"),
        (["quick", "-o", "run", "--venue", "vm", "--block", "x"], "takes a whole plan"),
    ],
)
def test_usage(words: list[str], said: str) -> None:
    argv = [sys.executable, "-m", "qtrace", "bench", "--scheduler", "tcp://127.0.0.1:1", *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and said in done.stderr


@pytest.mark.long
@pytest.mark.needs("root", "bcc", "tun", "qemu-system-x86_64")
def test_a_real_block_outlives_its_worker(cluster: DaskCluster, index: Index, tmp_path: Path) -> None:
    """By the command line and the lab's guests: the worker is killed while its guest runs, another measures
    the block anew, and of the first nothing is left."""
    plan, run = tmp_path / "plan.toml", tmp_path / "run"
    plan.write_text(
        'name = "real"\nrepetitions = 1\nprobes = false\n[seconds]\ntcp = 1.0\n[[cells]]\nnic = "e1000"\n'
        'netdev = "tap"\ndirections = ["rx"]\nworkloads = ["tcp"]\n'
    )
    keep_workers(cluster)
    words = ["bench", str(plan), "--venue", "host", "-o", str(run), "--scheduler", cluster.address]
    client = Client([sys.executable, "-m", "qtrace", *words], tmp_path / "said")
    measuring = until(lambda: processes(b"--block", str(run).encode()), "the block is begun", LAB)
    guests = until(lambda: namespaces(measuring), "its guest has a namespace", LAB)
    ours = {psutil.Process(pid).ppid() for pid in measuring}
    cluster.end(next(worker for worker in cluster.workers if worker.pid in ours))
    until(lambda: not namespaces(measuring), f"{guests} are removed")
    assert client.end(LAB) == 0, client.said
    measured = RunReader.open(run)
    assert measured.meta["status"] == "complete" and measured.meta["venue"] == "host"
    rates = [row["value"] for row in measured.table("results").to_pylist() if row["metric"] == "throughput"]
    assert len(rates) == 2 and all(rate > 0 for rate in rates)  # the baseline and itself once more
    assert not processes(b"--block", str(run).encode())


def test_a_block_goes_to_a_worker_with_its_qemu(cluster: DaskCluster, tmp_path: Path) -> None:
    """The two blocks differ in their QEMU alone; each worker has one of them."""
    for worker in [*cluster.workers]:
        cluster.end(worker)
    campaign = Campaign(tmp_path, 2, SECONDS, 'size = 64\nqemu = ["7.2", "10.0"]')
    old = cluster.start_worker("lab=1 qemu-7.2=1")
    lonely = campaign.start(cluster.address, patience=3.0)
    assert lonely.end() == 1
    assert "has the resources lab=1 qemu-10.0=1" in lonely.said and not campaign.events
    assert '--resources "lab=1 qemu-10.0=1"' in lonely.said
    new = cluster.start_worker("lab=1 qemu-10.0=1")
    client = campaign.start(cluster.address)
    assert client.end() == 0, client.said
    campaign.require_whole()
    begun = {one["block"].rpartition("+qemu-")[2]: one["worker"] for one in campaign.events}
    assert begun == {"7.2": old.pid, "10.0": new.pid}
    for worker in (old, new):
        cluster.end(worker)
