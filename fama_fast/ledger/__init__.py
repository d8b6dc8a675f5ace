"""The ledger: the one store of runs, candidates, parentage, exchanges and chain steps."""
