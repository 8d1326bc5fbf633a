"""A process becomes counts and times: prerequisites, probes, readings, the ledger's lines."""
