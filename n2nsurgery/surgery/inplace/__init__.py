"""Surgery in place: the model keeps its class and its forward; skips run in hooks at the boundaries of its modules."""
