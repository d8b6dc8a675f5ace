"""Language models: what they are shown, how they are asked, and what is read out of their answers."""
