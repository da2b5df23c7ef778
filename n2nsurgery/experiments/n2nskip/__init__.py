"""The N2NSkip paper: its grid of networks, its methods and its tables."""
