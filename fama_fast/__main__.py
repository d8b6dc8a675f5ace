"""`python -m fama_fast`: the command line."""

from fama_fast.cli import command

command()
