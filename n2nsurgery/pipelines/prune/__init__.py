"""Pruning a model: apply and inspect."""
