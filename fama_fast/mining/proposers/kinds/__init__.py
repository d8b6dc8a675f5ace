"""The proposers themselves, one module each; `PROPOSERS` of `mining.proposers.registry` has an entry for each."""
