"""Removing channels whose value is constant."""
