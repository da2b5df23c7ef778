"""ExportConfig: which ONNX file is wanted; importing it needs neither torch nor ONNX.

Its fields are the options of `n2nsurgery export`, the export section of a recipe, and the keyword arguments of
`n2nsurgery.export_onnx`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypedDict

from n2nsurgery.core.config.options import Range, check_options, option
from n2nsurgery.core.errors import UsageError

Form = Literal["portable", "dense", "inlined"]
Values = Literal["fp32", "fp16", "int8"]
StoredAs = Literal["fp32", "fp16", "int8", "bf16", "uint8", "other"]
"""What a file can hold: what export chooses from, and the types of foreign files, which stay as they are."""


_FILE, _INTEGERS = "The file", "Integers"
_ALL = 100
_PERCENT = Range(above=50, most=_ALL)


class ExportOptions(TypedDict, total=False):
    """Every field of ExportConfig, for editors and type checkers."""

    format: Form
    values: Values
    packed: bool
    sample_loop: bool
    percentile: float
    compact: bool
    measure: bool
    report: bool


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """What the file looks like, and how it is decided.

    `format`: `portable` (small everywhere, fast with the sparse runtime), `inlined` (small, standard operators only) or
    `dense`. `values`: kept weights as `fp32`, `fp16` or `int8`. `packed`: exponents of `fp32` values are packed,
    without a rounding (codec/packed.py). `sample_loop`: a batch is computed sample by sample (files/sample_loop.py),
    which needs the batch as first dimension of every input and output. `percentile`: where ranges of integer layers
    end, for data with rare large values; at 100 the least and greatest value. `compact`: remove channels that are
    provably constant or unused. `measure`: choose sparse or dense layer by layer by measuring both on this machine,
    which needs the sparse runtime; otherwise the choice is predicted from the network alone, so that an export can be
    repeated. `report`: measure the network's connectivity and put a summary of it into the metadata.

    Raises UsageError, with the field, for values that are unknown or do not go together.
    """

    format: Form = field(
        default="portable", metadata=option("coded weights, ordinary ones, or codes in standard operators", group=_FILE)
    )
    values: Values = field(default="fp32", metadata=option("what coded weights are stored as", group=_FILE))
    packed: bool = field(
        default=False,
        metadata=option("pack exponents of fp32 values: a smaller file that takes longer to load", group=_FILE),
    )
    sample_loop: bool = field(
        default=False,
        metadata=option("compute a batch sample by sample, as fast for each as a batch of one", group=_FILE),
    )
    percentile: float = field(
        default=100.0,
        metadata=option(
            "of calibration values: integer layers cut off what lies beyond",
            metavar="P",
            group=_INTEGERS,
            within=_PERCENT,
        ),
    )
    compact: bool = field(
        default=False, metadata=option("remove channels that are provably constant or unused", group=_FILE)
    )
    measure: bool = field(
        default=False,
        metadata=option("time each layer, sparse against dense, and keep what is faster here", group=_FILE),
    )
    report: bool = field(
        default=False, metadata=option("put a summary of its connectivity into the metadata", group=_FILE)
    )

    def __post_init__(self) -> None:
        """Raise UsageError for values that are unknown or do not go together."""
        check_options(self)
        if self.format == "dense" and self.values != "fp32":
            raise UsageError(
                f"is {self.values}, which needs coded weights: choose the format portable or inlined",
                field="values", joint=" ",
            )  # fmt: skip
        if self.packed and (self.format == "dense" or self.values != "fp32"):
            raise UsageError(
                f"is for coded weights in fp32, not for {self.values} in the format {self.format}",
                field="packed", joint=" ",
            )  # fmt: skip
        if self.percentile != _ALL and self.values != "int8":
            raise UsageError(f"is for layers with integers, not for {self.values}", field="percentile", joint=" ")
        if self.measure and self.format != "portable":
            raise UsageError(
                f"needs sparse kernels, which the format {self.format} has not: choose portable",
                field="measure", joint=" ",
            )  # fmt: skip
