"""`qtrace why` at a guest that nobody here built."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from installer import Installer, Machine, open_installer

from qtrace.lab.guest.guest import find_qemu
from qtrace.store.index import Index

pytestmark = pytest.mark.needs("root", "bcc", "tun", "qemu-system-x86_64", "setpriv")


def why(guest: Installer, act: Callable[[], object]) -> dict[str, Any]:
    """What is found while `act` is done."""
    argv = [sys.executable, "-m", "qtrace", "why", str(guest.pid), "--seconds", "4", "--format", "json"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        for line in process.stderr:
            if "counting in" in line:
                acting = threading.Thread(target=act)
                acting.start()
                break
        rest = process.stderr.read()
        answer = process.stdout.read()
        assert process.wait() == 0, rest
        acting.join()
    found: dict[str, Any] = json.loads(answer)
    return found


def test_a_stranger_that_is_well_has_no_finding(index: Index) -> None:
    """vmxnet3: a card whose registers are not read."""
    with open_installer(Machine("vmxnet3", driver="vmxnet3"), find_qemu()) as guest:
        assert why(guest, lambda: guest.ping(3))["findings"] == []
