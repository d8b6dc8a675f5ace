"""Whatever proposes expressions, behind `fama_fast.mining.protocol.Proposer`."""

from fama_fast.mining.proposers.factory import ProposerSettings, make_proposer

__all__ = ["ProposerSettings", "make_proposer"]
