"""What the loop and all proposers share: the protocol, budgets, admissible formulas, usable operators."""
