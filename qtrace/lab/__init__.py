"""Experiments: namespaces, links, guest image, QEMU process, workload, lab machine."""
