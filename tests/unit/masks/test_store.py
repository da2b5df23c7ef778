import pytest
import torch

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.masks import MaskSet, pack, unpack

SHAPES = {"w": (3, 3)}


def packed() -> dict[str, torch.Tensor]:
    return pack(MaskSet({"w": torch.tensor([[True, False, False], [False, False, False], [False, True, True]])}))


def test_the_first_weight_is_the_lowest_bit():
    assert packed()["w"].tolist() == [0b10000001, 0b1]


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, "masks of 1 parameters are missing, first 'w'"),
        (packed() | {"v": torch.zeros(1, dtype=torch.uint8)}, "1 masks belong to no parameter of the plan, first 'v'"),
        ({"w": packed()["w"][:1]}, r"'w' holds 1 values of torch.uint8; shape \(3, 3\) needs 2 bytes"),
        ({"w": packed()["w"].float()}, "'w' holds 2 values of torch.float32"),
        ({"w": packed()["w"] | 2}, "'w' has bits set after its 9 weights"),
    ],
    ids=["missing", "unknown", "short", "type", "padding"],
)
def test_damage_is_named(tensors, message):
    with pytest.raises(InvalidFileError, match=message):
        unpack(tensors, SHAPES)
