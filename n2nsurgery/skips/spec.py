"""SkipSpec: one skip connection, as a plain value that can be printed, stored and built again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import prod
from typing import Any, Literal

from n2nsurgery.core.config.members import Scalar
from n2nsurgery.core.decoding import decode
from n2nsurgery.graph.layers.layer_graph import LayerPair

Pooling = Literal["average", "max", "stride"]
_ENDS = ("source_signal", "target_signal")


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """How the source's activation is brought to the target's layout and spatial size; channels are left alone.

    The fields are the steps, in the order in which they run. `permute_in`: channels last to channels first. `vector`:
    mean over all positions, and done. `factor`: pooling kernel and stride per spatial dimension (empty: no pooling),
    by `pooling`. `crop`: sizes to cut to. `upsample`: sizes for nearest upsampling, where the source is smaller.
    `permute_out`: channels first to channels last.
    """

    permute_in: bool = False
    vector: bool = False
    pooling: Pooling = "average"
    factor: tuple[int, ...] = ()
    crop: tuple[int, ...] | None = None
    upsample: tuple[int, ...] | None = None
    permute_out: bool = False


@dataclass(frozen=True, kw_only=True)
class SkipSpec:
    """What is grafted at one pair.

    `name` is the module's name in the pruned network. `weight_shape` is (out, in, *kernel), or (out, in) where the
    target holds its channels last or is a vector; None for kinds without weights. `kept` is the number of learnable
    weights. `start` is the initial value of one-to-one weights. `norm`: BatchNorm on the branch before the inner
    activation. `inner`: the target's nonlinearity is applied to the branch. `options`: those of the kind, by name.
    """

    name: str
    kind: str
    pair: LayerPair
    align: Alignment
    pattern: Literal["one-to-one", "random"] | None = None
    kernel: tuple[int, ...] = ()
    weight_shape: tuple[int, ...] | None = None
    kept: int = 0
    start: float | None = None
    norm: bool = False
    inner: bool = True
    options: Mapping[str, Scalar] = field(default_factory=dict, hash=False)

    @property
    def numel(self) -> int:
        """Capacity: how many weights the skip could hold."""
        return prod(self.weight_shape) if self.weight_shape else 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one sample: every kept weight is used once per position of the target."""
        target = self.pair.target_signal
        return self.kept * target.rows * prod(target.spatial)

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values; a kind without options has no such key, a signal of one row for a sample neither.

        `filled` puts back what is left out.
        """
        document = asdict(self)
        if not self.options:
            del document["options"]
        for end in _ENDS:
            if document["pair"][end]["rows"] == 1:
                del document["pair"][end]["rows"]
        return document

    @classmethod
    def from_json(cls, value: object, where: str = "skip") -> SkipSpec:
        """The spec that `to_json` gave; `where` names it in messages.

        Raises InvalidFileError for an unknown or missing key and for a value of the wrong type.
        """
        return decode(cls, filled(value), where)


def filled(stored: Any) -> Any:  # noqa: ANN401 - any JSON value
    """A stored spec with what `to_json` left out; anything else as it is."""
    if not isinstance(stored, Mapping):
        return stored
    pair = stored.get("pair")
    if isinstance(pair, Mapping):
        signals = {end: pair[end] for end in _ENDS if isinstance(pair.get(end), Mapping)}
        pair = {**pair, **{end: {"rows": 1, **signal} for end, signal in signals.items()}}
        stored = {**stored, "pair": pair}
    return {"options": {}, **stored}
