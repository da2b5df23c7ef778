import hashlib

import pytest
import torch

from n2nsurgery.core.errors import InternalError
from n2nsurgery.masks import MaskSet


def masks() -> MaskSet:
    return MaskSet({"b": torch.tensor([[True, False], [True, True]]), "a": torch.tensor([False, True])})


def test_counts_are_by_name_and_in_all():
    assert masks().counts == {"b": 3, "a": 1}
    assert (masks().kept, masks().numel) == (4, 6)


def test_the_fingerprint_is_the_same_on_every_machine():
    described = b'["a",[2]]' + bytes([0b10]) + b'["b",[2,2]]' + bytes([0b1101])
    assert masks().fingerprint == hashlib.sha256(described).hexdigest()


def test_the_fingerprint_ignores_the_order_of_names():
    assert MaskSet(dict(sorted(masks().items()))) == masks()
    assert hash(MaskSet(dict(sorted(masks().items())))) == hash(masks())


@pytest.mark.parametrize(
    "other",
    [
        {"a": torch.tensor([True, False])},
        {"c": torch.tensor([False, True])},
        {"a": torch.tensor([[False, True]])},
        {"a": torch.tensor([False, True, False])},
    ],
    ids=["bits", "name", "shape", "padding"],
)
def test_any_difference_changes_the_fingerprint(other):
    assert MaskSet(other) != MaskSet({"a": torch.tensor([False, True])})


def test_with_adds_and_replaces_and_leaves_the_first_alone():
    first = masks()
    second = first.with_({"a": torch.tensor([True, True]), "c": torch.tensor([True])})
    assert second.counts == {"b": 3, "a": 2, "c": 1}
    assert first.counts == {"b": 3, "a": 1}


def test_a_mask_that_is_not_boolean_is_our_bug():
    with pytest.raises(InternalError, match=r"'a' is torch\.float32"):
        MaskSet({"a": torch.ones(2)})
