"""Pools of very many formulas: the wide pool, its correlations, its weights and its forecast."""
