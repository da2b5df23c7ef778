"""Weighted layers of a traced model, and the pairs of layers that a skip can join."""
