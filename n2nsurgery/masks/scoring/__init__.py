"""Scoring weights with data, on one process or several."""
