"""The QEMU that the lab machine runs in: one that emulates rewritten code rightly, where there is one."""

from __future__ import annotations

import pytest

from qtrace.distribution.identity import distribution
from qtrace.errors import LabError
from qtrace.lab.guest.guest import find_qemu
from qtrace.lab.machine.emulator import choose_emulator, release_of

pytestmark = pytest.mark.needs("qemu-system-x86_64")


class Warned:
    """Keeps what the user is warned of."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def step(self, text: str) -> None:
        pass

    done = step

    def warn(self, text: str) -> None:
        self.said.append(text)


def test_hardware_needs_no_other_than_the_installed() -> None:
    assert choose_emulator("kvm") == [str(find_qemu())]


def test_an_old_emulator_is_replaced_and_no_other() -> None:
    installed = [str(find_qemu())]
    chosen = choose_emulator("tcg")
    assert release_of(chosen) >= (8, 1)
    assert (chosen == installed) == (release_of(installed) >= (8, 1))


def test_where_no_newer_one_is_to_be_had_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed = [str(find_qemu())]
    if release_of(installed) >= (8, 1):
        pytest.skip("the installed QEMU is new enough")
    monkeypatch.setattr(type(distribution()), "sound_emulator", "nowhere")
    warned = Warned()
    assert choose_emulator("tcg", warned) == installed
    assert ["may crash or stand still" in text for text in warned.said] == [True]


def test_what_is_no_qemu_is_refused() -> None:
    with pytest.raises(LabError, match="true --version"):
        release_of(["true"])
