"""What a run may claim: controls, tests, the verdict in words, the result document."""
