"""The two engines: skips in hooks of the model itself, or in a rewritten copy of its data flow."""
