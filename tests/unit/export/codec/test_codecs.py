"""Codes of weights: what is refused, and which is chosen when."""

from __future__ import annotations

import numpy as np
import pytest

from n2nsurgery.core.errors import InvalidFileError
from n2nsurgery.export.codec import bits, gaps
from n2nsurgery.export.codec.choose import choose
from n2nsurgery.export.codec.coded import CodedWeight
from n2nsurgery.export.codec.values import store, unfit


def positions(numel: int, density: float) -> np.ndarray:
    return np.flatnonzero(np.random.default_rng(0).random(numel) < density).astype(np.int64)


@pytest.mark.parametrize(
    ("density", "code"),
    [(0.001, "gaps16"), (0.02, "gaps8"), (0.1, "gaps8"), (0.2, "bits"), (0.9, "bits"), (1, "dense")],
)
def test_the_code_follows_the_density(density, code):
    choice = choose(positions(200_000, density), 200_000, value_bytes=4)
    assert choice.code == code
    assert choice.code in choice.reason


@pytest.mark.parametrize(
    ("steps", "values", "numel", "message"),
    [
        ([1, 0], [1, 1], 9, "entry 1 repeats"),
        ([1, 9], [1, 1], 9, "ends at place 10 of a weight with 9"),
        ([1, 2], [1], 9, "two vectors of one length"),
        ([[1, 2]], [[1, 1]], 9, "two vectors of one length"),
    ],
)
def test_gaps_that_are_none_are_refused(steps, values, numel, message):
    with pytest.raises(InvalidFileError, match=message):
        gaps.decode(np.array(steps, np.uint8), np.array(values, np.float32), numel)


def test_gaps_of_another_type_are_refused():
    with pytest.raises(InvalidFileError, match="int64"):
        gaps.decode(np.array([1]), np.ones(1, np.float32), 9)


@pytest.mark.parametrize(
    ("packed", "values", "message"),
    [([1, 0], 1, "17 places need 3 bytes"), ([255], 8, "behind"), ([3], 1, "2 bits set for 1 values")],
)
def test_bitmasks_that_are_none_are_refused(packed, values, message):
    with pytest.raises(InvalidFileError, match=message):
        bits.decode(np.array(packed, np.uint8), np.ones(values, np.float32), 7 if len(packed) == 1 else 17)


def test_scales_of_another_number_are_refused():
    coded = CodedWeight(
        shape=(2, 2), code="gaps8", places=np.zeros(1, np.uint8), values=np.ones(1, np.int8),
        scales=np.ones(3, np.float32),
    )  # fmt: skip
    with pytest.raises(InvalidFileError, match="one for each row"):
        coded.decoded()


def test_what_a_type_cannot_hold_is_said():
    assert "not finite" in str(unfit(np.array([np.nan], np.float32), "fp32"))
    assert "beyond the largest fp16" in str(unfit(np.array([1e5], np.float32), "fp16"))
    assert unfit(np.array([1e5], np.float32), "int8") is None


def test_a_row_of_the_smallest_floats_is_stored_without_dividing_by_zero():
    weight = np.full((1, 3), np.finfo(np.float32).smallest_subnormal)
    assert np.isfinite(store(weight.astype(np.float32), "int8").restored()).all()
