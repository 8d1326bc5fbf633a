"""How a campaign that is to be disturbed says how far it is."""

from __future__ import annotations


class Steps:
    """Progress as plain lines on stdout."""

    def step(self, text: str) -> None:
        print(f"step {text}", flush=True)

    def done(self, text: str) -> None:
        print(f"done {text}", flush=True)

    def warn(self, text: str) -> None:
        print(f"warn {text}", flush=True)
