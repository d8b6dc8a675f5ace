"""The discovery benchmark: forecasts of pools of formulas over rolling origins."""
