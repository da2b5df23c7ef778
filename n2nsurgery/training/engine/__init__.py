"""What a run is computed with: dense modules, or sparse twins of them."""
