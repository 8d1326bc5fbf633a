"""What a guest's image holds of the host's programs."""

from __future__ import annotations

import pytest

from qtrace.lab.guest.guest_image import shared_libraries, which


@pytest.mark.needs("ip", "ldd")
def test_what_glibc_opens_by_itself_is_there_too() -> None:
    """Without libgcc_s a thread that is cancelled aborts its program, as iperf3 3.18 of Debian 13 did in a
    guest without any program in C++. ldd does not name it."""
    libraries = [path.name for path in shared_libraries(which("ip"))]
    assert {"libc.so.6", "libgcc_s.so.1"} <= set(libraries)
    assert len(libraries) == len(set(libraries))
