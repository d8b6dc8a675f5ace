"""The dialects: what other systems that write alphas call things, and how their operators are written in ours."""
