"""Layers that compute with integers: ranges from calibration, levels, and the quantized operators."""
