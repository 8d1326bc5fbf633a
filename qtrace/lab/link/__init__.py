"""A guest's link: its netdev, and the host's end of it."""
