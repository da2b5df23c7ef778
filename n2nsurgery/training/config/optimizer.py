"""OptimizerConfig: which optimizer a run has, and its hyper-parameters; importing it needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from n2nsurgery.core.config.options import Range, check_options, option
from n2nsurgery.core.validation import require, require_choice, within
from n2nsurgery.registries import OPTIMIZERS


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """`name`: any registered optimizer. `lr`: where the schedule starts from. `momentum`, `nesterov`: of SGD.

    `betas`, `eps`: of Adam(W). `options`: hyper-parameters of any other optimizer, by name.
    `weight_decay`: an L2 term in the gradient for SGD and Adam, decoupled for AdamW. With `spare_norms` it leaves out
    biases and the weights of normalization layers. `spare`: patterns of further ones, such as learnable skips
    (`n2n_skips.*`).
    """

    name: str = field(default="sgd", metadata=option("any registered optimizer", registry=OPTIMIZERS))
    lr: float = field(
        default=0.05, metadata=option("learning rate that the schedule starts from", within=Range(above=0))
    )
    momentum: float = field(default=0.9, metadata=option("of SGD", within=Range(least=0, below=1)))
    nesterov: bool = field(default=True, metadata=option("Nesterov's form of the momentum of SGD"))
    betas: tuple[float, float] = field(
        default=(0.9, 0.999),
        metadata=option("decay of both averages of Adam and AdamW", within=Range(least=0, below=1)),
    )
    eps: float = field(
        default=1e-8, metadata=option("what Adam and AdamW add to the denominator", within=Range(above=0))
    )
    weight_decay: float = field(
        default=5e-4, metadata=option("an L2 term in the gradient; for AdamW decoupled from it", within=Range(least=0))
    )
    spare_norms: bool = field(default=False, metadata=option("no weight decay for biases and normalization layers"))
    spare: tuple[str, ...] = field(
        default=(), metadata=option("patterns of parameters and modules without weight decay")
    )
    options: Mapping[str, Any] = field(
        default_factory=dict, hash=False, metadata=option("hyper-parameters of any other optimizer, by name")
    )

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range or in contradiction."""
        require_choice("optimizer.name", self.name, OPTIMIZERS.names())
        pair = len(self.betas) == 2 and all(within(beta, 0, 1) for beta in self.betas)  # noqa: PLR2004 - m and v
        require(pair, "optimizer.betas", self.betas, "two numbers in [0, 1)")
        check_options(self, "optimizer")
        unaided = self.name == "sgd" and self.nesterov and not self.momentum
        require(not unaided, "optimizer.nesterov", self.nesterov, "false where momentum is 0")
