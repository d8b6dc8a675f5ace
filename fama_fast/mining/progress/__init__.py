"""What a run reports while it goes: lines, a live display, JSON, MLflow."""
