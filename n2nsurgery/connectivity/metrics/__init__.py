"""Metrics: one file each, found by file name; see `n2nsurgery.connectivity.measures.measurement`."""
