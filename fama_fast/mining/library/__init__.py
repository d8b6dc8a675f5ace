"""The library of a run: its members, the gates to it, and the archives that the search keeps beside it."""
