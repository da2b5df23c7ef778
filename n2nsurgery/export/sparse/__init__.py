"""Sparse weights in ONNX: which layers use them, and how they are stored."""
