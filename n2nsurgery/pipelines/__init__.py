"""The use cases: apply, train, evaluate, load, inspect, export, ...; only this package sees all others."""
