"""Trials: single training runs of an experiment, carried out once and kept."""
