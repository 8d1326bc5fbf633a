"""The atlas: what the indexes, the lab and a run know of QEMU's networking, as static pages."""
