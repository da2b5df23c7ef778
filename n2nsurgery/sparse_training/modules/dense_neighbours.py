"""Dense layers inside a sparse twin: what reaches them is turned into torch's own order by the native library.

torch would do the same, several times as slowly.
"""

from __future__ import annotations

from torch import Tensor, nn

from n2nsurgery.sparse_training.functions.layout import to_batch_first

_TURNED = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def feed_batch_first(twin: nn.Module) -> None:
    """Give every dense convolution of `twin`, whose modules are its own, a hook that turns its input."""
    for child in twin.modules():
        if type(child) in _TURNED:
            child.register_forward_pre_hook(_turn)


def _turn(_: nn.Module, inputs: tuple[object, ...]) -> tuple[object, ...]:
    return tuple(to_batch_first(value) if isinstance(value, Tensor) else value for value in inputs)
