"""What a step of the recovery proposes: (function, address) -> (how it is known, evidence)."""

__all__ = ["PARTLY", "Proposals"]

Proposals = dict[tuple[int, int], tuple[str, str]]
PARTLY = "partly"  # how sure a place is by which not all calls come: some callers have the function in them
