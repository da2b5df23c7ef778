"""Reading and writing ONNX files and their metadata."""
