"""Connection sensitivity: how much the loss changes with a factor at each weight.

    g_j = dL(c * w) / dc_j,   which is  w_j * dL/d(c w)_j

at c = 1 for kept weights (Lee et al. 2019, SNIP, equation 4). For weights that are pruned, c = 0, it is the sensitivity
to bringing them back (de Jorge et al. 2021, FORCE, equation 5).
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, float64

from n2nsurgery.core.errors import UsageError
from n2nsurgery.masks.scoring.context import Mode, ScoreContext, gradients, over_batches, weight_values


def sensitivities(context: ScoreContext, mode: Mode) -> dict[str, Tensor]:
    """|g_j| / sum |g| for every weight, pruned ones included, of the mean loss over the batches; they sum to 1.

    Raises UsageError where no weight has any influence on the loss, as where earlier rounds have cut the network.
    """
    dense = weight_values(replace(context, kept={}))
    values = {name: value.clone().requires_grad_() for name, value in weight_values(context).items()}
    leaves = list(values.values())
    sums = over_batches(context, values, lambda loss: gradients(loss, leaves), mode=mode)
    found = {name: (dense[name] * slope).abs().float() for name, slope in zip(values, sums, strict=True)}
    total = sum(float(part.sum(dtype=float64)) for part in found.values())
    if not total and context.kept:
        raise UsageError(
            "the network that earlier rounds left passes no signal, so nothing can be scored: set keep_alive, take more"
            " rounds, or raise the density"
        )
    if not total:
        raise UsageError(
            "no weight has any influence on the loss on the given data, as where the last layer starts at zero: "
            "initialize it otherwise, or take another criterion"
        )
    return {name: part / total for name, part in found.items()}
