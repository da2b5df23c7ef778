from __future__ import annotations

import pytest

from n2nsurgery.core.errors import UnknownNameError, UsageError
from n2nsurgery.core.names import listed, nearest, select, strip_wrappers, unknown

LAYERS = ("conv1", "layer1.0.conv1", "layer1.0.conv2", "layer10.0.conv1", "fc")


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("fc", ("fc",)),
        ("layer1", ("layer1.0.conv1", "layer1.0.conv2")),
        ("*.conv1", ("layer1.0.conv1", "layer10.0.conv1")),
        ("module._orig_mod.layer1", ("layer1.0.conv1", "layer1.0.conv2")),
        ("re:conv[12]$", ("conv1", "layer1.0.conv1", "layer1.0.conv2", "layer10.0.conv1")),
    ],
)
def test_a_pattern_selects_whole_names_and_what_lies_below_them(pattern, found):
    assert select(pattern, LAYERS, kind="layer") == found


def test_a_pattern_that_matches_nothing_is_an_error_with_the_nearest_name():
    with pytest.raises(UnknownNameError, match=r"unknown layer pattern 'conv'; did you mean 'conv1'\?"):
        select("conv", LAYERS, kind="layer")


def test_a_broken_expression_is_a_usage_error():
    with pytest.raises(UsageError, match=r"'re:\(' is not a regular expression"):
        select("re:(", LAYERS, kind="layer")


def test_the_nearest_name_is_close_or_none():
    assert nearest("resnet81", ["resnet18", "vgg19"]) == "resnet18"
    assert nearest("zzz", ["resnet18", "vgg19"]) is None


def test_a_long_list_of_names_is_not_recited():
    assert "Known: a, b." in str(unknown("model", "c", ["a", "b"]))
    assert "Known" not in str(unknown("model", "c", [f"name{i}" for i in range(100)]))


def test_three_names_are_shown_and_the_others_counted():
    assert listed(["a", "b", "c"]) == "'a', 'b', 'c'"
    assert listed(["a", "b", "c", "d", "e"]) == "'a', 'b', 'c' and 2 more"


def test_only_wrappers_are_stripped():
    assert strip_wrappers("module.module._orig_mod.a.module.b") == "a.module.b"
