"""The type of a recovery step's result: (function, address) -> (how the function was found, evidence)."""

__all__ = ["PARTLY", "Proposals"]

Proposals = dict[tuple[int, int], tuple[str, str]]
PARTLY = "partly"  # confidence of an address that not all calls reach: some callers have the function inlined
