"""Loading artifacts and runs."""
