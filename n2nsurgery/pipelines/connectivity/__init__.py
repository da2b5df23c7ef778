"""Connectivity reports of models, artifacts and ONNX files."""
