"""Searching for factors: the loop, its gates and ledger, exemplar selection (CSS), chains (CoE), the
proposers.

The parts stand alone: `mining.css` and `mining.coe` work on factors and arrays, whoever proposed them.
"""
