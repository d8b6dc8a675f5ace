"""Sizes and powers of the statistics that a verdict stands on."""
