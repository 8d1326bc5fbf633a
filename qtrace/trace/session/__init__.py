"""One process traced: which stage is in which slot, what was counted."""
