"""Autograd functions over activations whose innermost dimension is the batch, and the native calls below them."""
