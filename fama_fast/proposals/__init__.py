"""What the loop and whatever proposes expressions have in common: the protocol, budgets, usable operators."""
