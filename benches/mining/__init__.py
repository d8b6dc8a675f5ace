"""What mining must reach, measured: `python -m benches.mining SUITE`, then `python -m benches.mining table FILE...`."""
