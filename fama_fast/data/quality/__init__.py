"""The quality checks of market data, on files and on panels."""
