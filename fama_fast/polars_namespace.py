"""`import fama_fast.polars_namespace` puts `.fama` on Polars frames and expressions."""

from fama_fast.integrations.namespace import ExprNamespace, FrameNamespace, alpha_expr

__all__ = ["ExprNamespace", "FrameNamespace", "alpha_expr"]
