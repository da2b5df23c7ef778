"""The use cases, one file each: apply, load, inspect, export, doctor; the only package that sees all others."""
