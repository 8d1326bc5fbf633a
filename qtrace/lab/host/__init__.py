"""The lab's parts on the host: namespaces, programs beside QEMU, and the list of things to remove."""
