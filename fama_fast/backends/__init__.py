"""What turns a lowered expression into numbers: a Polars expression, or the numba virtual machine."""
