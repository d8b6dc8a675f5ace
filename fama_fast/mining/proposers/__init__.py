"""The proposers of expressions, each an implementation of `fama_fast.proposals.protocol.Proposer`."""

from fama_fast.mining.proposers.registry import PROPOSERS, ProposerKind, ProposerSettings, make_proposer

__all__ = ["PROPOSERS", "ProposerKind", "ProposerSettings", "make_proposer"]
