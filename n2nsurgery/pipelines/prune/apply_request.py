"""ApplyRequest: one call of `apply`: what is asked of surgery, of which model, and where the work is done.

Pure values: importing this needs no torch, so a mistyped option is reported before anything slow is loaded. Names
that live in registries (models, criteria) and patterns are checked where the registries are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from n2nsurgery.core.config.devices import require_device
from n2nsurgery.core.config.options import Range, option
from n2nsurgery.core.errors import UsageError
from n2nsurgery.models.weights_config import WeightsConfig
from n2nsurgery.surgery.planning.config import SurgeryConfig

_MODEL, _RUN = "Model", "Run"


@dataclass(frozen=True, kw_only=True)
class ApplyRequest(WeightsConfig):
    """One call of `apply`: the surgery, the model it is for, and where and how the work is done.

    `input_size` is the shape of one sample. Raises UsageError for values out of range.
    """

    surgery: SurgeryConfig
    model: str
    download: bool = field(default=False, metadata=option("allow fetching the pretrained weights", group=_MODEL))
    num_classes: int | None = field(
        default=None,
        metadata=option(
            "outputs of the model; default: the source's own", metavar="N", group=_MODEL, within=Range(least=1)
        ),
    )
    input_size: tuple[int, ...] | None = field(
        default=None,
        metadata=option(
            "shape of one sample, like 3x32x32; or 224 for an image",
            metavar="SHAPE",
            group=_MODEL,
            within=Range(least=1),
        ),
    )
    device: str = field(
        default="auto", metadata=option("where tensors are computed", metavar="auto|cpu|cuda:N", group=_RUN)
    )
    output: Path | None = field(default=None, metadata=option("where to write", metavar="PATH", group=_RUN))
    overwrite: bool = field(default=False, metadata=option("replace what is there; refused by default", group=_RUN))
    dry_run: bool = field(default=False, metadata=option("print the plan, write nothing", group=_RUN))

    def __post_init__(self) -> None:
        """Raise UsageError for values out of range."""
        super().__post_init__()
        require_device(self.device)
        if self.weights is not None and self.surgery.start != "dense":
            raise UsageError(
                f"is '{self.surgery.start}', which is for new networks and would change the weights of"
                f" '{self.weights}': leave one of the two out",
                field="start", joint=" ",
            )  # fmt: skip
