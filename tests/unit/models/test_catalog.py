"""From names to models: sources, determinism, sizes, and every way in which a request can be wrong."""

import sys

import pytest
import torch
from torch import nn
from torchvision import models

from n2nsurgery.core.errors import InvalidFileError, RunError, UnknownNameError, UsageError
from n2nsurgery.models.catalog import list_models, rebuild, resolve_model
from n2nsurgery.models.model_spec import ModelSpec
from n2nsurgery.models.sources import from_torchvision

SMALL = {"widths": [6, 4], "num_classes": 3}


def small(**request):
    return resolve_model("mlp", **{"seed": 0, "options": SMALL, **request})


def same(left: nn.Module, right: nn.Module) -> bool:
    a, b = left.state_dict(), right.state_dict()
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def test_the_seed_decides_parameters_and_example_inputs():
    first, again, other = small(), small(), small(seed=1)
    assert same(first.module, again.module)
    assert torch.equal(first.example_inputs[0], again.example_inputs[0])
    assert not same(first.module, other.module)
    assert not torch.equal(first.example_inputs[0], other.example_inputs[0])


def test_the_callers_global_generator_neither_matters_nor_moves():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = small()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert same(first.module, small().module)


def test_a_spec_comes_back_from_text_and_builds_the_same_model():
    first = small()
    spec = ModelSpec.from_text(first.spec.to_text())
    again = rebuild(spec)
    assert spec == first.spec
    assert spec.to_text() == first.spec.to_text()
    assert same(first.module, again.module)
    assert torch.equal(first.example_inputs[0], again.example_inputs[0])


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "[]",
        '{"source":"family"}',
        '{"arguments":{},"input_shapes":[[0]],"name":"mlp","seed":0,"source":"family","weights":null}',
        '{"arguments":{},"input_shapes":[[6]],"name":"mlp","seed":0,"source":"elsewhere","weights":null}',
        '{"arguments":{},"input_shapes":[[6]],"name":"mlp","seed":true,"source":"family","weights":null}',
    ],
)
def test_a_damaged_spec_is_refused(text):
    with pytest.raises(InvalidFileError, match="the model's spec"):
        ModelSpec.from_text(text)


def test_an_unknown_name_is_a_usage_error_with_the_nearest_name():
    with pytest.raises(UnknownNameError, match="did you mean 'resnet50'") as caught:
        resolve_model("resnet5", seed=0)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("squeezenet1_1", ((3, 224, 224),)),
        ("inception_v3", ((3, 299, 299),)),
        ("fcn_resnet50", ((3, 224, 224),)),
        ("r3d_18", ((3, 16, 112, 112),)),
        ("mvit_v1_b", ((3, 16, 224, 224),)),
        ("s3d", ((3, 16, 224, 224),)),
        ("raft_small", ((3, 128, 128), (3, 128, 128))),
        ("ssd300_vgg16", ((3, 300, 300),)),
        ("fasterrcnn_resnet50_fpn", ((3, 320, 320),)),
    ],
)
def test_torchvisions_models_have_default_shapes_by_their_kind(name, shapes):
    assert from_torchvision.design(name, {}, input_size=None, weights=None).input_shapes == shapes


def test_networks_of_a_fixed_input_size_are_told_about_another_one():
    vit = from_torchvision.design("vit_b_16", {}, input_size=32, weights=None)
    assert vit.input_shapes == ((3, 32, 32),)
    assert vit.arguments == {"image_size": 32}
    mvit = from_torchvision.design("mvit_v2_s", {}, input_size=(3, 8, 64, 64), weights=None)
    assert mvit.arguments == {"spatial_size": [64, 64], "temporal_size": 8}
    assert from_torchvision.design("resnet18", {}, input_size=32, weights=None).arguments == {}


@pytest.mark.parametrize(
    "name", ["googlenet", "fcn_resnet50", "lraspp_mobilenet_v3_large", "ssdlite320_mobilenet_v3_large"]
)
def test_building_neither_warns_nor_reaches_for_the_network(name, monkeypatch):
    def unreachable(*_, **__):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", unreachable)
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with torch.device("meta"):
        assert isinstance(from_torchvision.build(name, {}), nn.Module)


def test_pretrained_weights_that_are_not_here_are_not_downloaded_silently(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(RunError, match=r"squeezenet1_1-b8a52dc0.pth is missing.*https://.*--download"):
        resolve_model("squeezenet1_1", seed=0, weights="DEFAULT")
    assert not list(tmp_path.iterdir())


def test_pretrained_weights_in_the_cache_are_loaded_and_named_in_full(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    original = models.squeezenet1_1()
    torch.save(original.state_dict(), tmp_path / "hub" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth")
    bundle = resolve_model("squeezenet1_1", seed=0, weights="DEFAULT")
    assert same(bundle.module, original)
    assert bundle.spec.weights == "SqueezeNet1_1_Weights.IMAGENET1K_V1"
    assert bundle.spec.arguments == {"num_classes": 1000}


@pytest.mark.parametrize(
    ("name", "weights", "arguments"),
    [
        ("googlenet", "DEFAULT", {"num_classes": 1000, "transform_input": True}),
        ("fcn_resnet50", "COCO_WITH_VOC_LABELS_V1", {"num_classes": 21, "aux_loss": True}),
        ("vit_b_16", "ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1", {"num_classes": 1000, "image_size": 384}),
    ],
)
def test_weights_decide_the_structure_they_were_made_for(name, weights, arguments):
    assert from_torchvision.design(name, {}, input_size=None, weights=weights).arguments == arguments
    other = from_torchvision.design(name, {"num_classes": 7}, input_size=None, weights=weights).arguments
    assert other == {**arguments, "num_classes": 7}  # a head of one's own


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"name": "resnet18", "weights": "DEFAUL"}, "did you mean 'DEFAULT'"),
        ({"name": "fasterrcnn_resnet50_fpn", "weights": "DEFAULT"}, "hand in the module"),
        ({"name": "raft_small", "num_classes": 10}, "cannot be built with"),
        ({"name": "mlp", "weights": "DEFAULT"}, "no pretrained weights"),
        ({"name": "mlp", "input_size": 32}, "give a shape"),
        ({"name": "cifar-vgg19", "input_size": 0}, "at least 1"),
        ({"name": "torch.nn:Identity"}, "shape of one sample"),
        ({"name": "torch.nn:Identity", "input_size": (3,), "allow_import": False}, "--allow-import"),
        ({"name": "torch.nn:Identitty", "input_size": (3,)}, "cannot be imported"),
        ({"name": "math:pi", "input_size": (3,)}, "is float"),
    ],
)
def test_a_request_that_cannot_be_met_is_a_usage_error(request_, message):
    with pytest.raises(UsageError, match=message):
        resolve_model(**{"seed": 0, **request_})


def test_a_factory_gets_its_options_and_is_rebuilt_only_where_imports_are_allowed():
    bundle = resolve_model("torch.nn:Linear", seed=0, input_size=(4,), options={"in_features": 4, "out_features": 2})
    assert bundle.module(*bundle.example_inputs).shape == (2, 2)
    assert bundle.input_names == ("input",)
    assert same(rebuild(bundle.spec).module, bundle.module)
    with pytest.raises(UsageError, match="--allow-import"):
        rebuild(bundle.spec, allow_import=False)


@pytest.mark.parametrize(("name", "message"), [("torch.nn:Linear", "TypeError"), ("builtins:dict", "returned dict")])
def test_a_factory_that_fails_is_a_failed_run(name, message):
    with pytest.raises(RunError, match=message):
        resolve_model(name, seed=0, input_size=(4,))


def test_without_timm_the_message_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(RunError, match=r"pip install 'n2nsurgery\[timm\]'"):
        resolve_model("timm:resnet18", seed=0)


def test_the_list_holds_families_and_torchvision_by_the_names_resolve_takes():
    listed = list_models()
    assert {"mlp", "cifar-vgg19", "cifar-resnet50", "resnet50", "fcn_resnet50", "r3d_18"} <= set(listed)
    assert len(set(listed)) == len(listed)
    assert list_models("factory") == ()
    with pytest.raises(UnknownNameError, match="did you mean 'torchvision'"):
        list_models("torchvison")
