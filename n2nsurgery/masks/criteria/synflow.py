"""Criterion `synflow` (synaptic flow): weights on strong paths survive; no data, no collapsed layers.

    R = sum of all outputs of the network with |w| for every tensor and ones as input
    score_j = |w_j * dR/dw_j|

computed again in each round on what is left, at densities d^(1/rounds), d^(2/rounds), ..., d.
Source: Tanaka et al. 2020, "Pruning neural networks without any data by iteratively conserving synaptic flow",
equation 3 and algorithm 1 (100 rounds).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from n2nsurgery.core.errors import UsageError
from n2nsurgery.core.outputs import tensors_in
from n2nsurgery.masks.criterion import Needs
from n2nsurgery.masks.scoring.context import ScoreContext, called, gradients, stand_ins, undisturbed, weight_values


@dataclass(frozen=True, kw_only=True)
class SynFlow:
    """`rounds` >= 1 is the number of steps of the exponential schedule."""

    rounds: int = 100

    needs: ClassVar[Needs] = "inputs"
    scope: ClassVar[str] = "global"

    def __post_init__(self) -> None:
        """Raise UsageError for fewer than one round."""
        if self.rounds < 1:
            raise UsageError(f"is {self.rounds}; SynFlow needs at least 1", field="rounds", joint=" ")

    def scores(self, context: ScoreContext) -> dict[str, Tensor]:
        """Synaptic flow in float64; UsageError without an example input or where the flow is not finite."""
        if not context.batches:
            raise UsageError("SynFlow needs the shape of the inputs, and was given no example: pass one batch")
        values = {name: _linear(value).requires_grad_() for name, value in weight_values(context).items()}
        tensors = stand_ins(context.module, values, change=_linear)
        device = next(iter(values.values())).device
        ones = tuple(_linear(torch.ones_like(value[:1], device=device)) for value in context.batches[0][0])
        with undisturbed(context.module, training=False, seed=context.seed):
            flow = _sum_of_outputs(called(context, tensors, ones))
            if not torch.isfinite(flow):
                raise UsageError(f"the synaptic flow is {flow.item()} even in float64: take another criterion")
            slopes = gradients(flow, list(values.values()))
        return {
            name: value.detach().abs() * slope.abs()
            for (name, value), slope in zip(values.items(), slopes, strict=True)
        }


def _linear(value: Tensor) -> Tensor:
    """The absolute values in float64, against overflow in deep networks; integers and booleans as they are."""
    if value.is_complex():
        return value.detach().abs().to(torch.complex128)
    return value.detach().double().abs() if value.is_floating_point() else value


def _sum_of_outputs(output: Any) -> Tensor:  # noqa: ANN401 - whatever the module returns
    """Over all tensors in `output` that depend on the weights; UsageError where there is none."""
    found = [tensor for tensor in tensors_in(output) if tensor.requires_grad]
    sums = [(tensor.abs() if tensor.is_complex() else tensor).sum() for tensor in found]
    if not sums:
        raise UsageError(f"no tensor in the output ({type(output).__name__}) has a gradient: take another criterion")
    return torch.stack([each.double() for each in sums]).sum()


MEMBER = SynFlow
