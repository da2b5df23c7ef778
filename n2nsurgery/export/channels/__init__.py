"""The channels of a network, read from nothing but its ONNX file."""
