"""The connectivity report: findings, layer table, and the difference between two networks."""
