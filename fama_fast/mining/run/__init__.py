"""One mining run from settings to result: the loop, its steps, its state, its end."""
