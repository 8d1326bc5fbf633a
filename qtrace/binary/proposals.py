"""What a step of the recovery proposes: (function, address) -> (how it is known, evidence)."""

__all__ = ["Proposals"]

Proposals = dict[tuple[int, int], tuple[str, str]]
