"""A guest's link: its netdev, and the other end on the host."""
