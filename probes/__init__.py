"""eBPF probes: name.py beside name.bpf.c, one kernel or QEMU boundary each."""
