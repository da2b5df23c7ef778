"""Inputs to run a model with: seeded noise, of the shape the model asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.names import unknown
from n2nsurgery.core.seeds import numpy_generator
from n2nsurgery.imports import extra

with extra("cpu", "an ONNX Runtime session"):
    import onnxruntime

MAX_VALUES = 2**26
"""Values of one made-up input: 256 MB of float32. A few bytes of a file can declare any size."""

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}

Shapes = Mapping[str, tuple[int, ...]]
Array = NDArray[Any]


def feed_of(opened: onnxruntime.InferenceSession, batch: int) -> dict[str, Array]:
    """An array for every input: `batch` samples where dimension 0 is dynamic; noise, or zeros for indices.

    Raises UsageError where another dimension is dynamic too, where the model fixes another batch, and for an input of
    more than MAX_VALUES values.
    """
    return {value.name: _noise(value, _shape_for(value, batch)) for value in opened.get_inputs()}


def sample_feeds(opened: onnxruntime.InferenceSession, shapes: Shapes | None = None) -> list[dict[str, Array]]:
    """Arrays for every input, for one sample and for two; once where the model fixes the batch.

    `shapes`: of inputs by name, batch included, as they are for every run. Other open sizes are chosen here: the same
    for the same name. Raises UsageError for a name in `shapes` that is not an input, and as `feed_of`.
    """
    shapes = shapes or {}
    inputs = opened.get_inputs()
    names = [value.name for value in inputs]
    for name in shapes:
        if name not in names:
            raise unknown("input", name, names)
    fixed = all(value.name in shapes or not value.shape or isinstance(value.shape[0], int) for value in inputs)
    feeds = []
    for batch in (1,) if fixed else (1, 2):
        sizes = {value.name: shapes.get(value.name) or _chosen(value.shape, batch) for value in inputs}
        feeds.append({value.name: _noise(value, sizes[value.name]) for value in inputs})
    return feeds


def _shape_for(value: Any, batch: int) -> tuple[int, ...]:  # noqa: ANN401 - an input of a session
    dimensions: list[int | str | None] = value.shape
    rest = [size for size in dimensions[1:] if isinstance(size, int)]
    if len(rest) != len(dimensions[1:]):
        raise UsageError(
            f"input '{value.name}' has the shape {dimensions}; only models whose dimension 0 alone is open can be timed"
        )
    shape = [size if isinstance(size, int) else batch for size in dimensions[:1]] + rest
    if shape and shape[0] != batch:
        raise UsageError(f"input '{value.name}' has a fixed batch of {shape[0]}; pass --batch {shape[0]}")
    return tuple(shape)


_OPEN_SIZE = {"image": 64, "sequence": 16}
_IMAGE_RANK = 4


def _chosen(dimensions: Sequence[int | str | None], batch: int) -> tuple[int, ...]:
    """Sizes for the open dimensions of an input: `batch` for the first, pixels of images, tokens of sequences."""
    size = _OPEN_SIZE["image" if len(dimensions) >= _IMAGE_RANK else "sequence"]
    return tuple(
        given if isinstance(given, int) else batch if axis == 0 else size for axis, given in enumerate(dimensions)
    )


def _noise(value: Any, shape: tuple[int, ...]) -> Array:  # noqa: ANN401 - an input of a session
    if value.type not in _TYPES:
        raise UsageError(f"input '{value.name}' is a {value.type}; inputs can be made of {', '.join(_TYPES)}")
    if prod(shape) > MAX_VALUES:
        raise UsageError(
            f"input '{value.name}' has the shape {shape}, {prod(shape):,} values; at most {MAX_VALUES:,} are made up"
        )
    kind = _TYPES[value.type]
    if not np.issubdtype(kind, np.floating):
        return np.zeros(shape, kind)
    return numpy_generator(0, "bench", value.name).standard_normal(shape).astype(kind)
