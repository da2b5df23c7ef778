"""The built-in model families, one file each; `n2nsurgery.models.family.FAMILIES` finds them by file name."""
