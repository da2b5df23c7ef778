"""Start values: what the kept weights of a layer are before training; their places stay as they are.

dense        the values that they have in the dense network
fan-in       those times sqrt(F / k), with the fan-in F of the dense layer and the k kept weights of an output unit, so
             that pre-activations begin with the variance that they have in the dense network.
             Source: Evci et al. 2022, "Gradient flow in sparse neural networks and how lottery tickets win".
orthogonal   kept values W with a small |W W^T W - W|, found by descent from the dense ones; then the layer gets back
             the norm that it had, for under BatchNorm the norm sets how far a step of training turns the weights.
             Source: Lee et al. 2020, "A signal propagation perspective for pruning neural networks at initialization",
             section 5: approximate isometry. A step is that of Newton and Schulz, W <- W + (W - W W^T W) / 2, masked.

All masks and counts stay as they are. An exactly orthogonal sparse matrix from random rotations (Nowak et al. 2024,
"Sparser, better, deeper, stronger: improving static sparse training with exact orthogonal initialization") brings a
pattern of its own, whose count grows by whole rows at a time: no budget would be exact.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from n2nsurgery.core.progress import SILENT, Progress
from n2nsurgery.graph.layers.layer_graph import PrunableWeight
from n2nsurgery.masks.grid import from_grid, to_grid
from n2nsurgery.masks.maskset import MaskSet
from n2nsurgery.surgery.planning.plan import SurgeryPlan

_STEPS = 100
_SETTLED = 1e-4  # a step that changes the layer by less, relative to its norm, is the last one


def set_start_values(module: nn.Module, masks: MaskSet, plan: SurgeryPlan, progress: Progress = SILENT) -> None:
    """Give the pruned layers of `module` the start values that `plan` asks for; skips have their own.

    Layers that are kept whole stay as they are.
    """
    if plan.config.start == "dense":
        return
    pruned = [weight for weight in plan.weights if weight.name not in plan.dense]
    started = _by_fan_in if plan.config.start == "fan-in" else _orthogonal
    for done, weight in enumerate(pruned, start=1):
        parameter = module.get_parameter(weight.name)
        precise = torch.complex128 if parameter.is_complex() else torch.float64
        values, kept = (
            torch.from_numpy(to_grid(part.numpy(), weight)).flatten(2)
            for part in (parameter.detach().cpu().to(precise), masks[weight.name].double())
        )
        with torch.no_grad():
            parameter.copy_(_weight_of(started(values, kept), weight))
        progress("start values", done / len(pruned))


def _weight_of(values: Tensor, weight: PrunableWeight) -> Tensor:
    """Values by (groups, outputs, inputs x taps) in the shape of their weight."""
    grid = to_grid(torch.empty(weight.shape).numpy(), weight).shape
    return torch.from_numpy(from_grid(values.reshape(grid).numpy(), weight))


def _by_fan_in(values: Tensor, kept: Tensor) -> Tensor:
    """Values times the root of how many times fewer inputs an output has; outputs without inputs have none to scale."""
    inputs = kept.sum(dim=2, keepdim=True).clamp(min=1)
    return values * kept * (kept.shape[2] / inputs).sqrt()


def _orthogonal(values: Tensor, kept: Tensor) -> Tensor:
    """Values of the same norm whose outputs, or inputs where those are fewer, are nearly orthogonal."""
    values = values * kept
    norm, largest = values.norm(), torch.linalg.matrix_norm(values, ord=2).amax(dim=0)
    if not largest:
        return values
    found = values / largest
    for _ in range(_STEPS):
        step = (found - _thrice(found)) * kept / 2
        found += step
        if step.norm() <= _SETTLED * found.norm():
            break
    scaled: Tensor = found * (norm / found.norm())
    return scaled


def _thrice(values: Tensor) -> Tensor:
    """W W^T W, by the smaller of the two products; of complex values the transpose is conjugate."""
    transposed = values.mH
    if values.shape[1] <= values.shape[2]:
        return (values @ transposed) @ values
    return values @ (transposed @ values)
