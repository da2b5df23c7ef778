"""WeightUses: how often each weight is used, counted where conv, linear and attention functions are called.

This sees into leaves, whose weighted layers make no node of their own (the projections of an attention module, say).
"""

from __future__ import annotations

import inspect
from collections import Counter
from math import prod
from typing import Any

from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_CONVOLUTIONS = frozenset([functional.conv1d, functional.conv2d, functional.conv3d])
_TRANSPOSED = frozenset([functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d])
_ATTENTION = inspect.signature(functional.multi_head_attention_forward)


class WeightUses(TorchFunctionMode):
    """While entered, counts in `uses` the multiply-accumulates of one weight of each parameter, for the whole batch."""

    def __init__(self) -> None:
        super().__init__()
        self.uses: Counter[nn.Parameter] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func is functional.multi_head_attention_forward:
            self._count_attention(_ATTENTION.bind(*args, **kwargs).arguments)
        elif func is functional.linear or func in _CONVOLUTIONS or func in _TRANSPOSED:
            weight = args[1] if len(args) > 1 else kwargs["weight"]
            positions = (args[0] if args else kwargs["input"]) if func in _TRANSPOSED else result
            rank = weight.dim() - 2
            shape = positions.shape
            self._count(weight, prod(shape[: -rank - 1]) * prod(shape[len(shape) - rank :]))
        return result

    def _count_attention(self, given: dict[str, Any]) -> None:
        queries, keys, values = (prod(given[name].shape[:-1]) for name in ("query", "key", "value"))
        uses = {"q_proj_weight": queries, "k_proj_weight": keys, "v_proj_weight": values, "out_proj_weight": queries}
        for name, count in {**uses, "in_proj_weight": (queries + keys + values) // 3}.items():
            self._count(given.get(name), count)

    def _count(self, weight: object, uses: int) -> None:
        if isinstance(weight, nn.Parameter):
            self.uses[weight] += uses
