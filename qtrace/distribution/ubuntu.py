"""Ubuntu: Debian's tools on Ubuntu's archives, kernels and source packages.

Since 24.04, sources.list.d/ubuntu.sources (deb822) configures its apt; architectures that are not on
archive.ubuntu.com are on ports.ubuntu.com. Most packages that qtrace uses are in `universe`.
"""

from __future__ import annotations

from qtrace.distribution.apt_sources import Archive
from qtrace.distribution.debian import Debian

__all__ = ["Ubuntu"]


class Ubuntu(Debian):
    """Ubuntu and distributions derived from it."""

    ids = ("ubuntu",)
    tried = False
    sound_emulator = "noble"
    # linux-image-generic names the release's image and its linux-modules-extra, which has most NICs.
    kernel_meta = "linux-image-generic"
    headers_meta = "linux-headers-generic"

    def own(self, archive: Archive) -> bool:
        return "main" in archive.components.split() and (
            "ubuntu-archive" in archive.signed_by or "ubuntu" in archive.uris
        )
