from __future__ import annotations

from typing import get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from n2nsurgery.core.config.options import config_fields
from n2nsurgery.core.errors import UsageError
from n2nsurgery.registries import ALLOCATIONS, CRITERIA, GRANULARITIES, SKIP_KINDS
from n2nsurgery.surgery.planning.config import SurgeryConfig
from n2nsurgery.surgery.planning.contradictions import without_effect
from n2nsurgery.surgery.planning.presets import PRESETS


def config(**values) -> SurgeryConfig:
    return SurgeryConfig(**({"density": 0.05} | values))


@given(st.integers(1, 9999))
def test_the_three_synonyms_name_the_same_budget(kept):
    density = kept / 10_000
    by_sparsity = config(density=None, sparsity=float(f"{(10_000 - kept) / 10_000:.4f}")).kept
    by_compression = config(density=None, compression=1 / density).kept
    assert config(density=density).kept == density
    assert by_sparsity == density  # exact: decimals of four digits are subtracted as decimals
    assert by_compression == pytest.approx(density, rel=4e-16)  # two roundings of half a unit in the last place


@pytest.mark.parametrize(
    ("values", "field", "seen"),
    [
        ({"density": None}, "density", "none is given"),
        ({"sparsity": 0.5}, "density", "density and sparsity are given"),
        ({"sparsity": 0.5, "compression": 2}, "density", "density and sparsity and compression are given"),
        ({"density": None, "sparsity": 0.5, "compression": 2}, "sparsity", "sparsity and compression are given"),
    ],
)
def test_exactly_one_synonym_is_given(values, field, seen):
    with pytest.raises(UsageError, match=f"exactly one of .* {seen}") as raised:
        config(**values)
    assert raised.value.field == field


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"density": 0.0}, r"density is 0.0; it must be in (0, 1] or left out"),
        ({"density": 1.5}, r"density is 1.5; it must be in (0, 1] or left out"),
        ({"density": float("nan")}, r"density is nan; it must be in (0, 1] or left out"),
        ({"density": "0.5"}, r"density is '0.5'; it must be in (0, 1] or left out"),
        ({"density": None, "sparsity": 1.0}, r"sparsity is 1.0; it must be in [0, 1) or left out"),
        ({"density": None, "compression": 0.5}, r"compression is 0.5; it must be at least 1 or left out"),
        ({"density": None, "compression": float("inf")}, r"compression is inf; it must be at least 1 or left out"),
        ({"skip_ratio": 1.0}, "skip_ratio is 1.0; it must be in [0, 1) or 'auto'"),
        ({"skip_ratio": -0.1}, "skip_ratio is -0.1; it must be in [0, 1) or 'auto'"),
        ({"skip": "none", "skip_ratio": 0.5}, "skip_ratio is 0.5, but there are no skips; leave it out"),
        ({"skip_length": 1}, "skip_length is 1; it must be a whole number from 2"),
        ({"skip_length": 3.0}, "skip_length is 3.0; it must be a whole number from 2"),
        ({"num_pairs": 0}, "num_pairs is 0; it must be a whole number from 1 or left out"),
        ({"floor_layer": -1}, "floor_layer is -1; it must be a whole number from 0"),
        ({"seed": -1}, "seed is -1; it must be a whole number from 0"),
        ({"redistribute": 1}, "redistribute is 1; it must be true or false"),
        ({"pairs": "al"}, "pairs is 'al'; it must be one of overlapping, blocks, random, all; did you mean 'all'?"),
        ({"ignore": "fc"}, "ignore is 'fc'; it must be a list, each text"),
        ({"fan_out": {"fc": 0}}, "fan_out is {'fc': 0}; it must be names with values, each a whole number from 1"),
        ({"scope": "layers"}, "scope is 'layers'; it must be one of global, layer or left out; did you mean 'layer'?"),
        ({"fan_out": {"fc": 4}, "floor_channel": 1}, "floor_channel: floors exclude what single layers keep"),
        ({"scope": "layer", "criterion_options": {"scope": "layer"}}, "scope is given twice"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_field_and_what_can(values, message):
    with pytest.raises(UsageError) as raised:
        config(**values)
    assert str(raised.value).startswith(message)
    assert raised.value.field == message.partition(" ")[0].rstrip(":")


@pytest.mark.parametrize("values", [{"num_candidates": 2}, {"select_by": "scatter"}])
def test_candidates_and_their_choice_belong_together(values):
    with pytest.raises(UsageError, match="belong together") as raised:
        config(**values)
    assert raised.value.field in values


def test_fan_outs_take_the_place_of_a_density():
    assert SurgeryConfig(fan_out={"0": 512}).kept is None


def test_lists_and_mappings_of_a_caller_are_copied():
    layers, fans = ["fc"], {"fc": 4}
    made = config(ignore=layers, fan_out=fans)
    layers.append("x")
    fans["x"] = 2
    assert (made.ignore, made.fan_out) == (("fc",), {"fc": 4})


def test_what_a_preset_says_gives_way_to_what_is_asked():
    asked = {"density": 0.1}
    assert SurgeryConfig.from_preset(None, **asked) == SurgeryConfig(density=0.1)
    paper = SurgeryConfig.from_preset("paper", **asked)
    assert {name: getattr(paper, name) for name in PRESETS["paper"]} == PRESETS["paper"]
    assert paper.allocation == "uniform"
    changed = SurgeryConfig.from_preset("paper", **asked, allocation="erk", skip_ratio=0.25)
    assert (changed.allocation, changed.skip_ratio, changed.skip_norm) == ("erk", 0.25, "never")


@pytest.mark.parametrize(
    ("preset", "skip", "allocation"), [("accurate", "residual", "erk"), ("fast", "none", "uniform")]
)
def test_a_preset_for_accuracy_or_speed_is_one_line_and_an_option_beside_it_wins(preset, skip, allocation):
    made = SurgeryConfig.from_preset(preset, density=0.05)
    assert made == SurgeryConfig(density=0.05, skip=skip, allocation=allocation)
    changed = SurgeryConfig.from_preset(preset, density=0.05, skip="n2n", skip_ratio=0.1, allocation="equal")
    assert changed == SurgeryConfig(density=0.05, skip="n2n", skip_ratio=0.1, allocation="equal")
    assert SurgeryConfig.from_preset(preset, density=0.05, criterion="snip").allocation is None


@pytest.mark.parametrize(
    ("values", "allocation", "ratio"),
    [
        ({"criterion": "snip"}, None, 0.5),
        ({"skip": "none"}, "uniform", "auto"),
        ({"skip": "residual"}, "uniform", "auto"),
    ],
)
def test_a_preset_says_nothing_of_what_is_not_there(values, allocation, ratio):
    made = SurgeryConfig.from_preset("paper", density=0.1, **values)
    assert (made.allocation, made.skip_ratio) == (allocation, ratio)


def test_a_preset_by_another_name_is_refused():
    with pytest.raises(UsageError, match="unknown preset 'papers'; did you mean 'paper'") as raised:
        SurgeryConfig.from_preset("papers", density=0.1)
    assert raised.value.field == "preset"


def test_the_canonical_form_has_one_spelling_of_each_request():
    made = SurgeryConfig(sparsity=0.95, criterion_options={"allocation": "erk", "granularity": "kernel"}).canonical()
    assert made == SurgeryConfig(density=0.05, allocation="erk", granularity="kernel")
    assert made.canonical() == made
    assert made.all_criterion_options == {"allocation": "erk", "granularity": "kernel"}


def test_every_field_is_an_option_with_help():
    assert [each.name for each in config_fields(SurgeryConfig)] == list(get_type_hints(SurgeryConfig))
    assert all(each.option.help for each in config_fields(SurgeryConfig))


def test_names_of_registries_are_those_of_their_folders():
    named = {each.name: each.choices for each in config_fields(SurgeryConfig) if each.option.registry is not None}
    assert named == {
        "criterion": CRITERIA.names(),
        "allocation": ALLOCATIONS.names(),
        "skip_allocation": ALLOCATIONS.names(),
        "granularity": GRANULARITIES.names(),
        "skip": (*SKIP_KINDS.names(), "none"),
    }


def test_equal_configs_have_equal_hashes_whatever_their_mappings_hold():
    one, other = (SurgeryConfig(density=0.1, criterion_options={"scope": "layer"}, fan_out={"a": 1}) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert len({one, other, SurgeryConfig(density=0.1)}) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, ()),
        ({"skip": "none", "preset": "paper"}, ()),
        ({"skip": "residual", "preset": "paper"}, ()),
        ({"skip": "none", "skip_length": 3}, ()),
        ({"pairs": "random", "num_pairs": 2}, ()),
        ({"num_pairs": 2}, ("num_pairs: without effect, for pairs is 'overlapping', not 'random'",)),
        (
            {"skip": "none", "include": ("a",), "pairs": "all"},
            ("pairs, include: without effect, for there are no skips",),
        ),
        (
            {"skip": "residual", "skip_norm": "always", "pooling": "max"},
            ("skip_norm: without effect, for skips of kind 'residual' hold no weights",),
        ),
    ],
)
def test_options_without_effect_are_named(options, said):
    assert without_effect(SurgeryConfig.from_preset(**({"density": 0.1} | options))) == said
