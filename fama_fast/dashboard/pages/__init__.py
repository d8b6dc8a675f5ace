"""The pages: runs, one run, one factor, several runs beside each other."""
