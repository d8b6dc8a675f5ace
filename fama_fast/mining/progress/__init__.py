"""What a run tells while it goes: lines, a live display, JSON, MLflow."""
