from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from n2nsurgery.core.errors import UsageError
from n2nsurgery.pipelines.prune.apply_request import ApplyRequest, parse_fan_out, parse_input_size, parse_skip_ratio
from n2nsurgery.surgery.planning.request import CHOICES


def request(**values) -> ApplyRequest:
    return ApplyRequest(model="resnet18", **({"density": 0.05} | values))


@given(st.integers(1, 9999))
def test_the_three_synonyms_name_the_same_budget(kept):
    density = kept / 10_000
    by_sparsity = request(density=None, sparsity=float(f"{(10_000 - kept) / 10_000:.4f}")).kept
    by_compression = request(density=None, compression=1 / density).kept
    assert request(density=density).kept == density
    assert by_sparsity == density  # exact: decimals of four digits are subtracted as decimals
    assert by_compression == pytest.approx(density, rel=4e-16)  # two roundings of half a unit in the last place


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        ({"density": None}, "none is given"),
        ({"sparsity": 0.5}, "--density and --sparsity are given"),
        ({"sparsity": 0.5, "compression": 2}, "--density and --sparsity and --compression are given"),
    ],
)
def test_exactly_one_synonym_is_given(values, seen):
    with pytest.raises(UsageError, match=f"exactly one of .* {seen}"):
        request(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"density": 0.0}, r"--density is 0\.0; it must be in \(0, 1\]"),
        ({"density": 1.5}, r"--density is 1\.5; it must be in \(0, 1\]"),
        ({"density": float("nan")}, r"--density is nan"),
        ({"density": None, "sparsity": 1.0}, r"--sparsity is 1\.0; it must be in \[0, 1\)"),
        ({"density": None, "sparsity": -0.1}, r"--sparsity is -0\.1"),
        ({"density": None, "compression": 0.5}, r"--compression is 0\.5; it must be 1 or more"),
        ({"density": None, "compression": float("inf")}, r"--compression is inf"),
        ({"skip_ratio": 1.0}, r"--skip-ratio is 1\.0; it must be in \[0, 1\) or 'auto'"),
        ({"skip_ratio": -0.1}, r"--skip-ratio is -0\.1"),
        ({"skip_pattern": "random", "skip_ratio": "auto"}, r"--skip-ratio auto is what a one-to-one pattern needs"),
        ({"preset": "paper", "skip_ratio": "auto"}, r"--skip-ratio auto is what a one-to-one pattern needs"),
        ({"skip": "residual", "skip_ratio": 0.5}, r"--skip residual holds no weights"),
        ({"skip_length": 0}, r"--skip-length is 0; it must be at least 1"),
        ({"num_pairs": 0}, r"--num-pairs is 0; it must be at least 1"),
        ({"floor_layer": -1}, r"--floor-layer is -1; it must be at least 0"),
        ({"seed": -1}, r"--seed is -1; it must be at least 0"),
        ({"device": "gpu"}, r"--device is 'gpu'; it must be auto, cpu, cuda or cuda:N"),
        ({"pairs": "overlaping"}, r"unknown --pairs 'overlaping'; did you mean 'overlapping'\?"),
        ({"preset": "papers"}, r"unknown --preset 'papers'; did you mean 'paper'\?"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_can(values, message):
    with pytest.raises(UsageError, match=message):
        request(**values)


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in CHOICES.items() for value in values])
def test_every_choice_is_accepted(field, value):
    beside = {"tries": 2} if field == "select" else {}
    assert getattr(request(**{field: value}, **beside), field) == value


@pytest.mark.parametrize("values", [{"tries": 2}, {"select": "scatter"}])
def test_tries_and_their_choice_belong_together(values):
    with pytest.raises(UsageError, match="belong together"):
        request(**values)


def test_fan_outs_take_the_place_of_a_density():
    assert ApplyRequest(model="morse", fan_out=(("0", 512),)).kept is None
    with pytest.raises(UsageError, match="exactly one of"):
        ApplyRequest(model="morse", fan_out=(("0", 512),), density=0.1, sparsity=0.9)


@pytest.mark.parametrize("text", ["0", "=4", "0=", "0=x", "0=nan", "0=1.5"])
def test_a_fan_out_is_a_layer_and_a_whole_number(text):
    with pytest.raises(UsageError, match="--fan-out is"):
        parse_fan_out(text)


@pytest.mark.parametrize(
    ("values", "filled"),
    [
        ({}, ("erk", "one-to-one", "auto", "auto")),
        ({"skip_ratio": 0.0}, ("erk", "one-to-one", 0.0, "auto")),
        ({"skip_pattern": "random"}, ("erk", "random", 0.5, "target")),
        ({"preset": "paper"}, ("uniform", "random", 0.5, "target")),
        ({"preset": "paper", "allocation": "erk", "skip_ratio": 0.25}, ("erk", "random", 0.25, "target")),
        ({"skip": "none"}, ("erk", "one-to-one", 0.0, "auto")),
        ({"skip": "residual", "preset": "paper"}, ("uniform", "random", 0.0, "target")),
    ],
)
def test_an_option_beats_the_preset_and_the_preset_the_default(values, filled):
    result = request(**values).filled()
    assert (result.allocation, result.skip_pattern, result.skip_ratio, result.skip_kernel) == filled
    assert result.filled() == result


def test_text_becomes_a_skip_ratio():
    assert parse_skip_ratio("auto") == "auto"
    assert parse_skip_ratio("0.25") == 0.25
    with pytest.raises(UsageError, match="--skip-ratio is 'half'"):
        parse_skip_ratio("half")


def test_text_becomes_the_shape_of_a_sample():
    assert parse_input_size("3x224x224") == (3, 224, 224)
    assert parse_input_size("3072") == (3072,)


@pytest.mark.parametrize("text", ["", "x", "3x", "0x3", "-1", "3,4", "3x4x99999999"])
def test_text_that_is_no_shape_is_refused(text):
    with pytest.raises(UsageError, match="it must be the shape of one sample, like 3x224x224"):
        parse_input_size(text)
