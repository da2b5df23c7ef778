"""Outputs of one network, computed in several ways, compared with each other.

torch -> the dense file          the translation is right
dense file -> the coded file     the coding is right: stock ONNX Runtime rounds alike, bit for bit
dense file -> the coded file in the sparse runtime
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from n2nsurgery.core.errors import TraceError, VerificationError
from n2nsurgery.export.capture.outputs import called, flatten
from n2nsurgery.export.ort.providers import session
from n2nsurgery.export.proof.report import Parity

TOLERANCE = 1e-5
"""Largest accepted max |y - y_reference| / max |y_reference|: about a hundred float32 roundings."""

ROUNDING = {"fp32": TOLERANCE, "fp16": 1e-2, "int8": 0.2}
"""The same where weights were rounded, against the unrounded network: halves are exact to 5e-4 and int8 levels to
1/254 of a row's largest weight, and deep networks amplify both. It catches a broken file; what the rounding costs in
accuracy is for an evaluation to tell."""

QUANTIZED = 0.5
"""The same where layers round what they give to 256 levels: it catches a broken file, and noise, on which a file is
compared without an example, may lie outside of what it was calibrated on."""

ONE_LEVEL_EACH = 0.1
"""The same between two runtimes of such a file: where sums lie near the middle of two levels, one gives the upper and
one the lower, and later layers add such steps up. Each layer by itself is within one level, which tests prove."""

Array = NDArray[Any]
ExampleBatches = Sequence[Sequence[Tensor]]
Outputs = list[list[Array]]
"""The outputs of a network, in their order, for each batch."""


def torch_outputs(module: nn.Module, batches: ExampleBatches, input_names: Sequence[str]) -> list[list[Array]]:
    """What `module` returns for each batch of the inputs `input_names`, flattened.

    A model may begin in place, so it gets copies. Raises VerificationError where it does not repeat what it returned
    for the largest batch.
    """
    largest = max(range(len(batches)), key=lambda number: sum(tensor.numel() for tensor in batches[number]))
    with torch.no_grad():
        returned = [
            called(module, [tensor.clone() for tensor in inputs], input_names)
            for inputs in (*batches, batches[largest])
        ]
    *computed, again = [[_array(name, tensor) for name, tensor in flatten(value)] for value in returned]
    if any(compare(second, first)[1] > TOLERANCE for first, second in zip(computed[largest], again, strict=True)):
        raise VerificationError(
            f"{type(module).__name__} returns something else every time (random numbers in eval mode, or state that"
            " its forward keeps), so nothing can be proven of a file: make it an input, or wrap the model without it"
        )
    return computed


def _array(name: str, tensor: Tensor) -> Array:
    """What the network returns as `name`; TraceError for complex numbers."""
    if tensor.is_complex():
        raise TraceError(f"the model returns complex numbers at '{name}': return torch.view_as_real of them")
    array: Array = tensor.detach().numpy()
    return array


def batch_of(inputs: Sequence[Tensor]) -> int:
    """The samples of a batch; 1 where no input has a dimension for them."""
    return next((tensor.shape[0] for tensor in inputs if tensor.dim()), 1)


def require_numbers(computed: Sequence[Sequence[Array]], outputs: Sequence[str]) -> None:
    """Return where no output holds NaN, which equals nothing and so proves nothing; else VerificationError."""
    for batch in computed:
        for name, value in zip(outputs, batch, strict=True):
            lost = int(np.isnan(value).sum()) if np.issubdtype(value.dtype, np.inexact) else 0
            if lost:
                raise VerificationError(
                    f"output '{name}' of the network is not a number (NaN) at {lost:,} of {value.size:,} places, so"
                    " nothing can be proven of a file: give example inputs that it can take, or check its weights"
                )


def file_outputs(path: Path, batches: ExampleBatches, libraries: Sequence[Path] = ()) -> list[list[Array]]:
    """The same of the file at `path` in ONNX Runtime on the CPU; VerificationError where it does not run."""
    runtime = session(path, libraries=libraries)
    names = [value.name for value in runtime.get_inputs()]
    results = []
    for inputs in batches:
        feed = {name: tensor.detach().numpy() for name, tensor in zip(names, inputs, strict=True)}
        try:
            results.append(runtime.run(None, feed))
        except Exception as error:  # ONNX Runtime's exceptions share no other base class
            raise VerificationError(f"ONNX Runtime fails at batch size {batch_of(inputs)}: {error}") from error
    return results


def require_parity(  # noqa: PLR0913 - two sides, and what to call them
    actual: Sequence[Sequence[Array]],
    expected: Sequence[Sequence[Array]],
    *,
    outputs: Sequence[str],
    batches: ExampleBatches,
    subject: str,
    reference: str,
    tolerance: float = TOLERANCE,
) -> tuple[Parity, ...]:
    """One Parity for each output and batch; VerificationError where a difference exceeds `tolerance`.

    `subject` and `reference` say in messages and reports what computed `actual` and `expected`.
    """
    measured = []
    for inputs, ours, theirs in zip(batches, actual, expected, strict=True):
        for output, y, reference_y in zip(outputs, ours, theirs, strict=True):
            scale, difference = compare(y, reference_y)
            measured.append(
                Parity(
                    output=output, batch=batch_of(inputs), scale=scale, difference=difference,
                    subject=subject, reference=reference,
                )
            )  # fmt: skip
    worst = max(measured, key=lambda parity: parity.difference)
    if not worst.difference <= tolerance:
        raise VerificationError(
            f"output '{worst.output}' of {subject} at batch size {worst.batch} differs from {reference} by "
            f"{worst.difference:.2e} of its largest value, {worst.scale:.2e}; at most {tolerance:.0e} of it is accepted"
        )
    return tuple(measured)


def tolerance_of(module: nn.Module) -> float:
    """The largest accepted difference between `module` and its file: that of halves where it computes with any."""
    tensors = (*module.parameters(), *module.buffers())
    return ROUNDING["fp16"] if any(tensor.dtype == torch.float16 for tensor in tensors) else TOLERANCE


def compare(actual: Array, expected: Array) -> tuple[float, float]:
    """(max |expected|, max |actual - expected| over it); infinite where shapes or non-finite places differ."""
    finite = np.isfinite(expected)
    scale = float(np.abs(expected[finite]).max(initial=0))
    if actual.shape != expected.shape or not np.array_equal(np.isfinite(actual), finite):
        return scale, float("inf")
    error = float(np.abs(actual[finite].astype(np.float64) - expected[finite]).max(initial=0))
    return scale, error / scale if scale else error
