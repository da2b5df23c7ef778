"""Loss `mse`: the mean squared error of a regression.

    mean (outputs - targets)^2

The mean is taken over all elements.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from n2nsurgery.core.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class MeanSquaredError:
    """Has no parameters."""

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean over all elements; raises UsageError where the shapes differ, which would be broadcast."""
        if outputs.shape != targets.shape:
            raise UsageError(
                f"loss mse compares outputs of shape {tuple(outputs.shape)} with targets of shape "
                f"{tuple(targets.shape)}; give targets of the outputs' shape"
            )
        return functional.mse_loss(outputs, targets.to(outputs.dtype))


MEMBER = MeanSquaredError
