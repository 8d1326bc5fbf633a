"""What a guest's NIC is plugged into, and the host's end of it."""
