"""The channels of a network, read from its ONNX file alone."""
