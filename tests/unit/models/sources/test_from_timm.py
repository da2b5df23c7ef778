"""Models of timm, where it is installed."""

import pytest
import torch

from n2nsurgery.core.errors import RunError, UnknownNameError
from n2nsurgery.models.catalog import list_models, resolve_model
from n2nsurgery.models.sources import from_timm

pytest.importorskip("timm")


def test_a_model_comes_with_its_default_input_size_and_is_built():
    bundle = resolve_model("timm:test_vit", seed=0, num_classes=5)
    assert bundle.spec.input_shapes == ((3, 160, 160),)
    assert bundle.module(*bundle.example_inputs).shape == (2, 5)


def test_a_model_of_a_fixed_size_is_told_about_another_one():
    bundle = resolve_model("timm:test_vit", seed=0, input_size=64)
    assert bundle.spec.arguments == {"img_size": [64, 64]}
    assert bundle.module(torch.randn(1, 3, 64, 64)).shape == (1, 1000)


def test_an_unknown_model_or_tag_names_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'resnet50'"):
        resolve_model("timm:resnet5O", seed=0)
    with pytest.raises(UnknownNameError, match=r"did you mean 'resnet50\.a1_in1k'"):
        from_timm.design("resnet50.a1_in1", {}, input_size=None, weights=None)


def test_pretrained_weights_need_the_permission_to_download():
    with pytest.raises(RunError, match="--download"):
        resolve_model("timm:test_vit", seed=0, weights="DEFAULT")


def test_names_are_listed_with_the_prefix_that_resolve_takes():
    assert "timm:resnet50" in list_models("timm")
