"""Sampled frames (samples.bpf.c): what comes through the ring buffer."""

from __future__ import annotations

import ctypes

from qtrace.probes.shared import Loss, Shared

__all__ = ["SAMPLE_BYTES", "SHARED", "Sample"]

SAMPLE_BYTES = 256  # of a frame


class Sample(ctypes.Structure):
    """One hit. With `has_data` it is only the first `length` bytes, which follow, of the frame at the hit
    before in this slot and thread. `group` is FRAME_GROUP's; times are in ns (CLOCK_MONOTONIC)."""

    _fields_ = (
        ("when", ctypes.c_uint64),
        ("began", ctypes.c_uint64),
        ("frames", ctypes.c_uint64),
        ("bytes", ctypes.c_uint64),
        ("thread", ctypes.c_uint32),
        ("group", ctypes.c_uint32),
        ("cpu", ctypes.c_uint16),
        ("length", ctypes.c_uint16),
        ("slot", ctypes.c_uint8),
        ("has_data", ctypes.c_uint8),
        ("unused", ctypes.c_uint16),
    )


SHARED = Shared(
    constants={"SAMPLE_BYTES": SAMPLE_BYTES},
    structs={"sample": Sample},
    losses=(Loss("SAMPLES", "hits of sampled frames beyond the ring buffer", "those frames are incomplete"),),
)
