"""What the loop measures on data: scores, races, and forecasts combined of many factors."""
