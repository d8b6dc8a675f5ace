"""The ledger: the database of runs, candidates, parentage, exchanges with models and chain steps."""
