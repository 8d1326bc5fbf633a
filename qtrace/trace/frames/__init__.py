"""Frames followed from their first stage to their last, frames that wait, and reasons why some stop."""
