"""Readers of market data: the files of a path, their layout, and their rows."""
