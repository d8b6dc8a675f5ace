"""What is predicted, and what can be traded: labels of a target, in memory or of a chunk of dates."""

from fama_fast.target.rows import GivenLabels, LabelRows, ReturnLabels
from fama_fast.target.target import Target

__all__ = ["GivenLabels", "LabelRows", "ReturnLabels", "Target"]
