"""The state of a run: checkpoints, random generators, weight averages."""
