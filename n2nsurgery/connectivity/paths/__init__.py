"""Paths from input to output: reachable channels, effective density, path counts and scatter."""
