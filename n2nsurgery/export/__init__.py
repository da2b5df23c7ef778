"""ONNX: a module becomes one file, proven in ONNX Runtime before it appears. The only importer of onnx*."""
