"""Dense layers inside a sparse twin: inputs, and gradients of outputs, are turned into torch's own order natively.

torch would do the same, several times as slowly.
"""

from __future__ import annotations

from torch import Tensor, nn

from n2nsurgery.sparse_training.functions.layout import GradientBatchFirst, to_batch_first

_TURNED = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def feed_batch_first(twin: nn.Module) -> None:
    """Give every dense convolution of `twin`, whose modules are its own, hooks that turn what reaches it."""
    for child in twin.modules():
        if type(child) in _TURNED:
            turned(child)


def turned(layer: nn.Module) -> nn.Module:
    """`layer` itself, with these hooks."""
    layer.register_forward_pre_hook(_turn_input)
    layer.register_forward_hook(_turn_gradient, prepend=True)
    return layer


def _turn_input(_: nn.Module, inputs: tuple[object, ...]) -> tuple[object, ...]:
    return tuple(to_batch_first(value) if isinstance(value, Tensor) else value for value in inputs)


def _turn_gradient(_: nn.Module, _inputs: object, output: Tensor) -> Tensor:
    turned_back: Tensor = GradientBatchFirst.apply(output)
    return turned_back
