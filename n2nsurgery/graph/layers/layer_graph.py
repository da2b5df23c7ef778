"""LayerGraph: what surgery has to know of a model, as plain values.

No tensor and no fx node is held here: a LayerGraph can be printed, compared and stored. Shapes are those of ONE
sample (the batch dimension is removed after it has been proven to be one).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from math import prod
from typing import Any, Literal

from n2nsurgery.core.fingerprint import fingerprint
from n2nsurgery.graph.weight_layout import WeightLayout

Operator = Literal["conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "linear"]
ChannelLayout = Literal["channels_first", "channels_last"]


@dataclass(frozen=True, kw_only=True)
class Nonlinearity:
    """A pointwise activation function g by its `torch.nn` class name, with its arguments in call order."""

    name: str
    arguments: tuple[tuple[str, float | bool | str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Signal:
    """A tensor inside the network: its address and the shape of one sample (no batch dimension).

    `channels_first`: (C, *spatial). `channels_last`: (*spatial, C). A vector has no spatial dimensions. `rows`: how
    many entries of the first dimension belong to one sample, where positions were moved into it: (N * rows, *shape).
    """

    address: str
    shape: tuple[int, ...]
    layout: ChannelLayout
    rows: int = 1

    @property
    def channels(self) -> int:
        """Number of channels (neurons for a vector)."""
        return self.shape[0] if self.layout == "channels_first" else self.shape[-1]

    @property
    def spatial(self) -> tuple[int, ...]:
        """Spatial (or token) dimensions, outermost first; empty for a vector."""
        return self.shape[1:] if self.layout == "channels_first" else self.shape[:-1]


@dataclass(frozen=True, kw_only=True)
class PrunableWeight:
    """One parameter that masks may prune; the budget's reference N is the sum of `numel` over these.

    `name` is the parameter's name in `named_parameters()`. `shape` is (out, in/groups, *kernel) for `conv`,
    (in, out/groups, *kernel) for `conv_transpose`, (*out, in) for `linear`, (*in, out) for `matrix`, (in, *out) for
    `input_first`; a stack of `groups` matrices is a `linear_stack` or `matrix_stack`. `uses` is the number of
    multiply-accumulates of one weight for one sample, summed over the calls.
    """

    name: str
    layer: str
    shape: tuple[int, ...]
    layout: WeightLayout
    groups: int = 1
    uses: int = 1

    @property
    def numel(self) -> int:
        """Number of weights."""
        return prod(self.shape)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one sample with every weight kept."""
        return self.numel * self.uses


@dataclass(frozen=True, kw_only=True)
class WeightedLayer:
    """One call of a conv, transposed conv or linear layer.

    `name` is the module's path, or `<module path>.<parameter>` without the trailing `.weight` for functional calls.
    `preactivation` is z: the value to which a skip may be added (after the layer's norm). `activation` is a, the
    first nonlinearity after z; `nonlinearity` is g. `depth` counts weighted layers (gates excluded) on the longest
    path from an input, this one included. `join` is the address of the sum in which a shortcut meets z, where
    there is one; `shortcut` is the address of the value at which that shortcut begins, `projected` tells whether it
    passes a weighted layer on its way. `not_source` and `not_target` hold the reason for every role the layer may not
    take, or None. `layout`: that of the weight, where the operator does not say it.
    """

    name: str
    address: str
    operator: Operator
    weight: str
    in_channels: int
    out_channels: int
    groups: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    output: Signal
    macs: int
    depth: int
    preactivation: Signal | None = None
    activation: Signal | None = None
    nonlinearity: Nonlinearity | None = None
    join: str | None = None
    shortcut: str | None = None
    projected: bool = False
    not_source: str | None = None
    not_target: str | None = None
    modes: tuple[Literal["train", "eval"], ...] = ("train", "eval")
    layout: WeightLayout | None = None


@dataclass(frozen=True, kw_only=True)
class LayerPair:
    """A place where a skip connection may run: from the activation of layer l to the pre-activation of layer l+k.

    `source` and `target` are layer names (`source` is the input's name where the network input is a^0); `length` is
    k, counted in weighted layers on the longest path. `nonlinearity` is the target's g (None: the sum is followed
    by no activation). `shortcut`: the target's sum already holds a shortcut.
    """

    source: str
    target: str
    source_signal: Signal
    target_signal: Signal
    length: int
    nonlinearity: Nonlinearity | None = None
    shortcut: bool = False


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """A pair, layer or parameter that was passed over, and why."""

    source: str
    target: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class LeftDense:
    """A parameter of two or more dimensions that masks do not prune, its size, and why."""

    name: str
    numel: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class LayerGraph:
    """A model's weighted layers in execution order, its prunable weights and the pairs between its layers.

    `left`: the parameters that masks do not prune. `unfollowed`: why only parts of the model are known, each by itself.
    `uncalled`: names of prunable weights that forward reads in neither mode.
    """

    layers: tuple[WeightedLayer, ...]
    weights: tuple[PrunableWeight, ...]
    pairs: tuple[LayerPair, ...]
    refusals: tuple[Rejection, ...]
    structure: str
    left: tuple[LeftDense, ...] = ()
    unfollowed: str | None = None
    uncalled: tuple[str, ...] = ()

    @cached_property
    def reference_weights(self) -> int:
        """N of the budget: all prunable weights of the dense model, shared ones counted once."""
        return sum(weight.numel for weight in self.weights)

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of the dense model's weighted layers for one sample."""
        return sum(weight.macs for weight in self.weights)

    def layer(self, name: str) -> WeightedLayer:
        """The first call of the layer called `name`; KeyError where there is none."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, WeightedLayer]:
        table: dict[str, WeightedLayer] = {}
        for layer in self.layers:
            table.setdefault(layer.name, layer)
        return table

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return asdict(self)

    def fingerprint(self) -> str:
        """SHA-256 of the whole value."""
        return fingerprint(self.to_json())
