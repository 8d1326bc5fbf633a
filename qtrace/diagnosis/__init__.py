"""What limits or breaks the network of a QEMU: a run becomes findings, in order of weight."""
