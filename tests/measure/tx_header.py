"""Whether this release's virtio-net copies the header of each frame that it sends."""

from __future__ import annotations

from qtrace.path.branch_conditions import conditions_of
from qtrace.store.index import Index

__all__ = ["HEADER", "copies_header"]

HEADER = 12  # bytes
_SWAPPED = "needs_vnet_hdr_swap"  # the guest and the host differ in the order of bytes: not on one processor


def copies_header(index: Index) -> bool:
    """By the condition of the copy in the release's own text: in 7.2 wherever the back end takes a header, in
    10.0 only where it has to be turned round."""
    (sender,) = index.function("virtio_net_flush_tx", "hw/net/virtio-net.c")
    told = [
        conditions_of(index).of_call(sender, edge.line, "iov_to_buf")
        for edge in index.callees(sender.id)
        if index.function_by_id(edge.callee).name == "iov_to_buf"
    ]
    assert told and all(told), "the header's copy and its condition are not found"
    return any(_SWAPPED not in conditions for conditions in told)
