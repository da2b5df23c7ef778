"""CompressConfig: how somebody's file is made small; importing it needs neither torch nor ONNX.

Its fields are the options of `n2nsurgery compress` and the keyword arguments of `n2nsurgery.compress`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

from n2nsurgery.core.config.options import COUNT, Range, check_options, option
from n2nsurgery.core.errors import UsageError
from n2nsurgery.export.config import Values
from n2nsurgery.export.input_shapes import shapes_of

CodedForm = Literal["portable", "inlined"]

_STATE_DICT = "State dict"


class CompressOptions(TypedDict, total=False):
    """Every field of CompressConfig, for editors and type checkers."""

    format: CodedForm
    values: Values
    packed: bool
    sample_loop: bool
    measure: bool
    threshold: float | None
    input_shapes: Mapping[str, Any]
    model: str | None
    weights_key: str | None
    weights_prefix: str
    num_classes: int | None
    input_size: tuple[int, ...] | None


@dataclass(frozen=True, kw_only=True)
class CompressConfig:
    """What the small file looks like, and how it is proven.

    `format`, `values`, `packed`, `sample_loop` and `measure` as in ExportConfig. `threshold`: weights of layers with a
    smaller absolute value become zero first; None changes no weight. `input_shapes`: by the input's name, the shape
    that the proof runs with, batch included, as sizes or as text (`1x3x224x224`); only for sizes that the file leaves
    open.

    Of a file that holds weights alone: `model` is the network they belong to, named as for `n2nsurgery apply`, with
    `num_classes` and `input_size`; `weights_key` and `weights_prefix` as in WeightsConfig. Raises UsageError, with the
    field, for values that are not allowed or do not go together.
    """

    format: CodedForm = field(
        default="portable", metadata=option("codes with sparse operators, or in standard operators alone")
    )
    values: Values = field(default="fp32", metadata=option("what coded float32 weights are stored as"))
    packed: bool = field(
        default=False, metadata=option("pack exponents of fp32 values: a smaller file that takes longer to load")
    )
    sample_loop: bool = field(
        default=False, metadata=option("compute a batch sample by sample, as fast for each as a batch of one")
    )
    measure: bool = field(
        default=False, metadata=option("time each layer, sparse against dense, and keep what is faster here")
    )
    threshold: float | None = field(
        default=None,
        metadata=option("set weights of a smaller absolute value to zero first", metavar="T", within=Range(above=0)),
    )
    input_shapes: Mapping[str, Any] = field(
        default_factory=dict,
        metadata=option("the shape to run an input of open sizes with, batch included", metavar="NAME=1x3x224x224"),
    )
    model: str | None = field(
        default=None,
        metadata=option("the network that a file of weights belongs to", metavar="NAME", group=_STATE_DICT),
    )
    weights_key: str | None = field(
        default=None,
        metadata=option("where in the file the weights are, like state_dict", metavar="KEY", group=_STATE_DICT),
    )
    weights_prefix: str = field(
        default="",
        metadata=option("take names that begin so, without it, like backbone.", metavar="PREFIX", group=_STATE_DICT),
    )
    num_classes: int | None = field(
        default=None, metadata=option("classes of the network", metavar="N", within=COUNT, group=_STATE_DICT)
    )
    input_size: tuple[int, ...] | None = field(
        default=None,
        metadata=option("shape of one sample, like 3x224x224", metavar="SHAPE", within=COUNT, group=_STATE_DICT),
    )

    def __post_init__(self) -> None:
        """Raise UsageError for values that are not allowed or do not go together."""
        check_options(self)
        if self.packed and self.values != "fp32":
            raise UsageError(f"is for values in fp32, not {self.values}", field="packed", joint=" ")
        if self.measure and self.format != "portable":
            raise UsageError(
                f"needs sparse kernels, which the format {self.format} has not: choose portable",
                field="measure", joint=" ",
            )  # fmt: skip
        object.__setattr__(self, "input_shapes", shapes_of(self.input_shapes))
        for name in ("weights_key", "weights_prefix", "num_classes", "input_size"):
            if getattr(self, name) and self.model is None:
                raise UsageError("is of a network that is named: give model, too", field=name, joint=" ")
