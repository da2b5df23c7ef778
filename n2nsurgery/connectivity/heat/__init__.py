"""Heat diffusion on a graph: Laplacian, heat kernel signatures, spectrum and scree curves."""
