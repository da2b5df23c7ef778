"""The paper on pre-defined sparsity: its networks and runs."""
