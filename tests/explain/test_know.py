"""What to know: who reaches whom, what it needs, what it costs; each held against where it is from."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

import pytest
from cost_table import HERE, REPORT, TABLE, derive
from witness import INSTALLED

from qtrace.explain.cost import cost
from qtrace.explain.explanation import Reader
from qtrace.explain.reach_claims import claims, reach_rows
from qtrace.store.index import Index


def test_every_claim_is_in_a_tree_of_qemus(earlier: Index, newer: Index) -> None:
    for claim in claims():
        roots = [Path(found.meta["root"]) for found in (newer, earlier)]
        texts = [(root / claim["file"]).read_text(errors="replace") for root in roots]
        assert claim["at"] in texts[0], claim
        assert claim["at"] in texts[1] or claim["netdev"] == "af-xdp", claim
        assert claim["can"] in ("yes", "no", "depends")


def test_every_back_end_has_a_claim(reader: Reader, newer: Index) -> None:
    for compiled in (reader.compiled, Reader(newer).compiled):
        known = {claim["netdev"] for claim in claims()} | {"nic", "none", "hubport"}
        assert compiled <= known, compiled - known


@pytest.mark.parametrize(
    ("line", "way", "can"),
    [
        ("-nic user", ("guest", "outside"), "yes"),
        ("-nic user,restrict=on", ("guest", "outside"), "no"),
        ("-nic user", ("host", "guest"), "no"),
        ("-nic user,hostfwd=tcp::2222-:22", ("host", "guest"), "yes"),
        ("-nic user,hostfwd=tcp::2222-:22", ("outside", "guest"), "yes"),
        ("-nic user,hostfwd=tcp:127.0.0.1:2222-:22", ("outside", "guest"), "no"),
        ("-nic user,restrict=on,hostfwd=tcp::2222-:22", ("host", "guest"), "yes"),
        ("-nic socket,mcast=230.0.0.1:1", ("guest", "outside"), "no"),
        ("-nic tap,script=no", ("guest", "host"), "depends"),
    ],
)
def test_who_reaches_whom(reader: Reader, line: str, way: tuple[str, str], can: str) -> None:
    netdev = reader.network(["qemu-system-x86_64", *line.split()])[2].netdevs[0]
    rows = reach_rows(netdev, reader.root)
    (row,) = [row for row in rows if (row["from"], row["to"]) == way]
    assert row["can"] == can and row["basis"] == "documented" and ":" in row["source"]


def test_what_is_measured_replaces_the_claim(reader: Reader) -> None:
    netdev = reader.network(["qemu-system-x86_64", "-nic", "user"])[2].netdevs[0]
    answer = {"can": "no", "condition": "no answer in 3 s", "source": "a run"}
    rows = reach_rows(netdev, reader.root, {("user", "guest", "outside"): answer})
    (row,) = [row for row in rows if row["basis"] == "measured"]
    assert row == {"from": "guest", "to": "outside", "basis": "measured", **answer}


def test_a_hub_has_its_own(reader: Reader) -> None:
    (hub,) = reader.explain(["qemu-system-x86_64", "-net", "nic", "-net", "user"])["hubs"]
    assert [row["to"] for row in hub["reach"]] == ["other guests"]


@pytest.mark.needs("root", "qemu-system-x86_64", "unshare", "setpriv")
@pytest.mark.parametrize(
    ("line", "needs", "refusal"),
    [
        ("-nic user", "", ""),
        ("-nic user,hostfwd=tcp::2222-:22", "", ""),
        ("-nic user,hostfwd=tcp::22-:22", "port 22", "Could not set up host forwarding rule"),
        ("-nic socket,listen=127.0.0.1:1000", "port 1000", "Permission denied"),
        ("-nic socket,listen=127.0.0.1:2000", "", ""),
        ("-netdev tap,id=t,script=no,downscript=no", "CAP_NET_ADMIN", "/dev/net/tun"),
        (
            "-netdev l2tpv3,id=l,src=127.0.0.1,dst=127.0.0.1,txsession=1",
            "CAP_NET_RAW",
            f"errno = {errno.EPERM}",
        ),
        (
            "-netdev l2tpv3,id=l,src=127.0.0.1,dst=127.0.0.1,txsession=1,udp=on,srcport=2001,dstport=2002",
            "",
            "",
        ),
    ],
)
def test_what_needs_a_privilege_is_refused_without(
    reader: Reader, line: str, needs: str, refusal: str
) -> None:
    """In a network namespace that is root's: whoever is not has no right there."""
    said = reader.explain(["qemu-system-x86_64", *line.split()])["netdevs"][0]["privilege"]
    assert needs in " ".join(said) if needs else not said
    command = ["unshare", "--net", "--", "sh", "-c", 'ip link set lo up; exec "$@"', "sh"]
    command += ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    command += [INSTALLED.path, "-S", "-display", "none", "-accel", "tcg", "-monitor", "stdio", *line.split()]
    done = subprocess.run(command, input="quit\n", capture_output=True, text=True, timeout=300)
    assert (done.returncode != 0) == bool(needs), done.stderr
    assert refusal in done.stderr


def test_the_cost_is_the_reports() -> None:
    """That of the commit: `make report` measures anew, and its tables are this machine's then."""
    committed = subprocess.run(
        ["git", "show", f"HEAD:{REPORT}"], cwd=HERE, capture_output=True, text=True, check=False
    )
    text = committed.stdout if committed.returncode == 0 else (HERE / REPORT).read_text()
    assert TABLE.read_text() == derive(text, REPORT), "run: python tests/explain/cost_table.py"


def test_a_cost_names_its_run_and_nothing_is_guessed(reader: Reader) -> None:
    known = cost("virtio-net-pci", "user", vhost=False)
    assert known is not None and known["run"] and known["conditions"]["venue"]
    assert {row["direction"] for row in known["throughput"]} == {"tx", "rx"}
    assert all(row["ratio interval"] for row in known["throughput"])
    assert cost("virtio-net-pci", "tap", vhost=True) != cost("virtio-net-pci", "tap", vhost=False)
    assert cost("ne2k_isa", "user", vhost=False) is None
    through_a_hub = reader.explain(["qemu-system-x86_64", "-net", "nic,model=e1000", "-net", "user"])
    assert through_a_hub["nics"][0]["cost"] is None
