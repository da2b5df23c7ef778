"""The proofs a file has to pass before it appears; each raises VerificationError with the numbers it saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from torch import Tensor

from n2nsurgery.core.errors import VerificationError
from n2nsurgery.export.capture.capture import BATCH
from n2nsurgery.export.sparse.stored_weights import Tensors, weight
from n2nsurgery.export.sparse.weight_record import WeightRecord


def require_valid(path: Path) -> None:
    """The file passes ONNX's own checker, shape inference included."""
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:  # checker and shape inference raise unrelated classes
        raise VerificationError(f"'{path}' fails onnx.checker: {str(error).strip()}") from error


def require_interface(model: onnx.ModelProto, input_names: Sequence[str]) -> None:
    """Inputs and outputs are those asked for, and dimension 0 of every input is the dynamic batch."""
    inputs = [value.name for value in model.graph.input]
    if inputs != list(input_names):
        raise VerificationError(f"the exported model's inputs are {inputs}; expected {list(input_names)}")
    for value in model.graph.input:
        shape = [dimension.dim_param or dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        if shape[:1] != [BATCH]:
            raise VerificationError(
                f"the batch size of input '{value.name}' came out fixed (its shape is {shape}); "
                "the model's forward must take the batch size from its input's shape"
            )


def require_pruned_zero(
    tensors: Tensors,
    records: Sequence[WeightRecord],
    masks: Mapping[str, Tensor],
    kept: Mapping[str, Sequence[NDArray[np.int64]]],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Every weight that a mask (False = pruned) removes is zero in the file; (checked, unchecked) parameter names.

    `kept` tells which channels of a parameter the file still holds, where compaction removed some. Unchecked are
    parameters that the file does not hold under their own name.
    """
    by_name = {record.name: record for record in records}
    checked, unchecked = [], []
    for name, mask in masks.items():
        if name not in by_name:
            unchecked.append(name)
            continue
        pruned = ~mask.cpu().numpy()
        if name in kept:
            pruned = pruned[np.ix_(*kept[name])]
        stored = weight(by_name[name], tensors)
        if stored.shape != pruned.shape:
            raise VerificationError(f"'{name}' has shape {stored.shape} in the file and {pruned.shape} in its mask")
        if revived := np.count_nonzero(stored[pruned]):
            raise VerificationError(f"'{name}': {revived} of {pruned.sum()} pruned weights are not zero in the file")
        checked.append(name)
    return tuple(checked), tuple(unchecked)
