"""The default loss of scoring: cross-entropy on the model's primary output; and how any loss is called.

Without targets, seeded random class labels of the right shape stand in for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.outputs import primary_output, tensors_in

_LEAST_DIMENSIONS = 2
_LEAST_CLASSES = 2


def cross_entropy(output: Any, targets: Tensor) -> Tensor:  # noqa: ANN401 - whatever the model returns
    """Mean cross-entropy of the primary output against class labels (N, *positions) or probabilities.

    The output is (N, classes, *positions). It may be (N, *positions, classes), as of token models, where the labels fit
    that shape alone. Raises UsageError where there are fewer than two classes: the loss would be constant.
    """
    logits = primary_output(output)
    if targets.shape == logits.shape[:-1] != (logits.shape[0], *logits.shape[2:]):
        logits = logits.movedim(-1, 1)
    _classes(logits)
    return functional.cross_entropy(logits, targets)


def scalar_loss(
    loss: Callable[[Any, Tensor], Tensor],
    output: Any,  # noqa: ANN401
    targets: Tensor,
    weights: Iterable[Tensor] = (),
) -> Tensor:
    """The `loss` of what the model returns; raises UsageError where it fails, and where it is no finite scalar.

    Also where one of `weights` requires a gradient and the loss has none.
    """
    try:
        value = loss(output, targets)
    except (UsageError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise UsageError(f"the loss fails: {str(error).rstrip('.')}. {_given(output, targets)}") from error
    if not isinstance(value, Tensor) or value.numel() != 1 or value.is_complex():
        kind = f"{value.dtype} of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise UsageError(f"the loss has to be one real number in a tensor, and is {kind}. {_given(output, targets)}")
    if not torch.isfinite(value):
        raise UsageError(f"the loss on the scoring data is {value.item()}: check the inputs and the model's weights")
    if not value.requires_grad and any(tensor.requires_grad for tensor in weights):
        raise UsageError(
            "the loss has no gradient: it, or the model, leaves autograd, as with torch.no_grad, detach or argmax."
            f" {_given(output, targets)}"
        )
    return value


def left_out(output: Any) -> str | None:  # noqa: ANN401
    """Which outputs the default loss does not look at, as a sentence; None where it looks at all."""
    first = primary_output(output)
    others = [tensor for tensor in tensors_in(output) if tensor is not first and tensor.requires_grad]
    if not others:
        return None
    named = output.items() if isinstance(output, Mapping) else ()
    names = [f"'{key}'" for key, value in named if any(value is other for other in others)]
    which = ", ".join(names) if len(names) == len(others) else f"{len(others)} more"
    return (
        f"the default loss looks at the first output alone, not at {which}: weights that lead to the others"
        " only score zero. A loss of your own is given all that the model returns"
    )


def _given(output: Any, targets: Tensor) -> str:  # noqa: ANN401
    shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors_in(output))
    what = f"of shape {shapes}" if isinstance(output, Tensor) else f"{type(output).__name__} with shapes {shapes}"
    kind = str(targets.dtype).removeprefix("torch.")
    return f"It was given an output {what} and targets {kind} of shape {tuple(targets.shape)}"


def random_labels(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Class labels (N, *positions), uniformly random, for logits (N, classes, *positions), on their device."""
    shape = (logits.shape[0], *logits.shape[2:])
    return torch.randint(_classes(logits), shape, generator=generator).to(logits.device)


def _classes(logits: Tensor) -> int:
    if logits.dim() < _LEAST_DIMENSIONS or logits.shape[1] < _LEAST_CLASSES:
        raise UsageError(
            f"cross-entropy needs an output (N, classes, ...) with at least two classes, not {tuple(logits.shape)}: "
            "give a loss of your own"
        )
    return logits.shape[1]
