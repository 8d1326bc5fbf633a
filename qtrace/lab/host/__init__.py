"""What the lab makes on the host: namespaces, programs beside QEMU, and the list of what is to be removed."""
