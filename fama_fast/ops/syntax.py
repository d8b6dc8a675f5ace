"""How tightly the infix forms bind, loosest first: the grammar's order, in numbers for the printer."""

from __future__ import annotations

TERNARY = 1
OR = 2
AND = 3
NOT = 4
COMPARISON = 5
ADDITIVE = 6
MULTIPLICATIVE = 7
UNARY_MINUS = 8
POWER = 9
