"""Training: one loop with masks that hold, exact resume, and several processes. Knows nothing of surgery."""
