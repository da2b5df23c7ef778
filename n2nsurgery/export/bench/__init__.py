"""How fast and how large ONNX files are."""
