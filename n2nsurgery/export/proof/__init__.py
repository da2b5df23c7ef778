"""Proving that an ONNX file computes what the PyTorch module computes."""
