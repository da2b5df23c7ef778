"""Training and evaluating from a recipe."""
