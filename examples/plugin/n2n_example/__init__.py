"""Members of four registries of n2nsurgery, found by the entry points in this package's pyproject.toml."""
