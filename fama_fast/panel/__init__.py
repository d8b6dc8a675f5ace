"""Dense market data in memory."""

from fama_fast.panel.panel import GroupField, Panel

__all__ = ["GroupField", "Panel"]
