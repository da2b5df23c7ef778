"""Modules of a sparse twin: sparse layers, and twins of torch modules that keep the layout of activations."""
