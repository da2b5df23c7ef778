"""Python functions with the names of the commands: train, evaluate, report, diff."""
