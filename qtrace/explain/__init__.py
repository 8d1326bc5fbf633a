"""A QEMU command line -> what it means for the guest's network, as the indexed tree reads it."""
