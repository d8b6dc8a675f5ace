"""The simulator: markets with known properties, with signals planted in them."""
