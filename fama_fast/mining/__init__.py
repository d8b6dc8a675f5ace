"""Searching for factors: the loop, its gates, exemplar selection (CSS), chains (CoE), the proposers, the verdict.

The parts stand alone: `mining.css` and `mining.coe` work on factors and arrays, whatever proposed them.
"""
