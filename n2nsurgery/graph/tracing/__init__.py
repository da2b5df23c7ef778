"""Tracing a model into an fx graph that equals the original to the bit."""
