"""The command line: parse, call one pipeline, draw; nothing else."""
