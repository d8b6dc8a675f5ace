"""One mining run from settings to result: setup, loop, steps of a round, state, end."""
