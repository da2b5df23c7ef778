"""The use cases, one file each: apply, train, evaluate, load, inspect, export, ...; it alone sees all others."""
