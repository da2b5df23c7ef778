"""ONNX Runtime sessions: providers, inputs, and interleaved runs."""
