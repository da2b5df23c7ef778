"""Flat, named outputs."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from n2nsurgery.core.errors import TraceError, UsageError
from n2nsurgery.export.capture.outputs import distinct, flatten, require_callable

T = torch.zeros(1)
Heads = namedtuple("Heads", ["logits", "aux"])  # noqa: PYI024 - torchvision returns untyped ones


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (T, ["output"]),
        ((T, T), ["output_0", "output_1"]),
        ([T, (T, T)], ["output_0", "output_1_0", "output_1_1"]),
        (OrderedDict(out=T, aux=T), ["out", "aux"]),
        ({"features": [T, T], 3: T}, ["features_0", "features_1", "3"]),
        (Heads(T, None), ["logits"]),
        ({"heads": Heads(T, T)}, ["heads_logits", "heads_aux"]),
    ],
)
def test_names_come_from_keys_fields_and_positions(value: Any, names: list[str]) -> None:
    assert [name for name, _ in flatten(value)] == names


def test_what_onnx_cannot_hold_is_named() -> None:
    with pytest.raises(TraceError, match="int at 'size'"):
        list(flatten({"size": 3}))


def test_a_name_that_is_taken_gets_a_suffix() -> None:
    assert distinct(["x", "y", "y"], taken=["x"]) == ("x_out", "y", "y_out")


def test_a_forward_that_needs_more_than_tensors_is_refused_by_its_signature() -> None:
    class Listed(nn.Module):
        def forward(self, xs: list[Tensor], *, scale: float = 1.0) -> Tensor:
            return (xs[0] + xs[1]) * scale

    with pytest.raises(UsageError, match=r"Listed\.forward cannot .*missing a required argument: 'xs'"):
        require_callable(Listed(), [])
    with pytest.raises(UsageError, match="too many positional arguments"):
        require_callable(Listed(), ["a", "b"])
    require_callable(Listed(), ["xs"])
