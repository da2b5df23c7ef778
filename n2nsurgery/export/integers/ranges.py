"""The ranges that tensors of a model take on calibration data, in ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, helper

from n2nsurgery.core.errors import RunError, UsageError
from n2nsurgery.export.files.load import MAX_BYTES
from n2nsurgery.export.ort.providers import session

Range = tuple[float, float]
ALL = 100.0
"""The percentile of a range that no value lies outside of."""

Batch = Sequence[NDArray[np.generic]]
"""An array for each input of the model, in their order."""


def ranges(
    model: ir.Model, names: Sequence[str], batches: Iterable[Batch], percentile: float = ALL
) -> Mapping[str, Range]:
    """(least, greatest) value of each tensor in `names` over all `batches`, by name.

    A `percentile` below 100 leaves out the values beyond it at either end: a range then goes from the mean of the
    batches' (100 - p)-th percentiles to that of their p-th, because no more than a batch is held.

    Raises UsageError where there is no batch or a tensor takes a value that is not finite, RunError where the model is
    too large to run from memory.
    """
    proto = ir.to_proto(model)
    if (size := proto.ByteSize()) > MAX_BYTES:
        raise RunError(f"the model holds {size} bytes, too many to calibrate; at most {MAX_BYTES} are possible")
    returned = {value.name for value in proto.graph.output}
    proto.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names if name not in returned
    )
    runtime = session(proto.SerializeToString())
    inputs = [value.name for value in runtime.get_inputs()]
    found: dict[str, list[Range]] = {name: [] for name in names}
    for batch in batches:
        arrays = runtime.run(list(names), dict(zip(inputs, batch, strict=True)))
        for name, array in zip(names, arrays, strict=True):
            found[name].append(_range(name, array, percentile))
    if not all(found.values()):
        raise UsageError("has no batch of inputs; at least one is needed", field="calibration", joint=" ")
    return {name: _joined(each, percentile) for name, each in found.items()}


def _joined(each: Sequence[Range], percentile: float) -> Range:
    lows, highs = np.array(each).T
    if percentile == ALL:
        return float(lows.min()), float(highs.max())
    return float(lows.mean()), float(highs.mean())


def _range(name: str, array: NDArray[np.float32], percentile: float) -> Range:
    """The range of one batch's values."""
    if not array.size:
        raise UsageError("has an empty batch; give at least one sample", field="calibration", joint=" ")
    low, high = float(array.min()), float(array.max())
    if not np.isfinite([low, high]).all():
        raise UsageError(
            f"leads to {low} to {high} in '{name}': ranges have to be finite, so give inputs that the network can take",
            field="calibration", joint=" ",
        )  # fmt: skip
    if percentile == ALL:
        return low, high
    inner = np.percentile(array, [100 - percentile, percentile])
    return float(inner[0]), float(inner[1])
