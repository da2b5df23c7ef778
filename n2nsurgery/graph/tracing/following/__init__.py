"""Following a model's code, and what to do where it cannot be followed."""
