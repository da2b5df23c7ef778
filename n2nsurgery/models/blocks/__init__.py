"""Blocks from which the built-in model families are made."""
