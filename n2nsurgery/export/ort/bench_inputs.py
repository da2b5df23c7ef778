"""Inputs to time a model with: seeded noise, of the shape the model asks for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.seeds import numpy_generator
from n2nsurgery.imports import extra

with extra("cpu", "an ONNX Runtime session"):
    import onnxruntime

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}


def feed_of(opened: onnxruntime.InferenceSession, batch: int) -> dict[str, NDArray[Any]]:
    """An array for every input: `batch` samples where dimension 0 is dynamic; noise, or zeros for indices.

    Raises UsageError where another dimension is dynamic too, or where the model fixes another batch.
    """
    return {value.name: _array(value.name, value.type, value.shape, batch) for value in opened.get_inputs()}


def _array(name: str, kind: str, dimensions: list[int | str | None], batch: int) -> NDArray[Any]:
    rest = [size for size in dimensions[1:] if isinstance(size, int)]
    if len(rest) != len(dimensions[1:]):
        raise UsageError(f"input '{name}' has the shape {dimensions}; bench takes a dynamic dimension 0 and no other")
    shape = [size if isinstance(size, int) else batch for size in dimensions[:1]] + rest
    if shape and shape[0] != batch:
        raise UsageError(f"input '{name}' has a fixed batch of {shape[0]}; pass --batch {shape[0]}")
    if kind not in _TYPES:
        raise UsageError(f"input '{name}' is a {kind}; bench knows {', '.join(_TYPES)}")
    if not np.issubdtype(_TYPES[kind], np.floating):
        return np.zeros(shape, _TYPES[kind])
    return numpy_generator(0, "bench", name).standard_normal(shape).astype(_TYPES[kind])
