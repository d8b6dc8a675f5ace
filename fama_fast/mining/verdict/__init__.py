"""The verdict on a run: null controls, significance tests, sentences, the result document."""
