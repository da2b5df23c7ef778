"""Trials: single training runs of an experiment, run once and kept."""
