"""From anybody's ONNX file with zeros to a small one that computes the same."""
