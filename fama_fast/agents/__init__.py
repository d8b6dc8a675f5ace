"""The door for agents: a session in which a program outside, such as a language model with tools, scores formulas.

A session is a run of the ledger whose proposer is the agent: every score is a counted trial, and its end is that of any
run. `session` is the session itself; `server` offers it over the Model Context Protocol, and alone knows the `mcp`
package.
"""
