"""Frames followed from their first stage to their last, those that wait, and why some stop."""
