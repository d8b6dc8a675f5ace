"""The pages: list of runs, one run, one factor, several runs compared."""
