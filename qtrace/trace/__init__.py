"""A process becomes counts and times: prerequisites, attach, decode, ledger."""
