"""Which of the values that a model returns is its prediction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from n2nsurgery.core.errors import UsageError


def primary_output(output: Any) -> Tensor:  # noqa: ANN401 - whatever the model returns
    """The tensor that the loss looks at: the output itself, 'out' (or the first) of a dict, the first of a tuple.

    Raises UsageError where there is no tensor at that place.
    """
    value = output
    while not isinstance(value, Tensor):
        if isinstance(value, Mapping) and value:
            value = value["out"] if "out" in value else next(iter(value.values()))
        elif isinstance(value, (tuple, list)) and value:
            value = value[0]
        else:
            raise UsageError(
                f"the model returns {type(output).__name__}, in which no tensor comes first: "
                "wrap the model so that it returns one"
            )
    return value
