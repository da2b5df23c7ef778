"""EngineRecord: what a run is computed with and why, as it stands in checkpoints and metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class EngineUse:
    """The engine of an epoch: how many of the pruned layers are sparse, and how much faster they are predicted to be.

    `predicted_gain`: dense time over sparse time of the pruned layers' three passes; None where it is not known.
    """

    name: Literal["dense", "sparse"] = "dense"
    sparse_layers: int = 0
    layers: int = 0
    predicted_gain: float | None = None


@dataclass(frozen=True, kw_only=True)
class EngineRecord:
    """The engine of a run: `sparse` are the names of the layers that are so."""

    use: EngineUse = field(default_factory=EngineUse)
    reason: str = ""
    sparse: tuple[str, ...] = ()

    @property
    def is_sparse(self) -> bool:
        """Whether any layer is sparse."""
        return self.use.name == "sparse"

    def sentence(self, measured_gain: float | None = None) -> str:
        """`sparse, 16 of 17 pruned layers: predicted to be 4.0 times as fast as dense`, or `dense: nothing is pruned`.

        `measured_gain`: times as fast as dense that a forward and backward pass was measured to be.
        """
        if not self.is_sparse:
            return f"dense: {self.reason}"
        told = [self.reason]
        if self.use.predicted_gain is not None:
            gain = f"to be {self.use.predicted_gain:.1f} times as fast as dense"
            by_gain = self.reason.startswith(("predicted", "measured"))
            told = [f"{self.reason} {gain}"] if by_gain else [self.reason, f"predicted {gain}"]
        if measured_gain is not None:
            told.append(f"the whole network was measured to be {measured_gain:.1f} times as fast as dense")
        return f"sparse, {self.use.sparse_layers} of {self.use.layers} pruned layers: {'; '.join(told)}"
