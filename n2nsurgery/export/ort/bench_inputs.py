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
from n2nsurgery.export.input_shapes import Shapes
from n2nsurgery.imports import extra

with extra("cpu", "an ONNX Runtime session"):
    import onnxruntime

MAX_VALUES = 2**26
"""Values of one made-up input: 256 MB of float32. A few bytes of a file can declare any size."""

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    **{f"tensor({kind.__name__})": kind for kind in (np.int64, np.int32, np.int16, np.int8)},
    **{f"tensor({kind.__name__})": kind for kind in (np.uint64, np.uint32, np.uint16, np.uint8)},
    "tensor(bool)": np.bool_,
}

_LEVELS = frozenset({np.int8, np.uint8})
"""Types of pixels and of quantized values, which may be anything."""

Array = NDArray[Any]


def feed_of(opened: onnxruntime.InferenceSession, batch: int, shapes: Shapes | None = None) -> dict[str, Array]:
    """An array for every input: `batch` samples where dimension 0 is open; noise, or small indices.

    `shapes`: of inputs by name, batch included; open sizes of the same name are equal. Raises UsageError where another
    size is still open, where the model fixes another batch, for a name in `shapes` that is not an input, and for an
    input of more than MAX_VALUES values.
    """
    shapes = shapes or {}
    inputs = opened.get_inputs()
    _require_inputs(shapes, inputs)
    if not shapes:
        _require_batch(inputs, batch)
    sizes = {**_batch_sizes(inputs, batch), **_given_sizes(inputs, shapes)}
    return {value.name: _noise(value, shapes.get(value.name) or _shape_for(value, batch, sizes)) for value in inputs}


def sample_feeds(
    opened: onnxruntime.InferenceSession, shapes: Shapes | None = None, *, batches: bool = False
) -> list[dict[str, Array]]:
    """Arrays for every input, for one sample and for two; once where the model or `shapes` fixes the batch.

    `shapes`: of inputs by name, batch included, as they are for every run. Other open sizes are chosen here: the same
    for the same name. `batches`: besides, one sample more than `shapes` fix. Raises UsageError for a name in `shapes`
    that is not an input, and as `feed_of`.
    """
    shapes = shapes or {}
    inputs = opened.get_inputs()
    _require_inputs(shapes, inputs)
    runs = [shapes]
    if batches and shapes and not any(value.shape and isinstance(value.shape[0], int) for value in inputs):
        runs.append({name: (first + 1, *rest) for name, (first, *rest) in shapes.items()})
    feeds = []
    for given in runs:
        sizes = _given_sizes(inputs, given)
        fixed = all(_is_known(value, given, sizes) for value in inputs)
        feeds += [_feed(inputs, given, sizes, batch) for batch in ((1,) if fixed else (1, 2))]
    return feeds


def _require_inputs(shapes: Shapes, inputs: Sequence[Any]) -> None:
    names = [value.name for value in inputs]
    for name in shapes:
        if name not in names:
            raise unknown("input", name, names)


def _batch_sizes(inputs: Sequence[Any], batch: int) -> dict[str, int]:
    """`batch` by the names that the model has for it."""
    return {value.shape[0]: batch for value in inputs if value.shape and isinstance(value.shape[0], str)}


def _given_sizes(inputs: Sequence[Any], shapes: Shapes) -> dict[str, int]:
    """The open sizes that `shapes` say, by the names that the model has for them."""
    return {
        name: size
        for value in inputs if value.name in shapes
        for name, size in zip(value.shape, shapes[value.name], strict=False) if isinstance(name, str)
    }  # fmt: skip


def _is_known(value: Any, shapes: Shapes, sizes: Mapping[str, int]) -> bool:  # noqa: ANN401 - an input of a session
    """The first size of an input is said by the model or by the caller."""
    return value.name in shapes or not value.shape or isinstance(value.shape[0], int) or value.shape[0] in sizes


def _feed(inputs: Sequence[Any], shapes: Shapes, sizes: Mapping[str, int], batch: int) -> dict[str, Array]:
    chosen = {**_batch_sizes(inputs, batch), **sizes}
    return {value.name: _noise(value, shapes.get(value.name) or _chosen(value, batch, chosen)) for value in inputs}


def _require_batch(inputs: Sequence[Any], batch: int) -> None:
    for value in inputs:
        first = value.shape[0] if value.shape else batch
        if isinstance(first, int) and first != batch:
            raise UsageError(f"input '{value.name}' has a fixed batch of {first}; pass --batch {first}")


def _resolved(value: Any, batch: int, sizes: Mapping[str, int]) -> list[int | None]:  # noqa: ANN401 - of a session
    """The sizes of an input that are fixed or known by name, `batch` for a first one without a name; else None."""
    shape = [size if isinstance(size, int) else sizes.get(size) if size else None for size in value.shape]
    shape[:1] = [batch if size is None else size for size in shape[:1]]
    return shape


def _filled(shape: Sequence[int | None], size: int) -> tuple[int, ...]:
    return tuple(size if each is None else each for each in shape)


_OPEN_SIZE = {"image": 64, "sequence": 16}
_IMAGE_RANK = 4


def _shape_for(value: Any, batch: int, sizes: Mapping[str, int]) -> tuple[int, ...]:  # noqa: ANN401 - of a session
    """The shape of an input, all of whose sizes have to be known."""
    shape = _resolved(value, batch, sizes)
    filled = _filled(shape, _OPEN_SIZE["sequence"])
    if None in shape:
        raise UsageError(
            f"input '{value.name}' has the shape {value.shape}, and nothing says its open sizes: give them, as in"
            f" --input-shapes {value.name}={'x'.join(map(str, filled))}"
        )
    return filled


def _chosen(value: Any, batch: int, sizes: dict[str, int]) -> tuple[int, ...]:  # noqa: ANN401 - an input of a session
    """The shape of an input, with pixels of images and tokens of sequences for sizes that nothing says.

    `sizes`: of those that have a name and are known; it gets those that are chosen.
    """
    size = _OPEN_SIZE["image" if len(value.shape) >= _IMAGE_RANK else "sequence"]
    for name in value.shape:
        if name and isinstance(name, str):
            sizes.setdefault(name, size)
    return _filled(_resolved(value, batch, sizes), size)


def _noise(value: Any, shape: tuple[int, ...]) -> Array:  # noqa: ANN401 - an input of a session
    if value.type not in _TYPES:
        raise UsageError(f"input '{value.name}' is a {value.type}; inputs can be made of {', '.join(_TYPES)}")
    if prod(shape) > MAX_VALUES:
        raise UsageError(
            f"input '{value.name}' has the shape {shape}, {prod(shape):,} values; at most {MAX_VALUES:,} are made up"
        )
    kind = _TYPES[value.type]
    generator = numpy_generator(0, "bench", value.name)
    if np.issubdtype(kind, np.floating):
        return generator.standard_normal(shape).astype(kind)
    if kind in _LEVELS:
        return generator.integers(np.iinfo(kind).min, np.iinfo(kind).max, shape, kind, endpoint=True)
    return _ones_and_zeros(shape).astype(kind)


def _ones_and_zeros(shape: tuple[int, ...]) -> Array:
    """Ones and zeros in turn, as indices that exist or a mask that hides a part: differently for the next sample.

    The first place of each row is 1, so that no row is masked whole.
    """
    turns = np.asarray(1 - sum(np.ogrid[tuple(map(slice, shape))]) % 2) if shape else np.ones(())
    if len(shape) > 1 and shape[-1] > 1:
        turns[..., :1] = 1
    return turns
