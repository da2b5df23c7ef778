"""What survives of weights: the masks of skips, and the values with which kept weights start."""
