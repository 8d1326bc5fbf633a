"""The type of a recovery step's result: (function, address) -> (how the function was found, evidence)."""

__all__ = ["Proposals"]

Proposals = dict[tuple[int, int], tuple[str, str]]
