"""Recipes: YAML with a place for every value -> sections, typed by the packages that consume them -> Recipe."""
