"""Criteria: one file each, found by file name; see `n2nsurgery.masks.criterion`."""
