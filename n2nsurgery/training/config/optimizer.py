"""OptimizerConfig: which optimizer a run has, and its hyper-parameters; importing it needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from types import MappingProxyType
from typing import Any

from n2nsurgery.core.config.options import Range, check_options, option
from n2nsurgery.core.validation import require, require_choice, within
from n2nsurgery.registries import OPTIMIZERS

_STAND_INS: Mapping[str, Any] = MappingProxyType(
    {"lr": 0.05, "momentum": 0.9, "nesterov": True, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 5e-4}
)
"""What a config that is written out has for a hyper-parameter that its optimizer does not have."""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """`name`: any registered optimizer. What is None is the optimizer's own value, and stands in the config once made.

    `lr`: where the schedule starts from. `momentum`, `nesterov`, `betas`, `eps`: of optimizers that have them.
    `options`: further hyper-parameters, by name. `weight_decay`: an L2 term in the gradient for SGD and Adam, decoupled
    for AdamW. With `spare_norms` it leaves out biases and the weights of normalization layers. `spare`: patterns of
    further ones, such as learnable skips (`n2n_skips.*`).
    """

    name: str = field(default="sgd", metadata=option("any registered optimizer", registry=OPTIMIZERS))
    lr: float | None = field(
        default=None,
        metadata=option("learning rate that the schedule starts from; default: the optimizer's", within=Range(above=0)),
    )
    momentum: float | None = field(
        default=None, metadata=option("of SGD and RMSprop; default: the optimizer's", within=Range(least=0, below=1))
    )
    nesterov: bool | None = field(default=None, metadata=option("Nesterov's form of the momentum of SGD"))
    betas: tuple[float, float] | None = field(
        default=None,
        metadata=option("decay of both averages of Adam and its relatives", within=Range(least=0, below=1)),
    )
    eps: float | None = field(
        default=None, metadata=option("what Adam and its relatives add to the denominator", within=Range(above=0))
    )
    weight_decay: float | None = field(
        default=None,
        metadata=option(
            "an L2 term in the gradient; for AdamW decoupled from it; default: the optimizer's", within=Range(least=0)
        ),
    )
    spare_norms: bool = field(default=False, metadata=option("no weight decay for biases and normalization layers"))
    spare: tuple[str, ...] = field(
        default=(), metadata=option("patterns of parameters and modules without weight decay")
    )
    options: Mapping[str, Any] = field(
        default_factory=dict, hash=False, metadata=option("hyper-parameters of any other optimizer, by name")
    )

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range, in contradiction, or of another optimizer."""
        require_choice("optimizer.name", self.name, OPTIMIZERS.names())
        has = defaults_of(OPTIMIZERS.get(self.name))
        for name, stand_in in _STAND_INS.items():
            if getattr(self, name) is None:
                own = has.get(name)
                object.__setattr__(self, name, stand_in if own is None else own)
        betas = self.betas or ()
        pair = len(betas) == 2 and all(within(beta, 0, 1) for beta in betas)  # noqa: PLR2004 - m and v
        require(pair, "optimizer.betas", self.betas, "two numbers in [0, 1)")
        check_options(self, "optimizer")
        unaided = self.name == "sgd" and self.nesterov and not self.momentum
        require(not unaided, "optimizer.nesterov", self.nesterov, "false where momentum is 0")
        for name, stand_in in _STAND_INS.items():
            given = getattr(self, name)
            require(name in has or given == stand_in, f"optimizer.{name}", given, f"left out: {self.name} has none")

    def own(self) -> dict[str, Any]:
        """The hyper-parameters of this optimizer, by name."""
        has = defaults_of(OPTIMIZERS.get(self.name))
        return {name: getattr(self, name) for name in _STAND_INS if name in has} | dict(self.options)


def defaults_of(optimizer: type) -> dict[str, Any]:
    """The default values of an optimizer's hyper-parameters, by name; None for one that has none."""
    entries = fields(optimizer) if is_dataclass(optimizer) else ()
    return {entry.name: None if entry.default is MISSING else entry.default for entry in entries}
