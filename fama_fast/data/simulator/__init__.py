"""The simulator: markets in which the truth is known, with signals planted in them."""
