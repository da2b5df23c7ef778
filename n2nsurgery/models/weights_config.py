"""WeightsConfig: which weights a model starts from, the same on the command line, in a recipe and in Python."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict

from n2nsurgery.core.config.options import check_options, option
from n2nsurgery.core.errors import UsageError

_MODEL = "Model"


class WeightsOptions(TypedDict):
    """The fields of WeightsConfig, as `resolve_model` takes them."""

    weights: str | None
    weights_key: str | None
    weights_prefix: str
    weights_ignore: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class WeightsConfig:
    """`weights`: pretrained ones of the model's source, or a file (.safetensors, .pth).

    Of a file, `weights_key`: where in it they are (`state_dict`); `weights_prefix`: of the names that are taken,
    without it (`backbone.`); `weights_ignore`: patterns of names that need not fit, such as a head for other classes
    (`fc`). Raises UsageError for options of a file where no weights are named.
    """

    weights: str | None = field(
        default=None,
        metadata=option(
            "pretrained weights of the source, or a file: .safetensors, .pth", metavar="NAME|FILE", group=_MODEL
        ),
    )
    weights_key: str | None = field(
        default=None,
        metadata=option("where in the file the weights are, like state_dict", metavar="KEY", group=_MODEL),
    )
    weights_prefix: str = field(
        default="",
        metadata=option("take names that begin so, without it, like backbone.", metavar="PREFIX", group=_MODEL),
    )
    weights_ignore: tuple[str, ...] = field(
        default=(), metadata=option("names that need not fit, like a head's", metavar="PATTERN", group=_MODEL)
    )

    def __post_init__(self) -> None:
        """Raise UsageError for values that are not allowed or do not go together."""
        check_options(self)
        given = self.weights_key is not None or self.weights_prefix or self.weights_ignore
        if given and self.weights is None:
            raise UsageError("weights_key, weights_prefix and weights_ignore are of a file; name it as weights")

    @property
    def weights_options(self) -> WeightsOptions:
        """The arguments of `resolve_model` that say the same."""
        return {
            "weights": self.weights,
            "weights_key": self.weights_key,
            "weights_prefix": self.weights_prefix,
            "weights_ignore": self.weights_ignore,
        }
