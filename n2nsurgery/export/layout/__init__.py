"""Operators that hold no code and lie beside sparse nodes, kept in their layout."""
