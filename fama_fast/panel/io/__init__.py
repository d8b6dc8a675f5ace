"""Readers of market data: which files a path stands for, how they are laid out, and their rows."""
