"""Whatever proposes expressions, behind `fama_fast.proposals.protocol.Proposer`."""

from fama_fast.mining.proposers.registry import ProposerSettings, make_proposer

__all__ = ["ProposerSettings", "make_proposer"]
