"""Processes that work together, and processes that must not: the context of a run, and the lock of a folder."""
