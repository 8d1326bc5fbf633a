"""Ubuntu: Debian's tools on Ubuntu's archives, kernels and source packages.

Its apt is configured by sources.list.d/ubuntu.sources (deb822) since 24.04; architectures that are not on
archive.ubuntu.com are on ports.ubuntu.com. Most of what qtrace uses is in `universe`.
"""

from __future__ import annotations

from qtrace.distribution.apt_sources import Archive
from qtrace.distribution.debian import Debian

__all__ = ["Ubuntu"]


class Ubuntu(Debian):
    """Ubuntu and what is made from it."""

    ids = ("ubuntu",)
    tried = False
    # linux-image-generic names the release's image and its linux-modules-extra, which has most NICs.
    kernel_meta = "linux-image-generic"
    headers_meta = "linux-headers-generic"

    def own(self, archive: Archive) -> bool:
        return "main" in archive.components.split() and (
            "ubuntu-archive" in archive.signed_by or "ubuntu" in archive.uris
        )
