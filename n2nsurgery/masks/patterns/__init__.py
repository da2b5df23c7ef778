"""Random and regular patterns with exact counts."""
