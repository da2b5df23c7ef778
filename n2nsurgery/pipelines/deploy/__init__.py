"""Export to ONNX, verification, benchmarks, and what this machine offers."""
